"""How much the seed moves a score: variances of a few seeds each, moderated by those of the other architectures.

Three seeds say little about a variance, but forty architectures of three seeds each say much about what variances are
like under their protocol. Smyth, "Linear models and empirical Bayes methods for assessing differential expression in
microarray experiments", Statistical Applications in Genetics and Molecular Biology 3 (2004), article 3: the true
variances are taken to be drawn from a scaled inverse chi-squared distribution, whose scale and degrees of freedom are
estimated, and each variance is drawn towards that scale.

What the others say holds for an architecture that is like them. Phipson, Lee, Majewski, Alexander and Smyth, "Robust
hyperparameter estimation protects against hypervariable genes and improves power to detect differential expression",
Annals of Applied Statistics 10 (2016), 946-963, find those that are not by an F test. Here the prior of each is that of
the others alone, and an architecture whose variance is larger than it keeps its own. `experiments/power.md` has what
errors that leaves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc, fdtri, polygamma, psi

FLOOR = 1e-5
"""Share of the median variance below which none is believed: runs may agree to the last digit, and the logarithm of 0
would outweigh all else (as in limma's fitFDist, by the author of the method)."""

UNLIKE = 0.05
"""Level of the F test by which an architecture is found to be noisier than the others."""

NOISIER = 7.0
"""Times that the deviation of an architecture may be that of the others: ENet's among ESPNets (3.4 and 0.5)."""


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
    """Draw every variance towards those of the others, unless it is larger than theirs.

    Smyth 2004, section 3, with the prior of the others and no more degrees of freedom than they have. One of them is
    taken off: the scale is estimated too.

    Args:
        variances: sample variance of each architecture; what stands where df is 0 does not matter.
        df: degrees of freedom of each: its seeds less one.

    Returns:
        One an architecture. Where it has a single seed, what the others suggest, which nothing shows to hold for it;
        None where there are not two others to suggest anything.
    """
    least = FLOOR * (float(np.median([value for value, each in zip(variances, df, strict=True) if each > 0] or 1)) or 1)
    own = [Variance(max(value, least), each) for value, each in zip(variances, df, strict=True)]
    return [moderated(each, [*own[:i], *own[i + 1 :]]) for i, each in enumerate(own)]


def seems_alike(own: Variance, moderated: Variance) -> bool:
    """Whether the seeds of an architecture show by themselves that it is about as noisy as the others.

    That its variance is not significantly larger shows nothing where there are few seeds. Here it has to be so small
    that an architecture `NOISIER` times as noisy would rarely have shown it: with two seeds few ever are, with five all
    but those that `moderate` leaves alone.

    Args:
        own: its sample variance.
        moderated: what `moderate` has made of it.
    """
    return own.df > 0 and own.value <= NOISIER**2 * fdtri(own.df, moderated.df, UNLIKE / 2) * moderated.value


def prior(variances: Sequence[float], df: Sequence[float]) -> Prior:
    """Scale and degrees of freedom of the distribution of variances, by the moments of their logarithms.

    Smyth 2004, section 6.2. Where the logarithms vary no more than chance makes them, there is one variance for all, of
    which the pooled one is the best estimate (as in limma since 2017; the paper has the less efficient limit).

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
    """Return the y > 0 whose trigamma function is `value`, which is positive: Newton's method on 1 / trigamma.

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


def moderated(own: Variance, others: Iterable[Variance]) -> Variance | None:
    """Draw one variance towards those of the others; `moderate` does it for all."""
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
