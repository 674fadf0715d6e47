"""The evaluation metric: confusion counts, an image at a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmseg.registry import METRICS
from numpy.typing import NDArray

from benchmark.confusion import VoidRule, count, scores


@METRICS.register_module()
class ConfusionMetric(BaseMetric):
    """mIoU, mAcc and aAcc over the dataset, from counts that are kept for every image.

    Args:
        void: how pixels of void ground truth count.
        keep: names of images whose predictions are kept.

    Attributes:
        names: names of the evaluated images.
        counts: int64, shape (images, K + 1, K + 1), in the order of `names`.
        predictions: predicted labels by name, uint8, for the images in `keep`.
    """

    def __init__(self, void: VoidRule = "ignore", keep: Collection[str] = ()) -> None:
        super().__init__()
        self.void, self.keep = void, set(keep)
        self.names: list[str] = []
        self.counts: NDArray[np.int64] = np.zeros((0, 1, 1), np.int64)
        self.predictions: dict[str, NDArray[np.uint8]] = {}

    def process(self, data_batch: dict[str, Any], data_samples: Sequence[dict[str, Any]]) -> None:
        """Count one batch of predictions."""
        classes = len(self.dataset_meta["classes"])
        for sample in data_samples:
            prediction = sample["pred_sem_seg"]["data"][0].cpu().numpy()
            label = sample["gt_sem_seg"]["data"][0].cpu().numpy()
            name = sample["img_path"]
            if name in self.keep:
                self.predictions[name] = prediction.astype(np.uint8)
            self.results.append((name, count(prediction, label, classes)))

    def compute_metrics(self, results: list[tuple[str, NDArray[np.int64]]]) -> dict[str, float]:
        """Scores over the dataset, in percent."""
        self.names = [name for name, _ in results]
        self.counts = np.stack([counts for _, counts in results])
        found = scores(self.counts, self.void)
        return {"miou": found.miou, "macc": found.macc, "aacc": found.aacc}
