"""Multi-scale deformable attention: https://arxiv.org/abs/2010.04159, equation 3.

mmcv itself computes it in PyTorch on the CPU, but requires the compiled operator on a GPU (Mask2Former's pixel
decoder).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

_known: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
"""Cached sizes of levels read from the device, each with the version of their tensor."""


def ms_deform_attn_forward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Compute each query's weighted mean of the values at its sampling locations, over all levels.

    Args:
        value: (batch, positions of all levels, heads, channels).
        spatial_shapes: height and width of each level (levels, 2).
        level_start_index: first position of each level; follows from `spatial_shapes`.
        sampling_locations: x and y in 0 to 1, (batch, queries, heads, levels, points, 2).
        attention_weights: (batch, queries, heads, levels, points).
        im2col_step: parameter of the compiled operator, ignored here.

    Returns:
        (batch, queries, heads * channels).
    """
    batch, _, heads, channels = value.shape
    sizes = _sizes(spatial_shapes)
    levels = value.split([height * width for height, width in sizes], dim=1)
    attended = []
    for level, (values, (height, width)) in enumerate(zip(levels, sizes, strict=True)):
        maps = values.permute(0, 2, 3, 1).reshape(batch * heads, channels, height, width)
        grid = 2 * sampling_locations[:, :, :, level].transpose(1, 2).flatten(0, 1) - 1
        weights = attention_weights[:, :, :, level].transpose(1, 2).flatten(0, 1)
        attended.append((F.grid_sample(maps, grid, align_corners=False) * weights[:, None]).sum(-1))
    return torch.stack(attended).sum(0).view(batch, heads * channels, -1).transpose(1, 2).contiguous()


def _sizes(spatial_shapes: Tensor) -> list[list[int]]:
    """Return height and width of each level; a tensor of them is read once for all layers.

    Reading it synchronizes with the device.
    """
    sizes: list[list[int]]
    version, sizes = _known.get(spatial_shapes, (None, []))
    if version != spatial_shapes._version:
        sizes = spatial_shapes.tolist()
        _known[spatial_shapes] = spatial_shapes._version, sizes
    return sizes


def ms_deform_attn_backward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Compute the gradients of `ms_deform_attn_forward` into the last three tensors, by recomputing it."""
    with torch.enable_grad():
        value, sampling_locations, attention_weights = inputs = tuple(
            tensor.detach().requires_grad_() for tensor in (value, sampling_locations, attention_weights)
        )
        output = ms_deform_attn_forward(
            value, spatial_shapes, level_start_index, sampling_locations, attention_weights, im2col_step
        )
    gradients = torch.autograd.grad(output, inputs, grad_output)
    for given, gradient in zip((grad_value, grad_sampling_loc, grad_attn_weight), gradients, strict=True):
        given.copy_(gradient)
