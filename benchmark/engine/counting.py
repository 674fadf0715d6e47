"""Compute confusion matrices on the device of the predictions: `benchmark.confusion.count` for tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def count_images(predictions: Sequence[Tensor], labels: Sequence[Tensor], classes: int) -> list[Tensor]:
    """Count the pixels of each image by ground truth and prediction, like `count`.

    Images of one shape on a GPU are counted in one batch, without synchronizing with the GPU.

    Args:
        predictions: class indices of each image.
        labels: ground truth of each image.
        classes: number of classes K, at most 254.

    Returns:
        int64 matrices of shape (K + 1, K + 1), one for each image, on its device.

    Raises:
        ValueError: the shapes of a prediction and its label differ.
    """
    shapes = {(prediction.shape, label.shape) for prediction, label in zip(predictions, labels, strict=True)}
    if len(predictions) > 1 and len(shapes) == 1 and all(map(_is_on_gpu, predictions)):
        return list(_scattered(torch.stack(list(predictions)), torch.stack(list(labels)), classes))
    return [count(prediction, label, classes) for prediction, label in zip(predictions, labels, strict=True)]


def count(prediction: Tensor, label: Tensor, classes: int) -> Tensor:
    """Count pixels by ground truth and prediction.

    Every pixel is counted: void has its own row and column, so no mask is needed.

    Args:
        prediction: class indices, any shape and integer type; values outside 0..classes-1 are void.
        label: ground truth of the same shape, on the same device; values outside 0..classes-1 are void.
        classes: number of classes K, at most 254.

    Returns:
        int64 confusion matrix of shape (K + 1, K + 1) on that device, see `benchmark.confusion`.

    Raises:
        ValueError: the shapes differ.
    """
    if _is_on_gpu(prediction):
        return _scattered(prediction[None], label[None], classes)[0]
    _check(prediction, label)
    bins = classes + 1
    # Use the narrowest integers for the number of bins: int64 throughout costs several times as much.
    index = torch.int16 if bins * bins <= torch.iinfo(torch.int16).max else torch.int32
    bin_of_pixel = _void_last(label, classes).to(index).mul_(bins).add_(_void_last(prediction, classes))
    return torch.bincount(bin_of_pixel.flatten(), minlength=bins * bins).reshape(bins, bins)


def _scattered(predictions: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Count the pixels of each image by scatter-add into a fixed number of bins.

    On a GPU `bincount` synchronizes: it reads the smallest and the largest value to determine the number of bins. Sums
    of integers do not depend on the order of addition.

    Args:
        predictions: shape (images, ...).
        labels: of the same shape.
        classes: number of classes K.

    Returns:
        int64, shape (images, K + 1, K + 1).
    """
    _check(predictions, labels)
    images, bins = len(predictions), classes + 1
    bin_of_pixel = _void_last(labels, classes).long().mul_(bins).add_(_void_last(predictions, classes))
    # One-dimensional: in several dimensions, deterministic algorithms read sizes from the host.
    first = torch.arange(0, images * bins * bins, bins * bins, device=labels.device)
    index = bin_of_pixel.reshape(images, -1).add_(first[:, None]).view(-1)
    counts = torch.zeros(images * bins * bins, dtype=torch.int64, device=labels.device)
    one = torch.ones((), dtype=torch.int64, device=labels.device)
    return counts.scatter_add_(0, index, one.expand_as(index)).view(images, bins, bins)


def _is_on_gpu(tensor: Tensor) -> bool:
    return tensor.device.type != "cpu"


def _check(prediction: Tensor, label: Tensor) -> None:
    if prediction.shape != label.shape:
        raise ValueError(f"prediction has shape {tuple(prediction.shape)}, label {tuple(label.shape)}")


def _void_last(values: Tensor, classes: int) -> Tensor:
    """Return the values as uint8, with `classes` in place of all values that are not classes."""
    if values.dtype != torch.uint8:
        largest = torch.iinfo(values.dtype).max  # for int8 it may be less than the number of classes
        values = values.clamp(-1, min(classes, largest)).to(torch.uint8)  # -1 becomes 255
    return values.clamp(max=classes)
