"""Layers shared by encoder and decoder of SegNet (Badrinarayanan et al., arXiv 1511.00561).

The authors' prototxt files are those of github.com/alexgkendall/SegNet-Tutorial.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from mmcv.cnn import build_norm_layer
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.models.layers.memory_format import is_channels_last, pixels

Pooling = tuple[Tensor, tuple[int, int]]
"""State of a max-pooling: indices of the maxima, (N, C, h, w), and size (H, W) of the input map."""

INITIAL_WEIGHTS: list[dict[str, Any]] = [
    {"type": "Kaiming", "layer": "Conv2d", "mode": "fan_in"},
    {"type": "Constant", "layer": "_BatchNorm", "val": 1, "bias": 0.001},
]
"""`msra` for convolutions, their biases 0; scale 1 and shift 0.001 for normalisation (`Models/*_train.prototxt`)."""


def convolutions(
    widths: Iterable[int], kernel: int, norm_cfg: Mapping[str, Any], bias: bool = True, relu: bool = True
) -> list[nn.Module]:
    """Build convolutions that keep the size, each followed by batch normalization and, by default, ReLU.

    Args:
        widths: channels of the input, then of the output of each convolution.
        kernel: side of the kernel.
        norm_cfg: mmsegmentation's config of the normalisation layers.
        bias: whether the convolutions have biases.
        relu: whether a ReLU follows.
    """
    layers: list[nn.Module] = []
    for in_channels, out_channels in pairwise(widths):
        layers.append(nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=bias))
        layers.append(build_norm_layer(dict(norm_cfg), out_channels)[1])
        if relu:
            layers.append(nn.ReLU(inplace=True))
    return layers


class LocalResponseNorm(nn.LocalResponseNorm):
    """PyTorch's layer, with outputs in the memory format of its input."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        if not is_channels_last(x):
            return super().forward(x)
        batch, channels, height, width = x.shape
        padding = (self.size // 2, (self.size - 1) // 2)
        mean = F.avg_pool1d(F.pad(pixels(x * x), padding), self.size, stride=1)
        mean = mean.view(batch, height, width, channels).permute(0, 3, 1, 2)
        return x / (mean * self.alpha + self.k) ** self.beta


def max_pool() -> nn.MaxPool2d:
    """Pool 2x2 windows with stride 2; sizes are rounded up as in Caffe, and indices are returned."""
    return nn.MaxPool2d(2, ceil_mode=True, return_indices=True)
