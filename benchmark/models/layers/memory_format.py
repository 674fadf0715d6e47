"""Operations that keep the memory format and data type of their input, also in the backward pass.

PyTorch's own operations return contiguous gradients, or slices of a larger one, for every format of the map, which the
next operation then copies. In contiguous format the functions here are PyTorch's own operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


def is_channels_last(x: Tensor) -> bool:
    """Return whether a map is stored in channels_last format and not also in contiguous format."""
    return x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def pixels(x: Tensor) -> Tensor:
    """Reshape (N, C, H, W) to (N * H * W, C), without a copy in channels_last format."""
    return x.permute(0, 2, 3, 1).flatten(0, 2)


def concatenate(maps: Sequence[Tensor]) -> Tensor:
    """Concatenate maps along their channels, in the memory format of the first and the lowest type under autocast.

    `torch.cat` returns the widest type: one float32 map among bfloat16 ones makes the result float32. If the formats
    differ, it returns a contiguous map, and gradients that are slices along the channels, which every convolution in
    channels_last format must copy.

    Args:
        maps: (N, C_i, H, W) each.

    Returns:
        (N, sum of C_i, H, W).
    """
    lowered = [x.dtype for x in maps if x.dtype != torch.float32]
    maps = [x.to(lowered[0]) for x in maps] if lowered else list(maps)
    if is_channels_last(maps[0]):
        maps = [x.contiguous(memory_format=torch.channels_last) for x in maps]
        if torch.is_grad_enabled():
            joined: Tensor = _Concatenate.apply(*maps)  # type: ignore[no-untyped-call]
            return joined
    return torch.cat(maps, dim=1)


class _Concatenate(torch.autograd.Function):
    """`torch.cat` of maps in channels_last format, with gradients in that format."""

    @staticmethod
    def forward(ctx: Any, *maps: Tensor) -> Tensor:
        ctx.channels = [x.shape[1] for x in maps]
        return torch.cat(maps, dim=1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        pixels = gradient.permute(0, 2, 3, 1).contiguous()
        # its return type is None in torch's stubs
        parts: Any = torch.split_with_sizes_copy(pixels, ctx.channels, dim=-1)  # type: ignore[func-returns-value]
        return tuple(part.permute(0, 3, 1, 2) for part in parts)


class GlobalAvgPool2d(nn.AdaptiveAvgPool2d):
    """`nn.AdaptiveAvgPool2d(1)`, whose gradient has the memory format of its input."""

    def __init__(self) -> None:
        super().__init__(1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, 1, 1)."""
        return channels_last_mean(x) if is_channels_last(x) else super().forward(x)


def channels_last_mean(x: Tensor) -> Tensor:
    """Map (N, C, H, W) in channels_last format to (N, C, 1, 1), with a gradient in that format."""
    return x.permute(0, 2, 3, 1).mean((1, 2), keepdim=True).permute(0, 3, 1, 2)
