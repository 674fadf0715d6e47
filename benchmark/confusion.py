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
from typing import Literal

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
    """Scores of the dataset whose counts these are.

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
    if void not in ("ignore", "false_positive"):
        raise ValueError(f"unknown void rule {void!r}: ignore or false_positive")
    total = counts.reshape(-1, *counts.shape[-2:]).sum(axis=0, dtype=np.int64)
    truth = total[:-1].sum(axis=1)  # of each class, wherever predicted, void included
    guess = (total if void == "false_positive" else total[:-1]).sum(axis=0)[:-1]
    hit = total.diagonal()[:-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        iou = 100 * hit / (truth + guess - hit)
        acc = 100 * hit / truth
        aacc = 100 * hit.sum() / truth.sum()
    return Scores(miou=_mean(iou), macc=_mean(acc), aacc=float(aacc), iou=iou, acc=acc)


def _mean(values: NDArray[np.float64]) -> float:
    """Mean of the defined values; NaN, without a warning, where none is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")
