"""Edge maps from labels are those of mmsegmentation's transform."""

import numpy as np
import pytest
import torch
from mmseg.datasets.transforms import GenerateEdge

from benchmark.models.heads.pidnet import edges


@pytest.mark.parametrize("width", [1, 3, 4, 5])
def test_edges_are_mmsegmentations(width):
    rng = np.random.default_rng(width)
    labels = rng.choice(np.array([0, 1, 2, 255], np.uint8), (3, 6, 7)).repeat(5, 1).repeat(5, 2)[:, :28, :33]
    wanted = [
        GenerateEdge(edge_width=width).transform({"img_shape": label.shape, "gt_seg_map": label})["gt_edge_map"]
        for label in labels
    ]
    found = edges(torch.from_numpy(labels).long()[:, None], width)
    assert found.shape == (3, 1, 28, 33)
    assert np.array_equal(found[:, 0].numpy(), np.stack(wanted))
    assert 0 < found.float().mean() < 1
