"""Max-unpooling by the indices of the maxima of a max-pooling (SegNet, ENet)."""

from __future__ import annotations

from torch import Tensor

from benchmark.models.layers.memory_format import is_channels_last


def max_unpool(x: Tensor, indices: Tensor, size: tuple[int, int]) -> Tensor:
    """Write every value to the position of its maximum, and zeros elsewhere.

    `torch.nn.functional.max_unpool2d` computes the same, but with a given size it cannot be traced by
    `torch.jit.trace`, and so not by fvcore.

    Args:
        x: (N, C, h, w).
        indices: (N, C, h, w), from `max_pool2d(..., return_indices=True)`: positions in the flattened map. Windows
            must not overlap, so that indices are unique.
        size: (H, W) of the pooled map; odd and even sizes pool to the same size.

    Returns:
        (N, C, H, W), in the memory format of `x`.
    """
    batch, channels = x.shape[:2]
    height, width = size
    if is_channels_last(x):
        flat = x.new_zeros(batch, height * width, channels)
        indices, x = (each.permute(0, 2, 3, 1).flatten(1, 2) for each in (indices, x))
        return flat.scatter(1, indices, x).view(batch, height, width, channels).permute(0, 3, 1, 2)
    flat = x.new_zeros(batch, channels, height * width)
    return flat.scatter(2, indices.flatten(2), x.flatten(2)).view(batch, channels, height, width)
