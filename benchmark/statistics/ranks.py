"""Ranks that scores of a few seeds support: a range for each architecture, from pairwise tests of all means.

A mean of three seeds is off by about half a deviation, so the order of means says more than the data. The range of an
architecture goes from 1 + the number that is shown to be better to n - the number that is shown to be worse. Where the
family of all pairwise tests holds its level, all n ranges together hold the true ranks at that level (Mogstad, Romano,
Shaikh and Wilhelm, "Inference for ranks with applications to mobility across neighbourhoods and academic achievement
across countries", Review of Economic Studies 91, 2024, 476-518, section 3; Al Mohamad, Goeman and van Zwet,
"Simultaneous confidence intervals for ranks with application to ranking institutions", Biometrics 78, 2022, 238-247).

The tests are Welch's, of means whose variances are moderated by those of the other architectures
(`benchmark.statistics.variance`), upwards alone: an architecture that looks noisier than the others is not taken to be
as quiet as they are. Both directions of each pair are hypotheses of their own in Holm's procedure, which then controls
the error of claiming the wrong direction as well, however the tests depend on each other. `experiments/ranks.md` has
the errors that are left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from benchmark.statistics.equivalence import LEVEL
from benchmark.statistics.multiplicity import holm
from benchmark.statistics.variance import Variance, moderate, sample_variance


class Range(NamedTuple):
    """The ranks of an architecture that the tests leave open, both included; 1 is the best."""

    low: int
    high: int
    is_tested: bool
    """whether it was compared with any other: a single seed does not tell how much seeds differ"""


def ranges(scores: Sequence[Sequence[float]]) -> list[Range]:
    """Find the ranks of each architecture that pairwise tests leave open, at 5 % for all of them together.

    Args:
        scores: of each architecture the scores of its seeds, at least one; more is better.

    Returns:
        One an architecture. To one of a single seed every rank is open.
    """
    count = len(scores)
    own = [sample_variance(each) for each in scores]
    known = [index for index, each in enumerate(own) if each.df > 0]
    found = [Range(1, count, False)] * count
    if len(known) < 2:
        return found
    better = _better(
        np.array([np.mean(scores[index]) for index in known]),
        np.array([len(scores[index]) for index in known]),
        _variances([own[index] for index in known]),
        sum(each.df for each in own),
    )
    for index, above, below in zip(known, better.sum(axis=0).tolist(), better.sum(axis=1).tolist(), strict=True):
        found[index] = Range(1 + above, count - below, True)
    return found


def _variances(own: Sequence[Variance]) -> list[Variance]:
    """Moderate the variances between seeds, none below its own value."""
    moderated = moderate([each.value for each in own], [each.df for each in own])
    return [
        alone if common is None else common._replace(value=max(common.value, alone.value))
        for alone, common in zip(own, moderated, strict=True)
    ]


def _better(
    means: NDArray[np.float64], seeds: NDArray[np.integer], variances: Sequence[Variance], pooled: float
) -> NDArray[np.bool_]:
    """Test every ordered pair: whether the architecture of a row is shown to be better than that of a column.

    Args:
        means: shape (n,).
        seeds: that each is the mean of.
        variances: between seeds.
        pooled: degrees of freedom of all own variances. What two moderated variances have in common makes them depend
            on each other, so that the test of a pair has no more than these.
    """
    squared = np.array([each.value for each in variances]) / seeds
    doubt = squared**2 / np.array([each.df for each in variances])
    error, doubts = np.add.outer(squared, squared), np.add.outer(doubt, doubt)
    gap = np.subtract.outer(means, means)
    with np.errstate(divide="ignore", invalid="ignore"):
        df = np.fmin(error**2 / doubts, pooled)
        p = np.where(error > 0, stdtr(df, -gap / np.sqrt(error)), gap <= 0)
    pairs = ~np.eye(len(means), dtype=bool)
    better = np.zeros_like(pairs)
    better[pairs] = holm(p[pairs]) <= LEVEL
    return better
