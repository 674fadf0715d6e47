"""PIDNet head that computes edge maps from labels (arXiv 2206.02066, section 3.2 and eq. 3)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmseg.models.decode_heads import PIDHead
from mmseg.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class LabelEdgePIDHead(PIDHead):
    """PIDNet head of mmsegmentation, with a boundary loss that needs no edge maps from a data pipeline.

    Args:
        edge_width: width of an edge in pixels, 4 in mmsegmentation's configs.
            kwargs: arguments of mmsegmentation's head.
    """

    def __init__(self, *args: Any, edge_width: int = 4, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.edge_width = edge_width

    def _stack_batch_gt(self, batch_data_samples: list[Any]) -> tuple[Tensor, Tensor]:
        labels = torch.stack([sample.gt_sem_seg.data for sample in batch_data_samples])
        return labels, edges(labels, self.edge_width, self.ignore_index)


def edges(labels: Tensor, width: int, ignore_index: int = 255) -> Tensor:
    """Mark the borders between classes, like mmsegmentation's transform `GenerateEdge`.

    Args:
        labels: classes, (..., 1, H, W); borders of void pixels are not edges.
        width: width of an edge in pixels.
        ignore_index: label of void pixels.

    Returns:
        1 on edges and 0 elsewhere, shape and type of `labels`.
    """
    edge = torch.zeros_like(labels, dtype=torch.float)

    def mark(here: tuple[slice, slice], there: tuple[slice, slice]) -> None:
        a, b = labels[(..., *here)], labels[(..., *there)]
        edge[(..., *here)] += ((a != b) & (a != ignore_index) & (b != ignore_index)).float()

    every, first, last = slice(None), slice(None, -1), slice(1, None)
    mark((last, every), (first, every))
    mark((every, first), (every, last))
    mark((first, first), (last, last))
    mark((first, last), (last, first))
    before, after = width // 2, width - 1 - width // 2
    wide = F.max_pool2d(F.pad(edge, (before, after, before, after)), width, stride=1)
    return (wide > 0).to(labels)
