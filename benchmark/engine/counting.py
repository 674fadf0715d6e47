"""Confusion counts where the prediction is: `benchmark.confusion.count` for tensors of any device."""

from __future__ import annotations

import torch
from torch import Tensor


def count(prediction: Tensor, label: Tensor, classes: int) -> Tensor:
    """Count pixels by ground truth and prediction.

    No pixel is picked out: void has a row and a column of its own, so every pixel is counted, in integers as narrow as
    the number of bins allows. A mask, or int64 throughout, costs several times as much.

    Args:
        prediction: class indices, any shape and integer type; values outside 0..classes-1 count as void.
        label: ground truth of the same shape, on the same device; values outside 0..classes-1 count as void.
        classes: number of classes K, at most 254.

    Returns:
        int64 counts of shape (K + 1, K + 1) on that device, see `benchmark.confusion`.

    Raises:
        ValueError: the shapes differ.
    """
    if prediction.shape != label.shape:
        raise ValueError(f"prediction has shape {tuple(prediction.shape)}, label {tuple(label.shape)}")
    bins = classes + 1
    index = torch.int16 if bins * bins <= torch.iinfo(torch.int16).max else torch.int32
    bin_of_pixel = _void_last(label, classes).to(index).mul_(bins).add_(_void_last(prediction, classes))
    return torch.bincount(bin_of_pixel.flatten(), minlength=bins * bins).reshape(bins, bins)


def _void_last(values: Tensor, classes: int) -> Tensor:
    """The values as uint8, with `classes` for whatever is no class."""
    if values.dtype != torch.uint8:
        largest = torch.iinfo(values.dtype).max  # of int8 it may be below the number of classes
        values = values.clamp(-1, min(classes, largest)).to(torch.uint8)  # -1 becomes 255
    return values.clamp(max=classes)
