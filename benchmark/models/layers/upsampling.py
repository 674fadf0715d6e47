"""Bilinear interpolation as a transposed convolution, and crops, for networks that learn their upsampling."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.models.layers.memory_format import is_channels_last


def bilinear(size: int) -> Tensor:
    """Return the kernel (size, size) with which a transposed convolution of stride size / 2 interpolates bilinearly."""
    ramp = 1 - (torch.arange(size) - (size - 1) / 2).abs() / (size / 2)
    return ramp[:, None] * ramp


def crop(x: Tensor, size: Sequence[int], top: int = 0, left: int | None = None) -> Tensor:
    """Return the part of a map that begins at (top, left), with left = top by default, and has size (height, width).

    A crop from the corner reverses the rounding of an odd size in an earlier halving.
    """
    height, width = size[:2]
    left = top if left is None else left
    if is_channels_last(x):  # a slice would have a contiguous gradient
        below, right = x.shape[-2] - top - height, x.shape[-1] - left - width
        return F.pad(x, (-left, -right, -top, -below)) if top or left or below or right else x
    return x[..., top : top + height, left : left + width]
