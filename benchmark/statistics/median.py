"""Uncertainty of the median of a sample of times.

NumPy is not imported at module level, as tables need this module too.
"""

from __future__ import annotations

import math

IQR_OF_NORMAL = 1.349
"""Interquartile range of a normal distribution, in standard deviations."""

MEDIAN_ERROR = math.sqrt(math.pi / 2) / IQR_OF_NORMAL
"""Standard error of a median of n, times the root of n, in interquartile ranges (McGill, Tukey and Larsen, "Variations
of box plots", The American Statistician 32, 1978, 12-16)."""


def median_error(iqr: float, n: int) -> float:
    """Compute the standard error of the median of n independent times, in the unit of their interquartile range."""
    return MEDIAN_ERROR * iqr / math.sqrt(n)


def median_iqr(iqr: float, n: int) -> float:
    """Compute the interquartile range of the median of n independent times: what half of such medians lie within."""
    return IQR_OF_NORMAL * median_error(iqr, n)
