"""Trained here: is a published accuracy reproduced?

Two trainings of one network differ by their seeds, and a published figure is of a training too. So the difference is
tested with the noise of both, against the largest that does not matter; and only where what is known to move the figure
is the same.

`reproduced` needs the whole 90 % interval within the margin. `differs` accuses somebody, and either side of the margin
would do: it needs an interval of 95 % outside of it, by the noise of its own seeds alone too unless these show that the
network is as noisy as the others. What a source leaves open, of selection and of void, must not decide: every reading
of it has its interval, and the verdict holds for all of them. `experiments/power.md` has the errors that are left.
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
"""Points that do not matter, where nobody says otherwise."""

NOISY = "limited by the reference's noise"

ENOUGH = 10_000
"""Seeds that nobody will train: what they would not settle stays open."""

LIKELY = 5
"""Runs that a figure of unknown selection may be the best of."""

OUTCOMES: dict[str, Outcome] = {"reproduced": "reproduced", "inconclusive": "inconclusive"}
"""Of a finding; it differs else."""


@dataclass(frozen=True)
class Sample:
    """What one architecture scored under one protocol.

    Attributes:
        protocol: its name, and what the command line changed of it.
        run: any of the results: how they came about.
        scores: of every seed that ended well, in percent.
        variance: between seeds, moderated by the other architectures; None where nothing tells it.
        told_by: number of architectures that tell it.
        other_void: the scores under the other rule for void; empty where they are not known.
        looks: times that seeds were added because a verdict was inconclusive.
    """

    protocol: str
    run: Summary
    scores: Sequence[float]
    variance: Variance | None
    told_by: int
    other_void: Sequence[float] = ()
    looks: int = 0


class Selection(NamedTuple):
    """How a published figure may have come about: as the best of some runs, or as their mean."""

    runs: int
    best: bool = False

    def describe(self, deviation: float) -> str:
        """Say it in words; the deviation is that between seeds."""
        if self.best:
            return f"the best of {self.runs} runs, {deviation * best_of(self.runs).mean:.2f} above their mean"
        return "one run" if self.runs == 1 else f"the mean of {self.runs} runs"


class Reading(NamedTuple):
    """One reading of what a source leaves open."""

    scores: Sequence[float]
    """ours, under one rule for void"""
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
        margin: points that do not matter.
        metric: what is compared: miou, macc or aacc.
        sequential: whether seeds are added where a verdict is inconclusive, and the test is then made again.

    Returns:
        One a reference and protocol, by architecture, protocol and reference.
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
    """Return the scores of every architecture of a group, and how much seeds move them."""
    runs_of = by_architecture(group.runs)
    scores = [_scores(runs, metric) for runs in runs_of.values()]
    own = [sample_variance(each) for each in scores]
    told_by = sum(each.df > 0 for each in own)
    moderated = moderate([each.value for each in own], [each.df for each in own])
    return [
        Sample(
            group.title,
            runs[0],
            each,
            variance,
            told_by,
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
        sample: results of its network.
        margin: points that do not matter.
        metric: what the scores of the sample are.
        sequential: whether seeds are added if the verdict is inconclusive.
    """

    def of(outcome: Outcome, *reasons: str, **more: Any) -> Verdict:
        measured = mean if outcome != "not comparable" else None
        more |= {"architecture": sample.run.architecture, "protocol": sample.protocol}
        return Verdict.of(reference, measured, outcome, "; ".join(reasons), **more)

    scores, variance = sample.scores, sample.variance
    mean = math.fsum(scores) / len(scores) if scores else None
    if apart := mismatches(reference, sample.run, metric):
        return of("not comparable", *apart)
    if mean is None:
        return of("inconclusive", "no run has ended well", margin=margin)
    readings, level = _readings(reference, sample), _level(sample.looks, sequential)
    if len(scores) == 1 or variance is None:
        further = variance and _further_seeds(reference, readings, variance, margin, level)
        return of("inconclusive", "one seed: needs a second", margin=margin, further_seeds=further or 1)
    if not readings:
        return of("inconclusive", f"{NOISY}: the best of nobody knows how many runs", margin=margin)
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
            reasons.insert(0, "hangs on what the source leaves open")
    outcome = OUTCOMES.get(finding, "differs")
    if outcome == "differs":
        reasons.insert(0, finding.removeprefix("differs "))
    return of(outcome, *reasons, interval=(low, high), margin=margin, further_seeds=further)


def _level(looks: int, sequential: bool) -> float:
    """Return the level of either side of a test that may be repeated: of all that are made, no more than that of one.

    A first look spends half of it, and every later one half of what is left.
    """
    return LEVEL / 2 ** (looks + 1) if looks or sequential else LEVEL


def _readings(reference: Reference, sample: Sample) -> list[Reading]:
    """Every reading of what the source leaves open; none where nobody knows the best of how many runs a figure is."""
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
    """Return the interval over all readings and the finding, with so many further seeds of the same mean."""
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
    """Return the interval of ours less the mean of trainings like the published one, each tail at the level."""
    seeds, (runs, best) = len(reading.scores) + further, reading.selection
    gap = math.fsum(reading.scores) / len(reading.scores) - reference.value
    rounding = Error(10.0**-reference.decimals / math.sqrt(12), math.inf)  # all that rounds to the figure is as likely
    if not best:
        return interval(
            gap, welch(Error(math.sqrt(variance.value * (1 / seeds + 1 / runs)), variance.df), rounding), level
        )
    deviation = math.sqrt(variance.value)
    low, middle, high = (gap - deviation * quantile(each, seeds, runs, variance.df) for each in (1 - level, 0.5, level))
    lowered, raised = (math.hypot(end - middle, interval(0.0, rounding, level)[1]) for end in (low, high))
    return middle - lowered, middle + raised


def _selections(readings: Sequence[Reading], variance: Variance) -> str:
    """Return what the published figure is taken for."""
    ways = dict.fromkeys(each.selection for each in readings)
    words = " and against ".join(each.describe(math.sqrt(variance.value)) for each in ways)
    return f"against {words}{', as it is not said' if len(ways) > 1 else ''}"


def _looks(sample: Sample, level: float) -> list[str]:
    """Return how often the test was repeated, and at which level, where it was."""
    if not sample.looks:
        return []
    times = "once" if sample.looks == 1 else f"{sample.looks} times"
    return [f"seeds were added {times}, so that each side is tested at {100 * level:.3g} %"]


def _further_seeds(
    reference: Reference, readings: Sequence[Reading], variance: Variance, margin: float, level: float
) -> int | None:
    """How many more seeds would settle the verdict if all else stayed as it is; None if no number would."""

    def settled(further: int) -> bool:
        return _tested(reference, readings, variance, margin, level, further)[2] != "inconclusive"

    return bisect_left(range(ENOUGH), True, lo=1, key=settled) if readings and settled(ENOUGH) else None


def _spread(sample: Sample, variance: Variance) -> str:
    """How many seeds there are, and what their deviation was learned from."""
    own = sample_variance(sample.scores)
    told = sample.told_by > 1 and variance.df > own.df
    teachers = f" from {sample.told_by} architectures" if told else " of its own" if sample.told_by > 2 else ""
    return f"{len(sample.scores)} seeds, deviation {math.sqrt(variance.value):.2f}{teachers}"


def _other_void(runs: Iterable[Summary]) -> list[float]:
    """Scores under the rule for void that the protocol does not follow, where they are known."""
    either = ((run.miou_void_ignored_percent, run.miou_void_counted_percent) for run in runs if run.status == "ok")
    return [score for both in either for score in both if score is not None]


def _scores(runs: Iterable[Summary], metric: str) -> list[float]:
    found = (getattr(run, f"{metric}_percent") for run in runs if run.status == "ok")
    return [score for score in found if score is not None]
