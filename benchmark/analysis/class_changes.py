"""Changes of the IoU of each class between two sets of runs of an architecture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from benchmark.statistics.equivalence import Error, interval
from benchmark.statistics.variance import Variance, moderate, sample_variance

ClassIoU = Mapping[str, float | None]
"""IoU of each class of one run, in percent; None if it is neither in the ground truth nor predicted."""


class ClassChange(NamedTuple):
    """The change of one class.

    Attributes:
        name: name of the class.
        base: mean IoU of the seeds of BASE, in percent.
        new: the same of NEW.
        interval: 90 % confidence interval of new - base, in points, not adjusted for the number of classes; None with
            one seed on each side.
    """

    name: str
    base: float
    new: float
    interval: tuple[float, float] | None

    @property
    def change(self) -> float:
        """The change in points."""
        return self.new - self.base


def class_changes(base: Sequence[ClassIoU], new: Sequence[ClassIoU]) -> list[ClassChange]:
    """Return the change of each class that all runs score, the largest loss first.

    The variance between seeds is that of both sides, moderated by those of the other classes
    (`benchmark.statistics.variance`).

    Args:
        base: IoU by class of each run of BASE.
        new: the same of NEW.
    """
    runs = [*base, *new]
    names = [name for name in (runs[0] if base and new else ()) if all(run.get(name) is not None for run in runs)]
    sides = [[[run[name] for run in side] for name in names] for side in (base, new)]
    own = [_pooled(sample_variance(b), sample_variance(n)) for b, n in zip(*sides, strict=True)]
    variances = moderate([each.value for each in own], [each.df for each in own])
    found = []
    for name, before, after, variance in zip(names, *sides, variances, strict=True):
        means = float(np.mean(before)), float(np.mean(after))
        bounds = None
        if variance is not None:
            error = math.sqrt(variance.value * (1 / len(before) + 1 / len(after)))
            bounds = interval(means[1] - means[0], Error(error, variance.df))
        found.append(ClassChange(name, *means, bounds))
    return sorted(found, key=lambda each: each.change)


def _pooled(first: Variance, second: Variance) -> Variance:
    df = first.df + second.df
    return Variance((first.value * first.df + second.value * second.df) / df if df else 0.0, df)
