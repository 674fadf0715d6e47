"""Time per image from the scores of a network to the confusion matrix.

Ours, mmsegmentation's `postprocess_result` and `IoUMetric`, and torchmetrics' `ConfusionMatrix` if it is installed. All
get the same scores, already at image size, and the same labels, and must count exactly the same pixels: on a GPU, if
available, in wall time, else on one thread of a CPU, in CPU time.
`python performance/evaluation.py`
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger
from numpy.typing import NDArray
from timing import Deadline, TimeLimitError, hardware, interleaved, waited
from torch import Tensor

import benchmark.registration  # noqa: F401
from benchmark.confusion import VOID
from benchmark.engine.evaluation import labels, unpadded
from benchmark.engine.metric import ConfusionMetric

from mmseg.evaluation import IoUMetric  # isort: skip
from mmseg.models.segmentors import EncoderDecoder  # isort: skip
from mmseg.structures import SegDataSample  # isort: skip

SIZES = {(360, 480): 11, (1024, 2048): 19}
"""Height, width and number of classes of the images: those of CamVid and Cityscapes."""

IMAGES = 8
"""Images per evaluation; work after the last image is divided among them."""

ROUNDS = 5


class TimedEvaluation:
    """Images of one size, with smooth scores and labels that mostly agree with them, some of them void."""

    def __init__(self, size: tuple[int, int], classes: int, device: str) -> None:
        generator = torch.Generator().manual_seed(0)
        coarse = torch.randn(1, classes, size[0] // 8, size[1] // 8, generator=generator)
        self.size, self.classes = size, classes
        self.scores = F.interpolate(coarse, size, mode="bilinear").to(device)
        self.wide, self.narrow = self.theirs(), self.ours()
        chance = torch.rand(size, generator=generator)
        label = self.wide.cpu().clone()
        label[:, chance < 0.2] = torch.randint(classes, size, generator=generator)[chance < 0.2]
        label[:, chance < 0.05] = VOID
        self.label = label.to(device)

    def theirs(self) -> Tensor:
        """Compute labels from scores like mmsegmentation, int64."""
        sample = SegDataSample(metainfo={"ori_shape": self.size})
        EncoderDecoder.postprocess_result(SimpleNamespace(align_corners=False), self.scores, [sample])
        return sample.pred_sem_seg.data

    def ours(self) -> Tensor:
        """Compute labels from scores, uint8."""
        return labels(unpadded(self.scores[0], {"ori_shape": self.size}, align_corners=False))[None]

    def count(self, metric: Any, predict: Callable[[], Tensor]) -> Any:
        """Return a metric of mmengine's interface after all images."""
        metric.dataset_meta = {"classes": range(self.classes)}
        for _ in range(IMAGES):
            sample = {"img_path": "", "pred_sem_seg": {"data": predict()}, "gt_sem_seg": {"data": self.label}}
            metric.process({}, [sample])
        return metric

    def iou_metric(self, predict: Callable[[], Tensor]) -> list[tuple[Tensor, ...]]:
        """Return histograms per image: intersection, union, prediction, label."""
        return self.count(IoUMetric(), predict).results

    def confusion_metric(self, predict: Callable[[], Tensor]) -> NDArray[np.int64]:
        """Return a confusion matrix per image."""
        metric = self.count(ConfusionMetric(), predict)
        metric.evaluate(IMAGES)
        return metric.counts

    def torchmetrics(self, validate: bool) -> Tensor:
        """Return the confusion matrix of all images, without void."""
        from torchmetrics.classification import MulticlassConfusionMatrix

        metric = MulticlassConfusionMatrix(self.classes, ignore_index=VOID, validate_args=validate)
        metric.to(self.label.device)
        for _ in range(IMAGES):
            metric.update(self.wide, self.label)
        return metric.compute()

    def metrics(self) -> dict[str, Callable[[], object]]:
        """Return functions that compute only the metric, each from labels of its own evaluation."""
        functions: dict[str, Callable[[], object]] = {
            "mmsegmentation, `IoUMetric`": lambda: self.iou_metric(lambda: self.wide),
            "ours, `ConfusionMetric`": lambda: self.confusion_metric(lambda: self.narrow),
        }
        if find_spec("torchmetrics"):
            functions["torchmetrics, `ConfusionMatrix`"] = lambda: self.torchmetrics(validate=True)
            functions["torchmetrics, `validate_args=False`"] = lambda: self.torchmetrics(validate=False)
        return functions

    def whole(self) -> dict[str, Callable[[], object]]:
        """Return functions that compute confusion matrices from scores."""
        return {
            "mmsegmentation, `postprocess_result` and `IoUMetric`": lambda: self.iou_metric(self.theirs),
            "ours, from scores to confusion matrices": lambda: self.confusion_metric(self.ours),
        }

    def check(self) -> None:
        """Check that all count the same."""
        counts = self.confusion_metric(self.ours)[0, :-1, :-1]
        intersection, _, prediction, label = (area.cpu().numpy() for area in self.iou_metric(self.theirs)[0])
        np.testing.assert_array_equal(counts.diagonal(), intersection)
        np.testing.assert_array_equal(counts.sum(axis=0), prediction)
        np.testing.assert_array_equal(counts.sum(axis=1), label)
        if find_spec("torchmetrics"):
            np.testing.assert_array_equal(IMAGES * counts, self.torchmetrics(validate=True).cpu().numpy())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, help="time limit in seconds; print the measurements up to then")
    deadline = Deadline(parser.parse_args().seconds)
    torch.set_num_threads(1)
    MMLogger.get_current_instance().setLevel("ERROR")
    device, time, measure = ("cuda", "ms", waited) if torch.cuda.is_available() else ("cpu", "CPU ms", interleaved)
    print(f"{hardware()}; scores on {device}\n")
    print(f"| image, classes | evaluation | {time} per image | mmsegmentation's relative to it | rounds |")
    print("|---|---|---:|---:|---:|", flush=True)
    for (height, width), classes in SIZES.items():
        image = f"{height}x{width}, {classes}"
        for part in (TimedEvaluation.metrics, TimedEvaluation.whole):
            try:
                with deadline.interrupting():
                    evaluation = checked((height, width), classes, device)
                    seconds = measure(part(evaluation), ROUNDS)
            except TimeLimitError:
                print(f"| {image} | not measured: time limit reached | | | |", flush=True)
                continue
            peer = next(iter(seconds.values()))
            for name, taken in seconds.items():
                each = 1000 * taken / IMAGES
                print(f"| {image} | {name} | {each:.3g} | {peer / taken:.3g} | {seconds.rounds} |", flush=True)


@lru_cache(maxsize=1)
def checked(size: tuple[int, int], classes: int, device: str) -> TimedEvaluation:
    """Return images of one size, after checking that all count the same."""
    evaluation = TimedEvaluation(size, classes, device)
    evaluation.check()
    return evaluation


if __name__ == "__main__":
    main()
