"""Classifier for the separate training of an encoder, before its decoder is appended (ENet, ESPNet)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn


@MODELS.register_module()
class EncoderClassifier(BaseDecodeHead):
    """A pointwise convolution, whose loss is computed at the size of the encoder's map.

    As in the code of the authors of both networks, labels are subsampled by nearest neighbour: the top left of every
    `stride` x `stride` pixels is used.

    Args:
        in_channels: channels of the encoder's map.
        in_index: index of that map among the encoder's outputs.
        num_classes: number of classes.
        bias: whether the convolution has a bias.
        stride: stride of the map.
        **kwargs: further arguments of mmsegmentation's heads: loss, ignore_index, align_corners.
    """

    def __init__(
        self, in_channels: int, in_index: int, num_classes: int, bias: bool = True, stride: int = 8, **kwargs: Any
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            channels=in_channels,
            num_classes=num_classes,
            in_index=in_index,
            dropout_ratio=0,
            init_cfg=None,
            **kwargs,
        )
        self.stride = stride
        self.conv_seg = nn.Conv2d(in_channels, self.out_channels, 1, bias=bias)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Map the encoder's outputs of an image of (H, W) to logits (N, num_classes, H/stride, W/stride)."""
        return self.cls_seg(inputs[self.in_index])

    def _stack_batch_gt(self, batch_data_samples: Sequence[SegDataSample]) -> Tensor:
        labels: Tensor = super()._stack_batch_gt(batch_data_samples)
        return labels[..., :: self.stride, :: self.stride]
