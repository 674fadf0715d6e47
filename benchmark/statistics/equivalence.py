"""Equivalence of two quantities by two one-sided tests (TOST), which require evidence of equality.

Schuirmann, "A comparison of the two one-sided tests procedure and the power approach for assessing the equivalence of
average bioavailability", Journal of Pharmacokinetics and Biopharmaceutics 15 (1987), 657-680.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from scipy.special import stdtr, stdtrit

LEVEL = 0.05
"""The level of each of the two tests, and so of both: the maximum probability that a difference as large as the margin
passes."""

Finding = Literal["reproduced", "differs above", "differs below", "inconclusive"]


class Error(NamedTuple):
    """A standard error with its degrees of freedom."""

    value: float
    df: float


@dataclass(frozen=True)
class Equivalence:
    """The equivalence test of a difference.

    Attributes:
        difference: the estimate.
        p: p-value of the hypothesis that the absolute true difference is at least the margin.
        interval: 90 % confidence interval of the difference; within the margin exactly where p < 5 %.
        finding: `reproduced` where the interval is within the margin, `differs` where it is wholly outside.
    """

    difference: float
    p: float
    interval: tuple[float, float]
    finding: Finding


def equivalence(difference: float, error: Error, margin: float) -> Equivalence:
    """Test whether a difference is smaller than the margin.

    Args:
        difference: an estimate, for example ours less the published.
        error: its standard error.
        margin: a positive number, in the unit of the difference.
    """
    low, high = interval(difference, error)
    p = lower_tail_p(abs(difference) - margin, error)
    return Equivalence(difference, p, (low, high), classify(low, high, margin))


def classify(low: float, high: float, margin: float) -> Finding:
    """Classify the interval of a difference: within the margin, wholly outside of it, or neither."""
    if -margin < low and high < margin:
        return "reproduced"
    if low > margin:
        return "differs above"
    return "differs below" if high < -margin else "inconclusive"


def interval(difference: float, error: Error, level: float = LEVEL) -> tuple[float, float]:
    """Return the confidence interval of a difference, of 90 % by default.

    Args:
        difference: an estimate.
        error: its standard error.
        level: probability that the true value is beyond each end.
    """
    reach = error.value * float(stdtrit(error.df, 1 - level))
    return difference - reach, difference + reach


def lower_tail_p(value: float, error: Error) -> float:
    """Return the lower-tail p-value: the probability of a value this low or lower if the true value is 0."""
    if error.value:
        return float(stdtr(error.df, value / error.value))
    return float(value >= 0)


def welch(*terms: Error) -> Error:
    """Return the standard error of a sum or difference of independent estimates.

    Its degrees of freedom are those of Welch, "The generalization of 'Student's' problem when several different
    population variances are involved", Biometrika 34 (1947), 28-35, and Satterthwaite, "An approximate distribution of
    estimates of variance components", Biometrics Bulletin 2 (1946), 110-114.

    Args:
        terms: the standard error of each estimate; its degrees of freedom are infinite if it is known.
    """
    variance = sum(term.value**2 for term in terms)
    per_df = sum(term.value**4 / term.df for term in terms if term.value)
    return Error(math.sqrt(variance), variance**2 / per_df if per_df else math.inf)
