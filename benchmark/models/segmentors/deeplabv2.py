"""Multi-scale processing as in DeepLab v2 (Chen et al., arXiv 1606.00915, section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import add_prefix
from torch import Tensor


@MODELS.register_module()
class MultiScaleEncoderDecoder(EncoderDecoder):
    """A network on several scales of the image, with the maximum of their scores at every position.

    Training and testing use all scales. The paper takes the maximum at the resolution of the image; here it is taken at
    that of the largest scale's scores, at which the loss is computed, and the loss is the sum of the losses of the
    maximum and of every single scale, both as in the port of the authors' models
    (github.com/kazuto1011/deeplab-pytorch). Images,
    labels and scores are resized with aligned corners, so that their pixels stay on those of the image: a side of n
    pixels becomes scale * (n - 1) + 1, rounded down.

    Args:
        scales: scales in ascending order.
        **kwargs: arguments of mmsegmentation's `EncoderDecoder`.
    """

    def __init__(self, scales: Sequence[float], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scales = tuple(scales)

    def loss(self, inputs: Tensor, data_samples: Sequence[SegDataSample]) -> dict[str, Tensor]:
        """Compute the losses of the fused scores and of every scale.

        Args:
            inputs: images (N, 3, H, W).
            data_samples: their labels, (1, H, W) each.
        """
        scores = self._scores(inputs)
        losses: dict[str, Tensor] = add_prefix(self.decode_head.loss_by_feat(self._fuse(scores), data_samples), "fused")
        for scale, each in zip(self.scales, scores, strict=True):
            samples = [_resized(sample, _size(inputs, scale)) for sample in data_samples]
            losses.update(add_prefix(self.decode_head.loss_by_feat(each, samples), f"scale_{scale:g}"))
        return losses

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[Mapping[str, Any]]) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, classes, H, W)."""
        logits: Tensor = self.decode_head.predict_by_feat(self._forward(inputs), batch_img_metas)
        return logits

    def _forward(self, inputs: Tensor, data_samples: Sequence[SegDataSample] | None = None) -> Tensor:
        return self._fuse(self._scores(inputs))

    def _scores(self, image: Tensor) -> list[Tensor]:
        """Map (N, 3, H, W) to the scores of each scale, (N, classes, scale * H/8, scale * W/8)."""
        return [self.decode_head(self.extract_feat(_interpolate(image, _size(image, scale)))) for scale in self.scales]

    def _fuse(self, scores: Sequence[Tensor]) -> Tensor:
        """Return the maximum of the scores of all scales, at the resolution of the last."""
        height, width = scores[-1].shape[-2:]
        return torch.stack([_interpolate(each, (height, width)) for each in scores]).amax(0)


def _size(image: Tensor, scale: float) -> tuple[int, int]:
    """Return height and width at a scale."""
    height, width = image.shape[-2:]
    return int((height - 1) * scale) + 1, int((width - 1) * scale) + 1


def _interpolate(x: Tensor, size: tuple[int, int]) -> Tensor:
    return x if size == tuple(x.shape[-2:]) else F.interpolate(x, size, mode="bilinear", align_corners=True)


def _resized(sample: SegDataSample, size: tuple[int, int]) -> SegDataSample:
    """Resize labels by nearest neighbour with aligned corners."""
    label = sample.gt_sem_seg.data
    rows, columns = (
        torch.linspace(0, side - 1, wanted, device=label.device).round().long()
        for side, wanted in zip(label.shape[-2:], size, strict=True)
    )
    return SegDataSample(gt_sem_seg=PixelData(data=label[..., rows[:, None], columns]))
