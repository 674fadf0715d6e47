"""Numbers of verdicts by outcome, and what each outcome means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmark.reporting.page import Section
from benchmark.reporting.published_comparison import PublishedRow
from benchmark.statistics.equivalence import LEVEL
from benchmark.verdicts.accuracy import MARGIN

MEANINGS = {
    "reproduced": (
        f"The results agree with the figure: the 90 % confidence interval of the difference is within {MARGIN:g} point "
        f"of mIoU (two one-sided tests, each at {100 * LEVEL:g} %); of evaluated weights, the difference is one of "
        "rounding."
    ),
    "explained": "The results differ from the figure as the stated reason says, which was checked.",
    "differs": (
        "The results differ from the figure by more than chance: a 95 % confidence interval is outside the margin. The "
        "sign of the interval says whether ours are better."
    ),
    "inconclusive": (
        "The interval reaches over the margin, or the variance between seeds is unknown: neither agreement nor a "
        "difference is shown. More seeds may settle it."
    ),
    "not comparable": (
        "The figure was measured under other conditions, which the reason names: another split, other training data, "
        "another input size. It says nothing about the results."
    ),
}
"""Outcomes in the order of the table, with their meanings."""


@dataclass(frozen=True)
class Tally:
    """The verdicts on one set of results.

    Attributes:
        title: protocol of the results.
        counts: number of verdicts by outcome.
    """

    title: str
    counts: Counter[str]


def tallies(sections: Iterable[Section], evaluated: Sequence[PublishedRow]) -> list[Tally]:
    """Count the verdicts on the results of each section, and on evaluated weights, where there are any."""
    found = [
        Tally(section.title, _counts([*comparison.comparable, *comparison.speeds, *comparison.others]))
        for section in sections
        if (comparison := section.published) is not None
    ]
    found.append(Tally("Published weights, evaluated", _counts(evaluated)))
    return [each for each in found if each.counts]


def _counts(checks: Iterable[PublishedRow]) -> Counter[str]:
    return Counter(check.verdict.outcome for check in checks)
