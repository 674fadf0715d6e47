"""Evaluation metric: one confusion matrix per image."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import broadcast_object_list, is_distributed
from mmengine.evaluator import BaseMetric
from mmseg.registry import METRICS
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from benchmark.confusion import VOID, VoidRule, scores
from benchmark.engine.counting import count_images
from benchmark.engine.share import gathered
from benchmark.postprocessing.crf import DenseCRF


@METRICS.register_module()
class ConfusionMetric(BaseMetric):
    """mIoU, mAcc and aAcc over the dataset, from a confusion matrix per image.

    Pixels are counted on the device of the predictions. Matrices and stored predictions stay there until the last
    image, so that nothing synchronizes with the device before.

    Args:
        void: how pixels of void ground truth count.
        keep: names of images whose predictions are kept.
        crf: parameters of the `DenseCRF` that refines the predictions; by default they are not refined.
        output_dir: folder that receives the predicted labels as one PNG per image, which `segbench score` reads; by
            default they are not written. `tools/test.py --out` of mmsegmentation sets it.
        keep_results: accepted because that tool sets it, too; it has no effect.

    Attributes:
        names: names of the evaluated images.
        counts: confusion matrices, int64, shape (images, K + 1, K + 1), in the order of `names`.
        predictions: predicted labels by name, uint8, for the images in `keep`; a learned void class is void.
    """

    results: list[tuple[str, Any]]  # names and confusion matrices, which are tensors until the last image

    def __init__(
        self,
        void: VoidRule = "ignore",
        keep: Collection[str] = (),
        crf: Mapping[str, Any] | None = None,
        output_dir: str | None = None,
        keep_results: bool = False,
    ) -> None:
        super().__init__()
        self.output_dir = None if output_dir is None else Path(output_dir)
        self.crf = None if crf is None else DenseCRF(**crf)
        self.void, self.keep = void, set(keep)
        self.names: list[str] = []
        self.counts: NDArray[np.int64] = np.zeros((0, 1, 1), np.int64)
        self.predictions: dict[str, NDArray[np.uint8]] = {}
        self._kept: dict[str, Tensor] = {}

    def process(self, data_batch: dict[str, Any], data_samples: Sequence[dict[str, Any]]) -> None:
        """Count one batch of predictions: all of it, or nothing if that raises.

        Args:
            data_batch: `inputs`, the images as stored: RGB, uint8 of shape (3, height, width).
            data_samples: predictions of the network, at the size of the images.
        """
        classes = len(self.dataset_meta["classes"])
        if self.crf is None:
            predictions = [sample["pred_sem_seg"]["data"][0] for sample in data_samples]
        else:
            scored = zip(data_batch["inputs"], (sample["seg_logits"]["data"] for sample in data_samples), strict=True)
            predictions = [_refine(self.crf, image, logits) for image, logits in scored]
        labels = [
            sample["gt_sem_seg"]["data"][0].to(prediction.device, torch.uint8)  # the type of the file
            for sample, prediction in zip(data_samples, predictions, strict=True)
        ]
        names = [sample["img_path"] for sample in data_samples]
        found = list(zip(names, count_images(predictions, labels, classes), strict=True))
        for name, prediction in zip(names, predictions, strict=True):
            if name in self.keep or self.output_dir:
                label = torch.where(prediction < classes, prediction, VOID).to(torch.uint8)
                if name in self.keep:
                    self._kept[name] = label
                if self.output_dir:
                    _write(label, self.output_dir / f"{name}.png")
        self.results.extend(found)

    def evaluate(self, size: int) -> dict[str, float]:
        """Compute the scores over the dataset; all confusion matrices are copied from the device at once.

        Args:
            size: images of the dataset.
        """
        if self.results:  # a process may have no image
            counts = torch.stack([counted for _, counted in self.results]).cpu().numpy()
            self.results = [(name, counted) for (name, _), counted in zip(self.results, counts, strict=True)]
        self.predictions = {name: kept.cpu().numpy() for name, kept in self._kept.items()}
        self._kept.clear()
        if is_distributed():
            return self._evaluate_together(size)
        found: dict[str, float] = super().evaluate(size)
        return found

    def _evaluate_together(self, size: int) -> dict[str, float]:
        """Gather the images of all processes in the first one, in the order of the split; return its scores in all."""
        found: list[dict[str, float] | None] = [None]
        if parts := gathered((self.results, self.predictions)):
            results = (each for row in zip_longest(*(results for results, _ in parts)) for each in row if each)
            kept = {name: label for _, predictions in parts for name, label in predictions.items()}
            found = [self.compute_metrics(list(islice(results, size)))]  # mmengine's sampler repeats images at the end
            self.predictions = {name: kept[name] for name in self.names if name in kept}
        broadcast_object_list(found)
        self.results.clear()
        assert found[0] is not None
        return found[0]

    def compute_metrics(self, results: list[tuple[str, NDArray[np.int64]]]) -> dict[str, float]:
        """Compute the scores over the dataset, in percent, under the names of mmsegmentation's `IoUMetric`."""
        self.names = [name for name, _ in results]
        self.counts = np.stack([counts for _, counts in results])
        found = scores(self.counts, self.void)
        return {"mIoU": found.miou, "mAcc": found.macc, "aAcc": found.aacc}


def _write(label: Tensor, path: Path) -> None:
    """Write predicted labels of shape (height, width) as a PNG of class indices."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(label.cpu().numpy()).save(path)


def _refine(crf: DenseCRF, image: Tensor, logits: Tensor) -> Tensor:
    """Return labels of shape (height, width) from logits of shape (K, height, width)."""
    probabilities = logits.float().softmax(dim=0).cpu().numpy()
    return torch.from_numpy(crf.refine(image.permute(1, 2, 0).cpu().numpy(), probabilities).argmax(axis=0))
