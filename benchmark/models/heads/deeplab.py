"""The scores of DeepLab v1 and v2: sums over branches, at an eighth of the resolution (arXiv 1606.00915, Figure 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

STRIDE = 8


class DeepLabHead(BaseDecodeHead):
    """Scores for the pixels 0, 8, 16, ... of each side, at which the loss is computed.

    Both papers train on labels subsampled by 8, and interpolate the scores bilinearly by 8 in testing. Here score i is
    at pixel 8i for every image size; the pixels after the last score, which do not exist in an image of 8k + 1 pixels,
    like the authors', have the last score.

    Args:
        layers: one layer of scores for each branch.
        num_classes: number of classes.
        **kwargs: further arguments of mmsegmentation's heads: loss, ignore_index.
    """

    def __init__(self, layers: Sequence[nn.Conv2d], num_classes: int, **kwargs: Any) -> None:
        channels = layers[0].in_channels
        super().__init__(channels, channels, num_classes=num_classes, dropout_ratio=0, init_cfg=None, **kwargs)
        # Replaces the 1x1 classifier that every head of mmsegmentation has. Initial values are the authors'.
        self.conv_seg = nn.ModuleList(layers)
        for layer in layers:
            nn.init.normal_(layer.weight, std=0.01)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def _stack_batch_gt(self, batch_data_samples: Sequence[SegDataSample]) -> Tensor:
        labels: Tensor = super()._stack_batch_gt(batch_data_samples)
        return labels[..., ::STRIDE, ::STRIDE]

    def predict_by_feat(self, seg_logits: Tensor, batch_img_metas: Sequence[Mapping[str, Any]]) -> Tensor:
        """Map (N, num_classes, H/8, W/8), rounded up, to (N, num_classes, H, W) by bilinear interpolation."""
        meta = batch_img_metas[0]
        window = isinstance(meta["img_shape"], torch.Size)  # set by sliding inference; the other sizes are the image's
        height, width = (meta["img_shape"] if window else meta.get("pad_shape", meta["img_shape"]))[:2]
        extended = F.pad(seg_logits, (0, 1, 0, 1), mode="replicate")
        size = [STRIDE * side + 1 for side in seg_logits.shape[-2:]]
        return F.interpolate(extended, size, mode="bilinear", align_corners=True)[..., :height, :width]


@MODELS.register_module()
class FC8Head(DeepLabHead):
    """fc8 of every branch of `DeepLabVGG16`, summed.

    Args:
        branches: number of branches.
        num_classes: number of classes.
        **kwargs: see `DeepLabHead`.
    """

    def __init__(self, branches: int, num_classes: int, **kwargs: Any) -> None:
        super().__init__([nn.Conv2d(1024, num_classes, 1) for _ in range(branches)], num_classes, **kwargs)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Map fc7 of every branch, (N, 1024, h, w), to scores (N, num_classes, h, w)."""
        return torch.stack([fc8(fc7) for fc8, fc7 in zip(self.conv_seg, inputs, strict=True)]).sum(0)


@MODELS.register_module()
class ASPPv2Head(DeepLabHead):
    """ASPP on a ResNet: dilated 3x3 convolutions from its last map directly to scores, summed.

    The paper shows the branches for VGG16 (Figure 7) and describes LargeFOV on ResNet-101 as one atrous convolution on
    top (section 4.1.2). That the four of ASPP compute scores directly is from the port that loads the authors' models,
    github.com/kazuto1011/deeplab-pytorch, `libs/models/deeplabv2.py`.

    Args:
        in_channels: channels of the last map.
        rates: dilation of each convolution.
        num_classes: number of classes.
        **kwargs: see `DeepLabHead`.
    """

    def __init__(self, in_channels: int, rates: Sequence[int], num_classes: int, **kwargs: Any) -> None:
        layers = [nn.Conv2d(in_channels, num_classes, 3, padding=rate, dilation=rate) for rate in rates]
        super().__init__(layers, num_classes, **kwargs)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Map the backbone's maps, the last of (N, in_channels, h, w), to scores (N, num_classes, h, w)."""
        return torch.stack([layer(inputs[-1]) for layer in self.conv_seg]).sum(0)
