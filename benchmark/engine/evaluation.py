"""The evaluation loops: mmengine's, with the way from a network's scores to its labels made cheap.

mmsegmentation resizes scores to the size that they have already, and takes their `argmax`, which on a CPU costs four to
seven times what `max` does for the same indices: at 1024x2048 more than most networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from mmengine.model import is_model_wrapper
from mmengine.registry import LOOPS
from mmengine.runner import TestLoop, ValLoop
from mmengine.runner.base_loop import BaseLoop
from mmengine.structures import PixelData
from torch import Tensor

if TYPE_CHECKING:
    from mmseg.models.segmentors import EncoderDecoder
    from mmseg.structures import SegDataSample


class _Evaluation(BaseLoop):
    """A loop over the images of a split.

    Attributes:
        phase: what its hooks are called by.
    """

    phase: str

    @torch.no_grad()
    def run_iter(self, idx: int, data_batch: dict[str, Any]) -> None:
        """Predict one batch and hand it to the evaluator."""
        self.runner.call_hook(f"before_{self.phase}_iter", batch_idx=idx, data_batch=data_batch)
        model = self.runner.model
        samples = predict(model.module if is_model_wrapper(model) else model, data_batch)
        self.evaluator.process(data_samples=samples, data_batch=data_batch)
        self.runner.call_hook(f"after_{self.phase}_iter", batch_idx=idx, data_batch=data_batch, outputs=samples)


@LOOPS.register_module()
class LeanValLoop(_Evaluation, ValLoop):
    """mmengine's validation loop around `predict`."""

    phase = "val"


@LOOPS.register_module()
class LeanTestLoop(_Evaluation, TestLoop):
    """mmengine's test loop around `predict`."""

    phase = "test"


def predict(model: EncoderDecoder, batch: dict[str, Any]) -> list[SegDataSample]:
    """Scores and labels of a batch: what `model.test_step` returns, with labels as uint8.

    Args:
        model: a segmentor in evaluation mode.
        batch: `inputs` and `data_samples`, as they come from a data loader.

    Returns:
        The samples, on the device of the model, with `seg_logits` of shape (K, height, width) and `pred_sem_seg` of
        shape (1, height, width), at the size that the images had before any test-time resizing or padding.
    """
    data = model.data_preprocessor(batch, False)
    samples: list[SegDataSample] = data["data_samples"]
    scores = model.inference(data["inputs"], [sample.metainfo for sample in samples])
    for sample, padded in zip(samples, scores, strict=True):
        each = unpadded(padded, sample.metainfo, model.align_corners)
        sample.set_data({"seg_logits": PixelData(data=each), "pred_sem_seg": PixelData(data=labels(each)[None])})
    return samples


def unpadded(scores: Tensor, image: Mapping[str, Any], align_corners: bool) -> Tensor:
    """Scores without the padding of the input, at the original size of the image.

    Args:
        scores: shape (K, height, width).
        image: facts of the image by mmsegmentation's names: `ori_shape`, and `img_padding_size` where it was padded.
        align_corners: as the network itself resizes.
    """
    left, right, top, bottom = image.get("img_padding_size", image.get("padding_size", (0, 0, 0, 0)))
    height, width = scores.shape[1:]
    scores = scores[:, top : height - bottom, left : width - right]
    if scores.shape[1:] == tuple(image["ori_shape"]):
        return scores
    return F.interpolate(scores[None], image["ori_shape"], mode="bilinear", align_corners=align_corners)[0]


def labels(scores: Tensor) -> Tensor:
    """The class of the highest score at each pixel, the first among equals.

    Args:
        scores: shape (K, height, width), 1 < K < 256.

    Returns:
        uint8, shape (height, width).
    """
    return scores.max(dim=0).indices.to(torch.uint8)
