"""How much the seed moves a score: variances of a few seeds each, moderated by those of the other architectures.

Three seeds say little about a variance, but forty architectures of three seeds each say much about what variances are
like under their protocol. Smyth, "Linear models and empirical Bayes methods for assessing differential expression in
microarray experiments", Statistical Applications in Genetics and Molecular Biology 3 (2004), article 3: the true
variances are taken to be drawn from a scaled inverse chi-squared distribution, whose scale and degrees of freedom are
estimated from all of them, and each variance is drawn towards that scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import polygamma, psi

FLOOR = 1e-5
"""Share of the median variance below which none is believed: runs may agree to the last digit, and the logarithm of 0
would outweigh all else (as in limma's fitFDist, by the author of the method)."""


class Prior(NamedTuple):
    """The variance that is expected before an architecture has shown its own."""

    variance: float
    df: float
    """degrees of freedom that it is worth; infinite where the variances differ no more than chance makes them"""


class Variance(NamedTuple):
    """An estimate of a variance, and the degrees of freedom that it is worth."""

    value: float
    df: float


def moderate(variances: Sequence[float], df: Sequence[float]) -> list[Variance | None]:
    """Every variance, drawn towards that of all (Smyth 2004, section 3).

    Args:
        variances: sample variance of each architecture; what stands where df is 0 does not matter.
        df: degrees of freedom of each: its seeds less one.

    Returns:
        One an architecture: where it has a single seed, that of the others; None where they have none to lend.
    """
    own = [Variance(max(value, 0.0), each) for value, each in zip(variances, df, strict=True)]
    known = [each for each in own if each.df > 0]
    if len(known) < 2:
        return [each if each.df > 0 else None for each in own]
    common = prior([each.value for each in known], [each.df for each in known])
    pooled = sum(each.df for each in known)  # what is borrowed is no more than what is there (limma's eBayes)
    return [Variance(_posterior(common, each), min(common.df + each.df, pooled)) for each in own]


def prior(variances: Sequence[float], df: Sequence[float]) -> Prior:
    """Scale and degrees of freedom of the distribution of variances, by the moments of their logarithms.

    Smyth 2004, section 6.2. Where the logarithms vary no more than chance makes them, there is one variance for all, of
    which the pooled one is the best estimate (as in limma since 2017; the paper has the less efficient limit).

    Args:
        variances: at least two sample variances.
        df: their degrees of freedom, positive.
    """
    found, half = np.asarray(variances, dtype=np.float64), np.asarray(df, dtype=np.float64) / 2
    found = np.maximum(found, FLOOR * (np.median(found) or 1.0))
    logs = np.log(found) - psi(half) + np.log(half)
    spread = float(logs.var(ddof=1) - polygamma(1, half).mean())
    if spread <= 0:
        return Prior(float(np.average(found, weights=half)), math.inf)
    prior_half = inverse_trigamma(spread)
    return Prior(math.exp(logs.mean() + psi(prior_half) - math.log(prior_half)), 2 * prior_half)


def inverse_trigamma(value: float) -> float:
    """The y > 0 whose trigamma function is `value`, which is positive: Newton's method on 1 / trigamma.

    That function is nearly a line, so that the steps never overshoot (Smyth 2004, appendix).
    """
    y = 0.5 + 1 / value
    for _ in range(100):
        trigamma = float(polygamma(1, y))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, y))
        y += step
        if -step <= 1e-15 * y:
            break
    return y


def sample_variance(scores: Sequence[float] | NDArray[np.float64]) -> Variance:
    """Variance of scores, a seed each; of one seed it is 0 of 0 degrees of freedom."""
    if len(scores) < 2:
        return Variance(0.0, 0)
    return Variance(float(np.var(scores, ddof=1)), len(scores) - 1)


def _posterior(common: Prior, own: Variance) -> float:
    if math.isinf(common.df):
        return common.variance
    return (common.df * common.variance + own.df * own.value) / (common.df + own.df)
