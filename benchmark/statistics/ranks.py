"""Confidence sets of ranks from scores of a few seeds: a range for each architecture, from pairwise tests of means.

The standard error of a mean of three seeds is about half a standard deviation, so the order of means is not certain.
The range of an
architecture goes from 1 + the number that is shown to be better to n - the number that is shown to be worse. If the
family of all pairwise tests has a level, all n ranges together contain the true ranks at that level (Mogstad, Romano,
Shaikh and Wilhelm, "Inference for ranks with applications to mobility across neighbourhoods and academic achievement
across countries", Review of Economic Studies 91, 2024, 476-518, section 3; Al Mohamad, Goeman and van Zwet,
"Simultaneous confidence intervals for ranks with application to ranking institutions", Biometrics 78, 2022, 238-247).

The tests are Welch's, of means whose variances are moderated by those of the other architectures
(`benchmark.statistics.variance`), upwards only: the variance of an architecture is never estimated below its sample
variance. Both directions of each pair are separate hypotheses in Holm's procedure, which then also controls directional
errors for any dependence of the tests. `experiments/ranks.md` lists the remaining error rates.
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
    """The closed range of ranks of an architecture that are compatible with the tests; 1 is the best."""

    low: int
    high: int
    is_tested: bool
    """whether it was compared with any other, which needs several seeds to estimate the variance"""


def ranges(scores: Sequence[Sequence[float]]) -> list[Range]:
    """Find the ranks of each architecture that are compatible with pairwise tests, at a family-wise error of 5 %.

    Args:
        scores: for each architecture the scores of its seeds, at least one; higher is better.

    Returns:
        A range for each architecture. With a single seed, it contains all ranks.
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
    """Moderate the variances between seeds, none below its sample variance."""
    moderated = moderate([each.value for each in own], [each.df for each in own])
    return [
        alone if common is None else common._replace(value=max(common.value, alone.value))
        for alone, common in zip(own, moderated, strict=True)
    ]


def _better(
    means: NDArray[np.float64], seeds: NDArray[np.integer], variances: Sequence[Variance], pooled: float
) -> NDArray[np.bool_]:
    """Test every ordered pair: whether the architecture of a row is significantly better than that of a column.

    Args:
        means: shape (n,).
        seeds: number of seeds of each mean.
        variances: variances between seeds.
        pooled: degrees of freedom of all sample variances. Moderated variances are dependent through their common
            prior, so that the test of a pair has no more than these.
    """
    squared = np.array([each.value for each in variances]) / seeds
    per_df = squared**2 / np.array([each.df for each in variances])
    error, per_df_pair = np.add.outer(squared, squared), np.add.outer(per_df, per_df)
    gap = np.subtract.outer(means, means)
    with np.errstate(divide="ignore", invalid="ignore"):
        df = np.fmin(error**2 / per_df_pair, pooled)
        p = np.where(error > 0, stdtr(df, -gap / np.sqrt(error)), gap <= 0)
    pairs = ~np.eye(len(means), dtype=bool)
    better = np.zeros_like(pairs)
    better[pairs] = holm(p[pairs]) <= LEVEL
    return better
