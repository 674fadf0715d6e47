"""Did anything get worse between two sets of results? Architecture by architecture, under equal protocols alone.

Accuracy. Which chance counts depends on the question. A release asks about the way of training, on this very test set:
other seeds would have given other scores, while other images are not at stake. So the error of a difference is that of
seeds: the variance of each architecture over both sides, moderated by the others (`benchmark.analysis.variance`). Equal
seeds are no pairs: training amplifies a change of the last bit until two runs of one seed differ as two seeds do. They
are where they agree to the last digit; then nothing has changed, and nothing is left to test.

Who asks whether a loss would be seen on other images like these adds the error over images, by the paired bootstrap
(`benchmark.analysis.bootstrap`). The same error is all there is where no architecture shows how much seeds differ. It
then speaks of these two networks and not of the way of training: it can raise an alarm, where they are apart by more
than the margin, but it clears nobody.

Two questions are asked, and each error is held to 5 %. `not worse`: a loss as large as the margin is ruled out, for
this architecture. A release passes where that holds for all, which needs no adjustment (Berger, "Multiparameter
hypothesis testing and acceptance sampling", Technometrics 24, 1982, 295-300). `regression`: there is a loss at all, at
5 % for the whole table (`benchmark.analysis.multiplicity`), or every second release of forty architectures would raise
a false alarm. What is neither is inconclusive.

Cost and speed. Parameters and MACs are counted and must be equal. Latency is held to the anchor that was timed in turn
with it, and has an interval; it and memory may grow by 5 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.analysis.axes import differing
from benchmark.analysis.bootstrap import difference
from benchmark.analysis.equivalence import LEVEL, Error, chance_of_less, interval, welch
from benchmark.analysis.multiplicity import holm
from benchmark.analysis.ranking import Group, Standing, by_architecture, groups
from benchmark.analysis.variance import Variance, moderate, sample_variance
from benchmark.results.summary import Summary

MARGIN = 0.5
"""Points of mIoU that may be lost."""

TOLERANCE = 0.05
"""Share by which latency and memory may grow: medians of the same code wander by about as much on shared machines."""

MEDIAN_ERROR = math.sqrt(math.pi / 2) / 1.349
"""Standard error of a median of n, times the root of n, in interquartile ranges (McGill, Tukey and Larsen, "Variations
of box plots", The American Statistician 32, 1978, 12-16)."""

Gate = Literal["accuracy", "cost", "speed"]
Outcome = Literal["same", "not worse", "better", "regression", "inconclusive", "not comparable"]
Side = Literal["base", "new"]

CountsOf = Mapping[Side, Callable[[Summary], NDArray[np.integer]]]
"""By side, what reads the counts of a result on test: shape (images, K + 1, K + 1), the images of all in one order."""


class Decision(NamedTuple):
    """What is known of a difference of mIoU, new less base, in points."""

    difference: float
    error: Error
    interval: tuple[float, float]
    """at a level of 90 %: its lower end is above -margin exactly where a loss of the margin is ruled out"""
    p_margin: float
    """of the hypothesis that the margin or more was lost"""
    p_spared: float
    """of the hypothesis that nothing was lost, or no more than raises no alarm"""

    @property
    def is_not_worse(self) -> bool:
        """Whether a loss of the margin is ruled out."""
        return self.p_margin <= LEVEL


@dataclass(frozen=True)
class Change:
    """One figure of one architecture, on both sides.

    Attributes:
        protocol: that both sides followed, with its overrides.
        fingerprint: of it.
        architecture: of which architecture.
        gate: the kind of figure.
        figure: miou_percent, params, macs, latency_ratio, inference_memory_bytes or training_memory_bytes.
        base: the figure before; None where there is none.
        new: the figure now.
        change: mIoU in points, all others as a share of the base.
        interval: that the true change lies in: of mIoU at 90 %, of latency at 95 %; None for what is counted.
        outcome: whether it is worse.
        reason: why, in one line.
    """

    protocol: str
    fingerprint: str
    architecture: str
    gate: Gate
    figure: str
    base: float | None
    new: float | None
    change: float | None
    interval: tuple[float, float] | None
    outcome: Outcome
    reason: str


@dataclass(frozen=True)
class Missing:
    """An architecture that one side alone has under a protocol that both have."""

    protocol: str
    fingerprint: str
    architecture: str
    side: Side
    """the one that has it"""


@dataclass(frozen=True)
class Apart:
    """A protocol as one side alone followed it.

    Attributes:
        protocol: with its overrides.
        fingerprint: of it.
        side: the one that has it.
        other: fingerprint of the most similar one that the other side has of that name; None where it has none.
        differs: by axis, the value on this side and on the other.
    """

    protocol: str
    fingerprint: str
    side: Side
    other: str | None
    differs: Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Comparison:
    """Everything that two sets of results say of each other."""

    changes: Sequence[Change]
    missing: Sequence[Missing]
    apart: Sequence[Apart]


_Key = tuple[str, str]
"""Name and fingerprint of a protocol."""


class _Pair(NamedTuple):
    """An architecture under a protocol, on both sides."""

    group: Group
    variance: Variance | None
    base: Standing
    new: Standing
    base_runs: Sequence[Summary]
    new_runs: Sequence[Summary]

    def change(
        self,
        gate: Gate,
        figure: str,
        values: tuple[float | None, float | None],
        outcome: Outcome,
        reason: str,
        *,
        change: float | None = None,
        interval: tuple[float, float] | None = None,
    ) -> Change:
        return Change(
            protocol=self.group.title,
            fingerprint=self.group.fingerprint,
            architecture=self.new.architecture,
            gate=gate,
            figure=figure,
            base=values[0],
            new=values[1],
            change=change,
            interval=interval,
            outcome=outcome,
            reason=reason,
        )


def decide(base: Sequence[float], new: Sequence[float], variance: Variance, margin: float = MARGIN) -> Decision:
    """Hold the mIoU of a way of training against what it was: non-inferiority by a t test.

    Args:
        base: mIoU of each seed before, in percent.
        new: the same now.
        variance: between seeds, the same on both sides, and what its estimate is worth.
        margin: points that may be lost.
    """
    error = math.sqrt(variance.value * (1 / len(base) + 1 / len(new)))
    return hold(_mean(new) - _mean(base), Error(error, variance.df), margin)


def hold(difference: float, error: Error, margin: float, spared: float = 0.0) -> Decision:
    """Hold a difference against the margin.

    Args:
        difference: new less base.
        error: its standard error.
        margin: that may be lost.
        spared: a loss of which raises no alarm yet.
    """
    return Decision(
        difference=difference,
        error=error,
        interval=interval(difference, error),
        p_margin=chance_of_less(-margin - difference, error),
        p_spared=chance_of_less(difference + spared, error),
    )


def compare(
    base: Iterable[Summary], new: Iterable[Summary], counts: CountsOf, margin: float = MARGIN, images: bool = False
) -> Comparison:
    """Hold every architecture of one set of results against the same of another.

    Args:
        base: the results before.
        new: the results now.
        counts: called for what goes into a bootstrap, and for nothing else.
        margin: points of mIoU that may be lost.
        images: whether a loss would be seen on other images too.
    """
    before, after = ({(group.protocol, group.fingerprint): group for group in groups(runs)} for runs in (base, new))
    shared = [(group, after[key]) for key, group in before.items() if key in after]
    pairs = [pair for each in shared for pair in _pairs(*each)]
    accuracy = _accuracy(pairs, counts, margin, images)
    return Comparison(
        changes=[
            change
            for pair, first in zip(pairs, accuracy, strict=True)
            for change in (first, *_cost(pair), *_speed(pair))
        ],
        missing=[each for group, other in shared for each in _missing(group, other)],
        apart=[*_apart(before, after, "base"), *_apart(after, before, "new")],
    )


def _pairs(before: Group, after: Group) -> Iterator[_Pair]:
    sides = [by_architecture(group.runs) for group in (before, after)]
    names = sorted({*sides[0], *sides[1]})
    own = [_pooled(*(sample_variance(_scores(side.get(name, []))) for side in sides)) for name in names]
    variances = moderate([each.value for each in own], [each.df for each in own])
    rows = [{row.architecture: row for row in group.table} for group in (before, after)]
    for name, variance in zip(names, variances, strict=True):
        if name in sides[0] and name in sides[1]:
            yield _Pair(after, variance, rows[0][name], rows[1][name], sides[0][name], sides[1][name])


def _ended_well(runs: Iterable[Summary]) -> list[Summary]:
    return [run for run in runs if run.status == "ok" and run.miou_percent is not None]


def _scores(runs: Iterable[Summary]) -> list[float]:
    return [run.miou_percent for run in _ended_well(runs) if run.miou_percent is not None]


def _pooled(first: Variance, second: Variance) -> Variance:
    df = first.df + second.df
    return Variance((first.value * first.df + second.value * second.df) / df if df else 0.0, df)


def _accuracy(pairs: Sequence[_Pair], counts: CountsOf, margin: float, images: bool) -> list[Change]:
    """The change of mIoU of each pair."""
    decisions = [_decision(pair, counts, margin, images) for pair in pairs]
    alarms = iter(holm([each.p_spared for each in decisions if each]))
    return [
        _judged(pair, decision, float(next(alarms)), margin, images) if decision else _undecided(pair)
        for pair, decision in zip(pairs, decisions, strict=True)
    ]


def _decision(pair: _Pair, counts: CountsOf, margin: float, images: bool) -> Decision | None:
    """What the scores say; None where there are none on one side, or the same on both."""
    base, new = _ended_well(pair.base_runs), _ended_well(pair.new_runs)
    if not base or not new or _is_same(base, new):
        return None
    found = decide(_scores(base), _scores(new), pair.variance or Variance(0.0, math.inf), margin)
    if pair.variance and not images:
        return found
    over_images = difference(map(counts["base"], base), map(counts["new"], new))
    error = welch(found.error, Error(over_images.error, math.inf))
    return hold(found.difference, error, margin, spared=0.0 if pair.variance else margin)


def _is_same(base: Iterable[Summary], new: Iterable[Summary]) -> bool:
    """Whether every run of now repeats one of before to the last digit."""
    before = {run.seed: run.miou_percent for run in base}
    return all(run.seed in before and run.miou_percent == before[run.seed] for run in new)


def _undecided(pair: _Pair) -> Change:
    base, new = pair.base.miou_percent, pair.new.miou_percent
    outcome: Outcome
    if base is not None and new is not None:
        # Every run of now repeats one of before: what was compared are the scores of those seeds, not the mean of all.
        seeds = {run.seed for run in _ended_well(pair.new_runs)}
        before = _ended_well(pair.base_runs)
        base = _mean(_scores(run for run in before if run.seed in seeds))
        outcome, reason = "same", f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}, equal to the last digit"
        if others := len({run.seed for run in before} - seeds):
            reason += f"; {others} more of the base not compared"
    elif base is not None and pair.new.status != "ok":
        outcome, reason = "regression", f"no run ended well: {pair.new.status}"
    else:
        sides = [name for name, value in (("the base", base), ("what is new", new)) if value is None]
        outcome, reason = "not comparable", f"no score of {' and '.join(sides)}"
    return pair.change("accuracy", "miou_percent", (base, new), outcome, reason)


def _judged(pair: _Pair, decision: Decision, alarm: float, margin: float, images: bool) -> Change:
    seeds = f"{pair.base.seeds} and {pair.new.seeds} seeds"
    if pair.variance:
        basis = f"{seeds}, sd {math.sqrt(pair.variance.value):.2f}{', other images too' if images else ''}"
    else:
        basis = f"{seeds}, none to tell how much they differ: of these networks on such images"
    outcome: Outcome
    if decision.is_not_worse and pair.variance:
        outcome, finding = "not worse", f"a loss of {margin:g} is ruled out (p {decision.p_margin:.2g})"
    elif alarm <= LEVEL:
        outcome, finding = "regression", f"a loss is shown (p {alarm:.2g} in the whole table)"
    elif pair.variance:
        outcome, finding = "inconclusive", f"a loss of {margin:g} is not ruled out (p {decision.p_margin:.2g})"
    else:
        outcome, finding = "inconclusive", f"no alarm, and it takes several seeds to rule out a loss of {margin:g}"
    if failed := pair.new.failed:
        finding += f"; {failed} of {failed + pair.new.seeds} runs failed"
    return pair.change(
        "accuracy",
        "miou_percent",
        (pair.base.miou_percent, pair.new.miou_percent),
        outcome,
        f"{basis}: {finding}",
        change=decision.difference,
        interval=decision.interval,
    )


def _cost(pair: _Pair) -> Iterator[Change]:
    for figure in ("params", "macs"):
        yield from _figure(pair, figure, 0.0)
    for figure in ("inference_memory_bytes", "training_memory_bytes"):
        yield from _figure(pair, figure, TOLERANCE, device=True)


def _figure(pair: _Pair, figure: str, tolerance: float, device: bool = False) -> Iterator[Change]:
    """The change of a figure without noise; nothing, where neither side has it."""
    base, new = getattr(pair.base, figure), getattr(pair.new, figure)
    if base is None and new is None:
        return
    if base is None or new is None:
        side = "the base" if base is None else "what is new"
        yield pair.change("cost", figure, (base, new), "not comparable", f"not there in {side}")
        return
    if device and pair.base.device != pair.new.device:
        why = f"measured on {pair.new.device}, not {pair.base.device}"
        yield pair.change("cost", figure, (base, new), "not comparable", why)
        return
    share = (new - base) / max(base, 1)
    outcome: Outcome = "regression" if share > tolerance else "better" if share < -tolerance else "same"
    if outcome == "same" and base != new:
        outcome = "not worse"
    rule = f"may grow by {tolerance:.0%}" if tolerance else "must be equal"
    yield pair.change("cost", figure, (base, new), outcome, f"{base:,} > {new:,}, {rule}", change=share)


def _speed(pair: _Pair) -> Iterator[Change]:
    """The change of latency, as a ratio to the anchor."""
    sides = [[run for run in runs if run.latency_ratio] for runs in (pair.base_runs, pair.new_runs)]
    values = (pair.base.latency_ratio, pair.new.latency_ratio)
    if not any(sides):
        return
    if why := _not_timed_alike(*sides):
        yield pair.change("speed", "latency_ratio", values, "not comparable", why)
        return
    (before, error), (now, other) = (_log_ratio(side) for side in sides)
    reach = 1.96 * math.hypot(error, other)
    change, low, high = (math.expm1(min(now - before + each, 700.0)) for each in (0, -reach, reach))  # no overflow
    unsteady = sorted({run.latency_unsteady for side in sides for run in side if run.latency_unsteady})
    outcome: Outcome
    if unsteady:
        outcome, reason = "inconclusive", f"unsteady while it was timed: {'; '.join(unsteady)}"
    elif low > TOLERANCE:
        outcome, reason = "regression", f"slower by more than {TOLERANCE:.0%}"
    elif high > TOLERANCE:
        outcome, reason = "inconclusive", f"may be slower by more than {TOLERANCE:.0%}"
    else:
        outcome, reason = "better" if high < -TOLERANCE else "not worse", f"not slower by {TOLERANCE:.0%}"
    yield pair.change("speed", "latency_ratio", values, outcome, reason, change=change, interval=(low, high))


def _not_timed_alike(base: Sequence[Summary], new: Sequence[Summary]) -> str | None:
    if not base or not new:
        return f"not timed in {'what is new' if base else 'the base'}"
    for what in ("device", "latency_setting"):
        before, now = ({getattr(run, what) for run in side} for side in (base, new))
        if before != now or len(now) > 1:
            return f"timed with {'; '.join(sorted(now))}, not {'; '.join(sorted(before))}"
    return None


def _log_ratio(runs: Sequence[Summary]) -> tuple[float, float]:
    """Mean logarithm of the ratios to the anchor, and its standard error.

    Of each run the error is that of its median, and the anchor's, which was timed as often and is taken to spread as
    much. Runs that differ by more than that tell the error themselves.
    """
    logs = [math.log(run.latency_ratio) for run in runs if run.latency_ratio]
    within = [
        2 * (MEDIAN_ERROR * run.latency_iqr_ms / run.latency_ms) ** 2 / run.latency_repeats
        for run in runs
        if run.latency_iqr_ms is not None and run.latency_ms and run.latency_repeats
    ]
    variance = max(_mean(within) if within else 0.0, sample_variance(logs).value)
    return _mean(logs), math.sqrt(variance / len(logs))


def _missing(before: Group, after: Group) -> Iterator[Missing]:
    names = [{row.architecture for row in group.table} for group in (before, after)]
    sides: tuple[Side, Side] = ("base", "new")
    for side, here, there in zip(sides, names, reversed(names), strict=True):
        for name in sorted(here - there):
            yield Missing(after.title, after.fingerprint, name, side)


def _apart(here: Mapping[_Key, Group], there: Mapping[_Key, Group], side: Side) -> Iterator[Apart]:
    for key, group in here.items():
        if key in there:
            continue
        axes = group.runs[0].conditions.axes
        differs = {
            other.fingerprint: differing(axes, other.runs[0].conditions.axes)
            for other in there.values()
            if other.protocol == group.protocol
        }
        nearest = min(differs, key=lambda each: len(differs[each]), default=None)
        yield Apart(group.title, group.fingerprint, side, nearest, differs[nearest] if nearest else {})


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
