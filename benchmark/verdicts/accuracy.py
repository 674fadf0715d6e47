"""Verdicts on published accuracies from results trained here.

Two trainings of a network differ by their seeds, and a published figure is that of a training too. So the difference is
tested for equivalence with the variance of both, and only if all stated facts that affect the figure agree.

`reproduced` requires that the 90 % interval is within the margin. `differs` may be on either side of the margin, so it
requires that a 95 % interval is outside; also with the variance of its own seeds only, unless these show that the
network is as noisy as the others. If a source does not state selection or the void rule, the verdict must hold for the
interval of every interpretation. `experiments/power.md` lists the remaining error rates.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from benchmark.analysis.ranking import Group, by_architecture, groups
from benchmark.catalog.references import Reference
from benchmark.results.summary import Summary
from benchmark.statistics.equivalence import LEVEL, Error, Finding, classify, interval, welch
from benchmark.statistics.selection import best_of, quantile
from benchmark.statistics.variance import Variance, moderate, sample_variance, seems_alike
from benchmark.verdicts.comparability import mismatches, unstated
from benchmark.verdicts.verdict import Outcome, Verdict

MARGIN = 1.0
"""The default equivalence margin, in points."""

NOISY = "limited by the reference's variance"

ENOUGH = 10_000
"""The maximum number of seeds that is searched."""

LIKELY = 5
"""The maximum number of runs assumed for a figure of unknown selection."""

OUTCOMES: dict[str, Outcome] = {"reproduced": "reproduced", "inconclusive": "inconclusive"}
"""The outcomes of findings; all others differ."""


@dataclass(frozen=True)
class Sample:
    """The scores of an architecture under a protocol.

    Attributes:
        protocol: its name with overrides.
        run: any of the results, for the settings that all share.
        scores: scores of all successful seeds, in percent.
        variance: variance between seeds, moderated by the other architectures; None if it cannot be estimated.
        pooled: number of architectures that the variance is estimated from.
        other_void: scores under the other void rule; empty if unknown.
        looks: number of times that seeds were added because a verdict was inconclusive.
    """

    protocol: str
    run: Summary
    scores: Sequence[float]
    variance: Variance | None
    pooled: int
    other_void: Sequence[float] = ()
    looks: int = 0


class Selection(NamedTuple):
    """The selection of a published figure: the best of several runs, or their mean."""

    runs: int
    best: bool = False

    def describe(self, deviation: float) -> str:
        """Describe it, given the standard deviation between seeds."""
        if self.best:
            return f"the best of {self.runs} runs, {deviation * best_of(self.runs).mean:.2f} above their mean"
        return "one run" if self.runs == 1 else f"the mean of {self.runs} runs"


class Reading(NamedTuple):
    """One interpretation of what a source does not state."""

    scores: Sequence[float]
    """our scores under one void rule"""
    selection: Selection


def verdicts(
    runs: Iterable[Summary],
    references: Iterable[Reference],
    margin: float = MARGIN,
    metric: str = "miou",
    sequential: bool = False,
) -> list[Verdict]:
    """Compare published accuracies with results on the same dataset.

    Args:
        runs: results.
        references: published accuracies; those without a result of their network on their dataset get no verdict.
        margin: equivalence margin in points.
        metric: what is compared: miou, macc or aacc.
        sequential: whether seeds are added and the test is repeated while a verdict is inconclusive.

    Returns:
        A verdict for each reference and protocol, sorted by architecture, protocol and reference.
    """
    found: dict[tuple[str, str], list[Sample]] = {}
    for group in groups(runs):
        for sample in samples(group, metric):
            key = sample.run.architecture, sample.run.conditions.axes.get("data", {}).get("dataset")
            found.setdefault(key, []).append(sample)
    made = [
        verdict(reference, sample, margin, metric, sequential)
        for reference in references
        for network in dict.fromkeys((reference.architecture, reference.ours))
        for sample in found.get((network or "", reference.dataset or ""), ())
    ]
    return sorted(made, key=lambda each: (each.architecture, each.protocol or "", each.reference))


def samples(group: Group, metric: str = "miou") -> list[Sample]:
    """Return the scores of every architecture of a group, with their variance between seeds."""
    runs_of = by_architecture(group.runs)
    scores = [_scores(runs, metric) for runs in runs_of.values()]
    own = [sample_variance(each) for each in scores]
    pooled = sum(each.df > 0 for each in own)
    moderated = moderate([each.value for each in own], [each.df for each in own])
    return [
        Sample(
            group.title,
            runs[0],
            each,
            variance,
            pooled,
            other_void=_other_void(runs) if metric == "miou" else (),
            looks=max(run.looks or 0 for run in runs),
        )
        for runs, each, variance in zip(runs_of.values(), scores, moderated, strict=True)
    ]


def verdict(
    reference: Reference,
    sample: Sample,
    margin: float = MARGIN,
    metric: str = "miou",
    sequential: bool = False,
) -> Verdict:
    """Compare one published accuracy with ours.

    Args:
        reference: a published accuracy.
        sample: results of the same network.
        margin: equivalence margin in points.
        metric: what the scores of the sample are.
        sequential: whether seeds are added while the verdict is inconclusive.
    """

    def of(outcome: Outcome, *reasons: str, **more: Any) -> Verdict:
        measured = mean if outcome != "not comparable" else None
        more |= {"architecture": sample.run.architecture, "protocol": sample.protocol}
        return Verdict.of(reference, measured, outcome, "; ".join(reasons), **more)

    scores, variance = sample.scores, sample.variance
    mean = math.fsum(scores) / len(scores) if scores else None
    if differences := mismatches(reference, sample.run, metric):
        return of("not comparable", *differences)
    if mean is None:
        return of("inconclusive", "no successful run", margin=margin)
    readings, level = _readings(reference, sample), _level(sample.looks, sequential)
    if len(scores) == 1 or variance is None:
        further = variance and _further_seeds(reference, readings, variance, margin, level)
        return of("inconclusive", "one seed: needs a second", margin=margin, further_seeds=further or 1)
    if not readings:
        return of("inconclusive", f"{NOISY}: the best of an unknown number of runs", margin=margin)
    low, high, finding = _tested(reference, readings, variance, margin, level)
    reasons = [_spread(sample, variance), _selections(readings, variance), *_looks(sample, level)]
    if gaps := unstated(reference):
        reasons.append(f"not stated: {', '.join(gaps)}")
    further = None
    if finding == "inconclusive":
        further = _further_seeds(reference, readings, variance, margin, level)
        if further is None:
            reasons.insert(0, NOISY)
        each = {_tested(reference, [reading], variance, margin, level)[2] for reading in readings}
        if each != {"inconclusive"}:
            reasons.insert(0, "depends on what the source does not state")
    outcome = OUTCOMES.get(finding, "differs")
    if outcome == "differs":
        reasons.insert(0, finding.removeprefix("differs "))
    return of(outcome, *reasons, interval=(low, high), margin=margin, further_seeds=further)


def _level(looks: int, sequential: bool) -> float:
    """Return the level of each side of a repeated test, such that all repetitions together have that of one.

    The first test has half of the level, and each later one half of the rest.
    """
    return LEVEL / 2 ** (looks + 1) if looks or sequential else LEVEL


def _readings(reference: Reference, sample: Sample) -> list[Reading]:
    """Return all interpretations of what the source does not state; none if the number of runs of a best is unknown."""
    selections = [Selection(1)]
    if reference.selection == "best":
        selections = [Selection(reference.runs, best=True)] if reference.runs else []
    elif reference.selection == "mean":
        selections = [Selection(reference.runs or 1)]
    elif reference.selection == "unknown":
        selections.append(Selection(reference.runs or LIKELY, best=True))
    scores = [sample.scores]
    if reference.protocol.void is None and len(sample.other_void) == len(sample.scores):
        scores.append(sample.other_void)
    return [Reading(each, selection) for each in scores for selection in selections]


def _tested(
    reference: Reference, readings: Sequence[Reading], variance: Variance, margin: float, level: float, further: int = 0
) -> tuple[float, float, Finding]:
    """Return the interval over all interpretations and the finding, given further seeds with the same mean."""
    variance = variance._replace(df=variance.df + further)
    intervals = [_interval(reference, each, variance, level, further) for each in readings]
    if classify(*_hull(intervals), margin).startswith("differs"):
        for each in readings:
            own = sample_variance(each.scores)
            own = own._replace(df=own.df + further)
            estimates = [variance] if seems_alike(own, variance) else [variance, own]
            intervals += [_interval(reference, each, one, level / 2, further) for one in estimates]
    low, high = _hull(intervals)
    return low, high, classify(low, high, margin)


def _hull(intervals: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return min(low for low, _ in intervals), max(high for _, high in intervals)


def _interval(
    reference: Reference, reading: Reading, variance: Variance, level: float, further: int
) -> tuple[float, float]:
    """Return the interval of our mean - the mean of trainings like the published one, each tail at the level."""
    seeds, (runs, best) = len(reading.scores) + further, reading.selection
    gap = math.fsum(reading.scores) / len(reading.scores) - reference.value
    rounding = Error(10.0**-reference.decimals / math.sqrt(12), math.inf)  # uniform over values that round to it
    if not best:
        return interval(
            gap, welch(Error(math.sqrt(variance.value * (1 / seeds + 1 / runs)), variance.df), rounding), level
        )
    deviation = math.sqrt(variance.value)
    low, middle, high = (gap - deviation * quantile(each, seeds, runs, variance.df) for each in (1 - level, 0.5, level))
    lowered, raised = (math.hypot(end - middle, interval(0.0, rounding, level)[1]) for end in (low, high))
    return middle - lowered, middle + raised


def _selections(readings: Sequence[Reading], variance: Variance) -> str:
    """Describe the assumed selection of the published figure."""
    ways = dict.fromkeys(each.selection for each in readings)
    words = " and against ".join(each.describe(math.sqrt(variance.value)) for each in ways)
    return f"against {words}{', as it is not stated' if len(ways) > 1 else ''}"


def _looks(sample: Sample, level: float) -> list[str]:
    """Describe how often the test was repeated, and its level; empty if it was not."""
    if not sample.looks:
        return []
    times = "once" if sample.looks == 1 else f"{sample.looks} times"
    return [f"seeds were added {times}, so each side is tested at {100 * level:.3g} %"]


def _further_seeds(
    reference: Reference, readings: Sequence[Reading], variance: Variance, margin: float, level: float
) -> int | None:
    """Return how many further seeds would settle the verdict, all else being equal; None if no number would."""

    def settled(further: int) -> bool:
        return _tested(reference, readings, variance, margin, level, further)[2] != "inconclusive"

    return bisect_left(range(ENOUGH), True, lo=1, key=settled) if readings and settled(ENOUGH) else None


def _spread(sample: Sample, variance: Variance) -> str:
    """Describe the number of seeds and the source of their standard deviation."""
    own = sample_variance(sample.scores)
    is_pooled = sample.pooled > 1 and variance.df > own.df
    origin = f" from {sample.pooled} architectures" if is_pooled else " of its own" if sample.pooled > 2 else ""
    return f"{len(sample.scores)} seeds, deviation {math.sqrt(variance.value):.2f}{origin}"


def _other_void(runs: Iterable[Summary]) -> list[float]:
    """Return the scores under the void rule that the protocol does not use, if they are known."""
    either = ((run.miou_void_ignored_percent, run.miou_void_counted_percent) for run in runs if run.status == "ok")
    return [score for both in either for score in both if score is not None]


def _scores(runs: Iterable[Summary], metric: str) -> list[float]:
    found = (getattr(run, f"{metric}_percent") for run in runs if run.status == "ok")
    return [score for score in found if score is not None]
