"""Variance of scores between seeds: sample variances of a few seeds, moderated by those of the other architectures.

Three seeds give a poor estimate of a variance, but forty architectures of three seeds each give a good one of the
distribution of variances under their protocol. Smyth, "Linear models and empirical Bayes methods for assessing
differential expression in
microarray experiments", Statistical Applications in Genetics and Molecular Biology 3 (2004), article 3: the true
variances are assumed to be drawn from a scaled inverse chi-squared distribution, whose scale and degrees of freedom are
estimated, and each variance is shrunk towards that scale.

This is valid for an architecture that is similar to the others. Phipson, Lee, Majewski, Alexander and Smyth, "Robust
hyperparameter estimation protects against hypervariable genes and improves power to detect differential expression",
Annals of Applied Statistics 10 (2016), 946-963, detect the others by an F test. Here the prior of each is estimated
from the others only, and an architecture with a larger variance keeps its own. `experiments/power.md` lists the
remaining error rates.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc, fdtri, polygamma, psi

FLOOR = 1e-5
"""Lower limit of variances, as a share of the median: runs may agree to the last digit, and the logarithm of 0 would
dominate (as in limma's fitFDist, by the author of the method)."""

UNLIKE = 0.05
"""Level of the F test that detects architectures that are noisier than the others."""

NOISIER = 7.0
"""Assumed maximum ratio of an architecture's standard deviation to that of the others: ENet's among ESPNets (3.4 and
0.5)."""


class Prior(NamedTuple):
    """The prior distribution of a variance."""

    variance: float
    df: float
    """its degrees of freedom; infinite if the variances differ no more than by chance"""


class Variance(NamedTuple):
    """An estimate of a variance with its degrees of freedom."""

    value: float
    df: float


def moderate(variances: Sequence[float], df: Sequence[float]) -> list[Variance | None]:
    """Shrink every variance towards those of the others, unless it is significantly larger.

    Smyth 2004, section 3, with the prior of the others and no more degrees of freedom than theirs less one, as the
    scale is estimated too.

    Args:
        variances: sample variance of each architecture; ignored if df is 0.
        df: degrees of freedom of each: its seeds less one.

    Returns:
        An estimate for each architecture. With a single seed, it is the prior of the others, which is not tested for
        it; None if fewer than two others have a variance.
    """
    least = FLOOR * (float(np.median([value for value, each in zip(variances, df, strict=True) if each > 0] or 1)) or 1)
    own = [Variance(max(value, least), each) for value, each in zip(variances, df, strict=True)]
    return [moderated(each, [*own[:i], *own[i + 1 :]]) for i, each in enumerate(own)]


def seems_alike(own: Variance, moderated: Variance) -> bool:
    """Return whether the seeds of an architecture show that it is about as noisy as the others.

    With few seeds, a variance that is not significantly larger is not evidence. Here it must be so small that it would
    be unlikely for an architecture `NOISIER` times as noisy: with two seeds this rarely holds, with five for all but
    those that `moderate` does not change.

    Args:
        own: its sample variance.
        moderated: its moderated variance.
    """
    return own.df > 0 and own.value <= NOISIER**2 * fdtri(own.df, moderated.df, UNLIKE / 2) * moderated.value


def prior(variances: Sequence[float], df: Sequence[float]) -> Prior:
    """Estimate scale and degrees of freedom of the distribution of variances from the moments of their logarithms.

    Smyth 2004, section 6.2. If the logarithms vary no more than by chance, there is one common variance, of which the
    pooled one is the best estimate (as in limma since 2017; the paper has the less efficient limit).

    Args:
        variances: at least two sample variances.
        df: their degrees of freedom, positive.
    """
    found, half = np.asarray(variances, dtype=np.float64), np.asarray(df, dtype=np.float64) / 2
    logs = np.log(found) - psi(half) + np.log(half)
    spread = float(logs.var(ddof=1) - polygamma(1, half).mean())
    if spread <= 0:
        return Prior(float(np.average(found, weights=half)), math.inf)
    prior_half = inverse_trigamma(spread)
    return Prior(math.exp(logs.mean() + psi(prior_half) - math.log(prior_half)), 2 * prior_half)


def inverse_trigamma(value: float) -> float:
    """Solve trigamma(y) = `value` > 0 for y > 0 by Newton's method on 1 / trigamma.

    That function is nearly linear, so that steps never overshoot (Smyth 2004, appendix).
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
    """Return the variance of scores over seeds; for one seed it is 0 with 0 degrees of freedom."""
    if len(scores) < 2:
        return Variance(0.0, 0)
    return Variance(float(np.var(scores, ddof=1)), len(scores) - 1)


def moderated(own: Variance, others: Iterable[Variance]) -> Variance | None:
    """Shrink one variance towards those of the others; `moderate` does it for all."""
    known = [each for each in others if each.df > 0]
    if len(known) < 2:
        return own if own.df > 0 else None
    df = [each.df for each in known]
    common = prior([each.value for each in known], df)
    common = common._replace(df=min(common.df, sum(df) * (1 - 1 / len(df))))
    if own.df > 0 and fdtrc(own.df, common.df, own.value / common.variance) < UNLIKE:
        return own
    total = common.df + own.df
    return Variance((common.df * common.variance + own.df * own.value) / total, total)
