"""Deterministic CUDA operators, where those of PyTorch are not and refuse to train."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmcv.ops.point_sample import bilinear_grid_sample
from torch import Tensor

adaptive_avg_pool2d, grid_sample = F.adaptive_avg_pool2d, F.grid_sample
"""PyTorch's own operators, whose gradients on CUDA depend on the order of additions."""


def is_needed(x: Tensor) -> bool:
    """Return whether PyTorch would refuse to differentiate its own operators."""
    return x.is_cuda and torch.are_deterministic_algorithms_enabled() and torch.is_grad_enabled()


def deterministic_adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Compute `F.adaptive_avg_pool2d`; by matrix products in float32 if PyTorch's operator is not deterministic."""
    if not is_needed(input):
        return adaptive_avg_pool2d(input, output_size)
    sides = (output_size, output_size) if isinstance(output_size, int) else output_size
    size = [side if wanted is None else wanted for side, wanted in zip(input.shape[-2:], sides, strict=True)]
    rows, columns = (_bins(side, bins, input.device) for side, bins in zip(input.shape[-2:], size, strict=True))
    with torch.autocast(input.device.type, enabled=False):
        sums = rows @ (input.float() @ columns.T)
        return (sums / (rows.sum(1)[:, None] * columns.sum(1))).to(input.dtype)


def deterministic_grid_sample(
    input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Tensor:
    """Compute `F.grid_sample`; by mmcv's operator, which gathers pixels, if PyTorch's is not deterministic.

    Supports bilinear sampling with zero padding only, the only mode used in training by mmsegmentation's networks.
    """
    if mode != "bilinear" or padding_mode != "zeros" or input.ndim != 4 or not is_needed(input):
        return grid_sample(input, grid, mode, padding_mode, align_corners)
    dtype = torch.promote_types(input.dtype, grid.dtype)
    sampled: Tensor = bilinear_grid_sample(input.to(dtype).contiguous(), grid.to(dtype), bool(align_corners))
    return sampled


def _bins(side: int, bins: int, device: torch.device) -> Tensor:
    """Return the pixels of a side that each bin of an adaptive pooling covers: 0 and 1, shape (bins, side)."""
    bin, pixel = torch.arange(bins, device=device)[:, None], torch.arange(side, device=device)
    return ((pixel >= bin * side // bins) & (pixel * bins < (bin + 1) * side)).float()
