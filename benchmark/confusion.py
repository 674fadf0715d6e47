"""Confusion counts of one image, and the scores that follow from them.

Everything the suite says about accuracy is computed here, from integer counts, so that any reported figure can be
recomputed from what is stored. NumPy alone: reports and checks need no torch.

A count matrix has shape ``(K + 1, K + 1)`` for K classes: rows are ground truth, columns predictions, and the last row
and column hold void: pixels without ground truth, and pixels for which the network predicted something that is not one
of the K classes (ESPNet's CamVid release predicts void itself). Keeping void apart lets both rules for it be computed
from the same counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

VOID = 255
"""Label value of pixels without ground truth."""

METRIC_VERSION = 1
"""Part of every protocol fingerprint; raised when the arithmetic below changes."""

VoidRule = Literal["ignore", "false_positive"]
"""How pixels of void ground truth count: not at all, or as false positives of the class predicted there."""


@dataclass(frozen=True)
class Scores:
    """Scores over a whole dataset, in percent and full precision.

    Attributes:
        miou: mean of ``iou`` over the classes where it is defined.
        macc: mean of ``acc`` (class accuracy) over the classes where it is defined.
        aacc: correct pixels among all pixels with ground truth (global accuracy).
        iou: intersection over union a class; NaN where the class is neither in the ground truth nor predicted.
        acc: recall a class; NaN where the class is not in the ground truth.
    """

    miou: float
    macc: float
    aacc: float
    iou: NDArray[np.float64]
    acc: NDArray[np.float64]


def count(prediction: NDArray[np.integer], label: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
    """Count pixels by ground truth and prediction.

    Args:
        prediction: class indices, any shape; values outside 0..classes-1 count as void.
        label: ground truth of the same shape; values outside 0..classes-1 count as void.
        classes: number of classes K, at most 254.

    Returns:
        int64 counts of shape (K + 1, K + 1), see the module docstring.

    Raises:
        ValueError: the shapes differ.
    """
    if prediction.shape != label.shape:
        raise ValueError(f"prediction has shape {prediction.shape}, label {label.shape}")
    bins = classes + 1
    void = np.int32(classes)  # with a width of its own: the index of void may not fit into int8
    truth = np.where((label < 0) | (label > classes), void, label).astype(np.int32)
    guess = np.where((prediction < 0) | (prediction > classes), void, prediction).astype(np.int32)
    return np.bincount((truth * bins + guess).ravel(), minlength=bins * bins).reshape(bins, bins).astype(np.int64)


def scores(counts: NDArray[np.integer], void: VoidRule = "ignore") -> Scores:
    """Compute the scores of the dataset whose counts these are.

    The counts of all images are added up first: intersection over union is taken over the dataset, never averaged over
    images (PASCAL VOC 2012 development kit, section 3.2).

    Args:
        counts: shape (K + 1, K + 1), or (images, K + 1, K + 1).
        void: how pixels of void ground truth count.

    Raises:
        ValueError: an unknown void rule, or counts of another shape.
    """
    if counts.ndim not in (2, 3) or counts.shape[-1] != counts.shape[-2]:
        raise ValueError(f"counts must have shape (K+1, K+1) or (images, K+1, K+1), not {counts.shape}")
    total = counts.reshape(-1, *counts.shape[-2:]).sum(axis=0, dtype=np.int64)
    truth = marginals(total, void)[0]
    hit, union = overlaps(total, void)
    iou, acc, aacc = percent(hit, union), percent(hit, truth), percent(hit.sum(), truth.sum())
    return Scores(miou=float(mean_defined(iou)), macc=float(mean_defined(acc)), aacc=float(aacc), iou=iou, acc=acc)


def marginals(counts: NDArray[np.integer], void: VoidRule = "ignore") -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the pixels of each class in the ground truth, and those that are predicted as it and count.

    Args:
        counts: shape (..., K + 1, K + 1).
        void: how pixels of void ground truth count.

    Returns:
        Both of shape (..., K). The first includes pixels that are predicted as void.

    Raises:
        ValueError: an unknown void rule.
    """
    if void not in get_args(VoidRule):
        raise ValueError(f"unknown void rule {void!r}: {' or '.join(get_args(VoidRule))}")
    labelled = counts[..., :-1, :]
    predicted = counts if void == "false_positive" else labelled
    return labelled.sum(axis=-1), predicted.sum(axis=-2)[..., :-1]


def overlaps(counts: NDArray[np.integer], void: VoidRule = "ignore") -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the pixels in the intersection and in the union of ground truth and prediction of each class.

    Both add up: their sums over images are those of the dataset.

    Args:
        counts: shape (..., K + 1, K + 1).
        void: how pixels of void ground truth count.

    Returns:
        Intersections and unions, of shape (..., K).

    Raises:
        ValueError: an unknown void rule.
    """
    truth, predicted = marginals(counts, void)
    hit = np.diagonal(counts, axis1=-2, axis2=-1)[..., :-1]
    return hit, truth + predicted - hit


def percent(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """Divide numbers of pixels, elementwise, in percent; NaN, without a warning, where there are none to divide by."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(100 * part / whole)


def mean_defined(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average over the last axis what is not NaN.

    Args:
        values: shape (..., K).

    Returns:
        Shape (...); NaN, without a warning, where no value is defined.
    """
    defined = ~np.isnan(values)
    if defined.all() and defined.size:
        return np.asarray(values.mean(axis=-1))
    rows, number = values.reshape(-1, values.shape[-1]), defined.sum(axis=-1).ravel()
    means = np.full(len(rows), np.nan)
    for count in np.unique(number[number > 0]):  # rows of one length are averaged together, in the order of one alone
        alike = number == count
        means[alike] = rows[alike][defined.reshape(rows.shape)[alike]].reshape(-1, count).mean(axis=-1)
    return means.reshape(values.shape[:-1])
