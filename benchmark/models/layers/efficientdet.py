"""The convolutions of EfficientDet (Tan, Pang and Le, arXiv 1911.09070).

Weights start from Glorot's uniform distribution, the default of Keras, which the authors' code,
github.com/google/automl, uses. The biases of their convolutions, which batch normalisation cancels, are omitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmcv.cnn import build_norm_layer
from torch import Tensor, nn


class PointwiseConv(nn.Module):
    """1x1 convolution and batch normalisation."""

    def __init__(self, in_channels: int, out_channels: int, norm_cfg: Mapping[str, Any]) -> None:
        super().__init__()
        self.conv = _glorot(nn.Conv2d(in_channels, out_channels, 1, bias=False))
        self.norm = build_norm_layer(norm_cfg, out_channels)[1]

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H, W)."""
        return self.norm(self.conv(x))


class SeparableConv(nn.Module):
    """Depthwise separable 3x3 convolution and batch normalisation, without layers between depthwise and pointwise."""

    def __init__(self, in_channels: int, out_channels: int, norm_cfg: Mapping[str, Any]) -> None:
        super().__init__()
        self.depthwise = _glorot(nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False))
        self.pointwise = _glorot(nn.Conv2d(in_channels, out_channels, 1, bias=False))
        self.norm = build_norm_layer(norm_cfg, out_channels)[1]

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H, W)."""
        return self.norm(self.pointwise(self.depthwise(x)))


def _glorot(conv: nn.Conv2d) -> nn.Conv2d:
    nn.init.xavier_uniform_(conv.weight)
    return conv
