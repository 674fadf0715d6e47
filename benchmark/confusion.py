"""Confusion matrices of images, and the scores computed from them.

All accuracy figures of the package are computed here, from integer matrices, so that every reported figure can be
recomputed from stored data. Only NumPy is needed: reports and checks do not need torch.

A confusion matrix has shape ``(K + 1, K + 1)`` for K classes: rows are ground truth, columns predictions, and the last
row and column are void: pixels without ground truth, and pixels whose prediction is not one of the K classes (ESPNet's
CamVid release predicts void itself). With void as a separate bin, the scores under both void rules can be computed from
the same matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

VOID = 255
"""Label value of pixels without ground truth."""

METRIC_VERSION = 1
"""Part of every protocol fingerprint; increased when the computation below changes."""

VoidRule = Literal["ignore", "false_positive"]
"""How pixels with void ground truth are scored: ignored, or as false positives of their predicted class."""


@dataclass(frozen=True)
class Scores:
    """Scores over a whole dataset, in percent and full precision.

    Attributes:
        miou: mean of ``iou`` over the classes with a defined value.
        macc: mean of ``acc`` (class accuracy) over the classes with a defined value.
        aacc: correct pixels among all pixels with ground truth (global accuracy).
        iou: intersection over union by class; NaN if the class is neither in the ground truth nor predicted.
        acc: recall by class; NaN if the class is not in the ground truth.
    """

    miou: float
    macc: float
    aacc: float
    iou: NDArray[np.float64]
    acc: NDArray[np.float64]


def count(prediction: NDArray[np.integer], label: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
    """Count pixels by ground truth and prediction.

    Args:
        prediction: class indices, any shape; values outside 0..classes-1 are void.
        label: ground truth of the same shape; values outside 0..classes-1 are void.
        classes: number of classes K, at most 254.

    Returns:
        int64 confusion matrix of shape (K + 1, K + 1), see the module docstring.

    Raises:
        ValueError: the shapes differ.
    """
    if prediction.shape != label.shape:
        raise ValueError(f"prediction has shape {prediction.shape}, label {label.shape}")
    bins = classes + 1
    void = np.int32(classes)  # int32, because the index of void may not fit in int8
    truth = np.where((label < 0) | (label > classes), void, label).astype(np.int32)
    guess = np.where((prediction < 0) | (prediction > classes), void, prediction).astype(np.int32)
    return np.bincount((truth * bins + guess).ravel(), minlength=bins * bins).reshape(bins, bins).astype(np.int64)


def scores(counts: NDArray[np.integer], void: VoidRule = "ignore") -> Scores:
    """Compute the scores of a dataset from its confusion matrices.

    The matrices of all images are summed first: intersection over union is computed over the dataset, never averaged
    over images (PASCAL VOC 2012 development kit, section 3.2).

    Args:
        counts: confusion matrices, shape (K + 1, K + 1) or (images, K + 1, K + 1).
        void: how pixels with void ground truth are scored.

    Raises:
        ValueError: the void rule is unknown, or the shape is wrong.
    """
    if counts.ndim not in (2, 3) or counts.shape[-1] != counts.shape[-2]:
        raise ValueError(f"counts must have shape (K+1, K+1) or (images, K+1, K+1), not {counts.shape}")
    total = counts.reshape(-1, *counts.shape[-2:]).sum(axis=0, dtype=np.int64)
    truth = marginals(total, void)[0]
    hit, union = overlaps(total, void)
    iou, acc, aacc = percent(hit, union), percent(hit, truth), percent(hit.sum(), truth.sum())
    return Scores(miou=float(mean_defined(iou)), macc=float(mean_defined(acc)), aacc=float(aacc), iou=iou, acc=acc)


def marginals(counts: NDArray[np.integer], void: VoidRule = "ignore") -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the pixels of each class in the ground truth, and in the predictions that are scored.

    Args:
        counts: confusion matrices, shape (..., K + 1, K + 1).
        void: how pixels with void ground truth are scored.

    Returns:
        Both of shape (..., K). The first includes pixels predicted as void.

    Raises:
        ValueError: the void rule is unknown.
    """
    if void not in get_args(VoidRule):
        raise ValueError(f"unknown void rule {void!r}: {' or '.join(get_args(VoidRule))}")
    labelled = counts[..., :-1, :]
    predicted = counts if void == "false_positive" else labelled
    return labelled.sum(axis=-1), predicted.sum(axis=-2)[..., :-1]


def overlaps(counts: NDArray[np.integer], void: VoidRule = "ignore") -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the pixels in the intersection and in the union of ground truth and prediction of each class.

    Both are additive: their sums over images are those of the dataset.

    Args:
        counts: confusion matrices, shape (..., K + 1, K + 1).
        void: how pixels with void ground truth are scored.

    Returns:
        Intersections and unions, of shape (..., K).

    Raises:
        ValueError: the void rule is unknown.
    """
    truth, predicted = marginals(counts, void)
    hit = np.diagonal(counts, axis1=-2, axis2=-1)[..., :-1]
    return hit, truth + predicted - hit


def percent(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """Divide numbers of pixels elementwise, in percent; NaN, without a warning, for division by 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(100 * part / whole)


def mean_defined(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average over the last axis, ignoring NaN.

    Args:
        values: shape (..., K).

    Returns:
        Shape (...); NaN, without a warning, if no value is defined.
    """
    defined = ~np.isnan(values)
    if defined.all() and defined.size:
        return np.asarray(values.mean(axis=-1))
    rows, number = values.reshape(-1, values.shape[-1]), defined.sum(axis=-1).ravel()
    means = np.full(len(rows), np.nan)
    for count in np.unique(number[number > 0]):  # rows of equal length are averaged together, in the same order
        alike = number == count
        means[alike] = rows[alike][defined.reshape(rows.shape)[alike]].reshape(-1, count).mean(axis=-1)
    return means.reshape(values.shape[:-1])
