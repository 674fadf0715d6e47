"""Marks of a leaderboard: the columns in which a row is among the best, and the Pareto fronts that contain it.

Marks are computed only here, once for each group of results, and shown by tables and plots of every format. A mark is a
claim, and requires evidence:

- Accuracy is among the best if no test shows another to be better (`benchmark.statistics.ranks`); this may hold for
several rows.
- Parameters and MACs are exact: the lowest is the best.
- Latency must be steady, and all timings of the group must be of one device and one setting, precision included.
  Then all rows whose interval contains the lowest value are among the best. The same holds for the ratio to the anchor,
  which removes the load of a machine but not its hardware.
- Memory must be of one device; as it varies, all rows within 5 % of the lowest are among the best.

A value without a mark may still prevent that of another: a row is not the fastest if an unsteady timing is shorter. The
stated latency of an external result is ignored. A front is one of means: no other row is as accurate on average at no
higher cost.

NumPy is not imported at module level, so that tables are printed fast.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from benchmark.results.summary import STATED, Summary
from benchmark.statistics.median import median_error

if TYPE_CHECKING:
    from benchmark.analysis.ranking import Standing
    from benchmark.statistics.ranks import Range

ACCURACY = ("miou_percent", "miou_void_ignored_percent", "best_miou_percent", "macc_percent", "aacc_percent")
"""Columns in which higher is better."""

COUNTED = ("params", "macs")
TIMED = ("latency_ms", "latency_ratio")
MEMORY = ("inference_memory_bytes",)
COSTS = (*COUNTED, *TIMED, *MEMORY)
"""Columns in which lower is better."""

MEMORY_NOISE = 0.05
"""Relative variation of the peak memory of the same code."""


class Marks(NamedTuple):
    """The marks of a group, by architecture."""

    ranks: Mapping[str, Range]
    """of the architectures with a score"""
    best: Mapping[str, Sequence[str]]
    """columns"""
    front: Mapping[str, Sequence[str]]
    """costs"""


class Interval(NamedTuple):
    """Confidence interval of a cost, and whether the figure may be marked."""

    low: float
    high: float
    may_be_marked: bool


def marks(rows: Sequence[Standing], runs: Mapping[str, Sequence[Summary]]) -> Marks:
    """Compute the marks of a group.

    Args:
        rows: a row for each architecture.
        runs: the results of each architecture.
    """
    best: dict[str, list[str]] = {row.architecture: [] for row in rows}
    front: dict[str, list[str]] = {row.architecture: [] for row in rows}
    ranks = {column: _ranks(runs, column) for column in ACCURACY}
    for column, ranges in ranks.items():
        for name, found in ranges.items():
            if found.is_tested and found.low == 1:
                best[name].append(column)
    for column in COSTS:
        costs = intervals(rows, runs, column)
        for name in _least(costs):
            best[name].append(column)
        shown = [row for row in rows if row.architecture in costs]
        on_front = pareto([(row.miou_percent, getattr(row, column)) for row in shown])
        for row, is_on in zip(shown, on_front, strict=True):
            if len(shown) > 1 and is_on and costs[row.architecture].may_be_marked:
                front[row.architecture].append(column)
    return Marks(ranks["miou_percent"], best, front)


def pareto(points: Sequence[tuple[float | None, float | None]]) -> list[bool]:
    """Find the points such that no other is at least as good at no higher cost and better in one of them.

    Args:
        points: score and cost of each; points that lack one are not on the front.
    """
    best: dict[float, float] = {}
    for score, cost in points:
        if score is not None and cost is not None:
            best[cost] = max(score, best.get(cost, score))
    front: set[tuple[float | None, float | None]] = set()
    reached = -math.inf
    for cost, score in sorted(best.items()):
        if score > reached:
            front.add((score, cost))
            reached = score
    return [point in front for point in points]


def _ranks(runs: Mapping[str, Sequence[Summary]], column: str) -> dict[str, Range]:
    """Return the ranks of the architectures that have a score."""
    scores = {
        name: found
        for name, each in runs.items()
        if (found := [value for run in each if run.status == "ok" and (value := getattr(run, column)) is not None])
    }
    if not scores:
        return {}
    from benchmark.statistics.ranks import ranges

    return dict(zip(scores, ranges(list(scores.values())), strict=True))


def intervals(rows: Sequence[Standing], runs: Mapping[str, Sequence[Summary]], column: str) -> dict[str, Interval]:
    """Return the confidence interval of each architecture that has the cost, except of stated latencies."""
    measured = [
        run
        for each in runs.values()
        for run in each
        if getattr(run, column) is not None and run.latency_unsteady != STATED
    ]
    is_alike = len({run.device for run in measured}) == 1
    if column in TIMED:
        is_alike = is_alike and len({run.latency_setting for run in measured}) == 1
    found = {}
    for row in rows:
        value = getattr(row, column)
        if value is None or (column in TIMED and row.latency_unsteady == STATED):
            continue
        if column in COUNTED:
            found[row.architecture] = Interval(value, value, True)
        elif column in MEMORY:
            found[row.architecture] = Interval(value / (1 + MEMORY_NOISE), value, is_alike)
        else:
            timings = [_timing(run, column) for run in runs[row.architecture] if getattr(run, column) is not None]
            ends = [end for each in timings if each for end in each]
            is_sure = is_alike and None not in timings
            found[row.architecture] = Interval(min(ends), max(ends), True) if is_sure else Interval(value, value, False)
    return found


def _timing(run: Summary, column: str) -> tuple[float, float] | None:
    """Return the 95 % confidence interval of a timing; None if it was unsteady or has no spread."""
    if run.latency_unsteady or run.latency_iqr_ms is None or not run.latency_ms or not run.latency_repeats:
        return None
    error = median_error(run.latency_iqr_ms, run.latency_repeats) / run.latency_ms
    # The anchor was timed as often; its relative spread is assumed to be equal.
    reach = 1.96 * error * (math.sqrt(2) if column == "latency_ratio" else 1)
    value = getattr(run, column)
    return value * (1 - reach), value * (1 + reach)


def _least(costs: Mapping[str, Interval]) -> list[str]:
    """Return the markable architectures that none is shown to undercut; none if all costs are equal."""
    if len(costs) < 2 or len({(each.low, each.high) for each in costs.values()}) == 1:
        return []
    limit = min(each.high for each in costs.values())
    return [name for name, each in costs.items() if each.may_be_marked and each.low <= limit]
