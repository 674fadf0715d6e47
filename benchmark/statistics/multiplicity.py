"""Family-wise error control: the probability of any false rejection in a table of tests is at most alpha."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def holm(p: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjust p-values: rejecting those of at most alpha keeps the family-wise error at alpha (Holm).

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6 (1979), 65-70.
    Valid for any dependence of the tests.

    Args:
        p: p-values of the tests of one table.

    Returns:
        The adjusted p-values, in the same order.
    """
    plain = np.asarray(p, dtype=np.float64)
    order = np.argsort(plain)
    steps = plain[order] * np.arange(len(plain), 0, -1)
    adjusted = np.empty_like(plain)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def hochberg(p: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjust p-values as `holm` does, with more power: where all are at most alpha, all are rejected.

    Hochberg, "A sharper Bonferroni procedure for multiple tests of significance", Biometrika 75 (1988), 800-802. Valid
    if the tests are independent or positively dependent.

    Args:
        p: p-values of the tests of one table.

    Returns:
        The adjusted p-values, in the same order.
    """
    plain = np.asarray(p, dtype=np.float64)
    order = np.argsort(plain)[::-1]
    steps = plain[order] * np.arange(1, len(plain) + 1)
    adjusted = np.empty_like(plain)
    adjusted[order] = np.minimum(np.minimum.accumulate(steps), 1)
    return adjusted
