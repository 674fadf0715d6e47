"""Confusion matrices in the report: pixel counts by ground truth and prediction, and the most confused pairs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.reporting.picture import Picture, heat_map
from benchmark.results.arrays import read_totals
from benchmark.results.reading import Problem, Stored

READABLE = 32
"""Maximum number of classes of a matrix that is shown with numbers; a larger one is a heat map."""

PAIRS, MORE_PAIRS = 6, 20
"""Number of pairs shown below a matrix with numbers, and below a heat map."""

VOID = "void"


@dataclass(frozen=True)
class Pair:
    """Two classes that are confused.

    Attributes:
        truth: class of the ground truth.
        predicted: the other class, which is predicted.
        percent: share of the pixels of `truth`.
        pixels: their number.
    """

    truth: str
    predicted: str
    percent: float
    pixels: int


@dataclass(frozen=True)
class Confusion:
    """The confusion matrix of an architecture on test, summed over its seeds.

    Attributes:
        truths: classes of the ground truth, one for each row; void is the last one where it is scored.
        predictions: predicted classes, one for each column; void is the last one where it is predicted.
        counts: number of pixels, int64 of shape (rows, columns).
        seeds: number of summed runs.
    """

    truths: Sequence[str]
    predictions: Sequence[str]
    counts: NDArray[np.int64]
    seeds: int

    @property
    def is_readable(self) -> bool:
        """Whether it is small enough to be shown with numbers."""
        return len(self.predictions) <= READABLE

    @property
    def text(self) -> str:
        """The counts as text: columns separated by spaces, rows by commas."""
        return ",".join(" ".join(map(str, row)) for row in self.counts.tolist())

    @property
    def percent(self) -> NDArray[np.float64]:
        """The shares of the pixels of each true class, shape (rows, columns)."""
        whole = np.maximum(self.counts.sum(axis=1, keepdims=True), 1).astype(np.float64)
        return np.asarray(100 * self.counts / whole, np.float64)

    @property
    def picture(self) -> Picture:
        """The shares as a heat map."""
        return heat_map(self.percent)

    @property
    def pairs(self) -> list[Pair]:
        """The pairs with the largest shares of the pixels of a class, the most confused first."""
        percent = self.percent
        np.fill_diagonal(percent, 0)
        order = np.argsort(-percent, axis=None, kind="stable")[: PAIRS if self.is_readable else MORE_PAIRS]
        found = zip(*(each.tolist() for each in np.unravel_index(order, percent.shape)), strict=True)
        return [
            Pair(self.truths[t], self.predictions[p], float(percent[t, p]), int(self.counts[t, p]))
            for t, p in found
            if percent[t, p] > 0
        ]


def confusion(stored: Iterable[Stored]) -> Confusion | None:
    """Return the confusion matrix of the last checkpoints on test of an architecture's successful runs.

    Args:
        stored: runs of one architecture of one group, all with the same classes.

    Returns:
        None if no run has one.
    """
    found = []
    for each in stored:
        evaluation = each.record.evaluation()
        if each.record.status != "ok" or evaluation is None:
            continue
        totals = read_totals(each)
        if not isinstance(totals, Problem):  # a damaged file is a problem of the report already
            found.append((each.record, totals[evaluation.counts]))
    if not found:
        return None
    record = found[0][0]
    alike = [counts for each, counts in found if each.dataset.classes == record.dataset.classes]
    counts = np.sum(alike, axis=0)
    names = [*record.dataset.classes, VOID]
    if len(names) != len(counts):
        return None
    rows = len(counts) if record.protocol.void == "false_positive" and counts[-1].any() else len(counts) - 1
    columns = len(counts) if counts[:rows, -1].any() else len(counts) - 1
    return Confusion(names[:rows], names[:columns], counts[:rows, :columns], len(alike))
