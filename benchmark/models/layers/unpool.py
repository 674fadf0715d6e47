"""Max-unpooling: the way back from a max-pooling that kept the indices of its maxima (SegNet, ENet)."""

from __future__ import annotations

from torch import Tensor

from benchmark.models.layers.memory_format import is_channels_last


def max_unpool(x: Tensor, indices: Tensor, size: tuple[int, int]) -> Tensor:
    """Put every value back where the maximum was found, zero elsewhere.

    `torch.nn.functional.max_unpool2d` computes the same, but given a size it can be traced neither by `torch.jit.trace`
    nor, so, by fvcore.

    Args:
        x: (N, C, h, w).
        indices: (N, C, h, w), what `max_pool2d(..., return_indices=True)` returned: positions in the flattened map. Of
            windows that do not overlap, so that no two are the same.
        size: (H, W) of the map that was pooled; the only way to know it, since odd and even sizes pool to the same.

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
