"""What networks that learn their upsampling share: bilinear interpolation as a transposed convolution, and crops."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def bilinear(size: int) -> Tensor:
    """The kernel by which a transposed convolution of stride size / 2 interpolates bilinearly: (size, size)."""
    ramp = 1 - (torch.arange(size) - (size - 1) / 2).abs() / (size / 2)
    return ramp[:, None] * ramp


def crop(x: Tensor, size: Sequence[int], offset: int = 0) -> Tensor:
    """The part of a map that begins at `offset`, below and right, and has a size (height, width).

    Without an offset: what is left of a doubled map where the halving before had rounded an odd size up.
    """
    height, width = size[:2]
    return x[..., offset : offset + height, offset : offset + width]
