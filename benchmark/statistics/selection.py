"""Selection of the best of several runs: its bias, and inference on the mean of the runs."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import gammaincinv, ndtr

NODES = 48
"""The number of nodes of the integral over the estimated standard deviation: more change no quantile by a thousandth,
even for 1 degree of freedom."""


class Maximum(NamedTuple):
    """The largest of k draws from the standard normal distribution."""

    mean: float
    variance: float


@cache
def best_of(runs: int) -> Maximum:
    """Return mean and variance of the largest of `runs` standard normal draws.

    The density is k phi(x) Phi(x)^(k - 1): David and Nagaraja, "Order Statistics" (3rd edition, 2003), section 2.1;
    first tabulated by Tippett, "On the extreme individuals and the range of samples taken from a normal population",
    Biometrika 17 (1925), 364-387. A sum over a regular grid integrates so smooth a density to the last digits.
    """
    x, weights = _largest(runs, 2001)
    mean = float(weights @ x)
    return Maximum(mean, float(weights @ (x - mean) ** 2))


@cache
def quantile(probability: float, seeds: int, runs: int, df: float) -> float:
    """Return a quantile of (mean of `seeds` draws - largest of `runs` others) / s, all from one normal distribution.

    s is an independent estimate of its standard deviation. With one run, this is Student's t times the root of
    1 + 1 / seeds. A difference less quantiles times s is an exact interval of the true difference of the means.

    Args:
        probability: probability of a value below the quantile, between 0 and 1.
        seeds: number of draws in the mean.
        runs: number of draws in the maximum.
        df: degrees of freedom of s.
    """
    largest, weights = _largest(runs, 97)
    levels, shares = np.polynomial.legendre.leggauss(NODES)
    scale = np.sqrt(2 / df * gammaincinv(df / 2, (levels + 1) / 2)) if np.isfinite(df) else np.ones_like(levels)

    def excess(value: float) -> float:
        below = ndtr(np.sqrt(seeds) * (value * scale[:, None] + largest))
        return float(shares / 2 @ below @ weights) - probability

    reach = 10.0
    while excess(-reach) > 0 or excess(reach) < 0:
        reach *= 10
    return float(brentq(excess, -reach, reach, xtol=1e-9))


def _largest(runs: int, points: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a grid of values of the largest of `runs` standard normal draws, with the probability of each."""
    x = np.linspace(-12, 12, points)
    density = runs * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi) * ndtr(x) ** (runs - 1)
    return x, density * (x[1] - x[0])
