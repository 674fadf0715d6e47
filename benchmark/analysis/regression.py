"""Regressions between two sets of results, by architecture, under equal protocols only.

Accuracy. The source of random variation depends on the question. A release is about the training method on a fixed test
set: seeds vary, images do not. So the standard error of a difference is that of seeds: the variance of each
architecture over both sides, moderated by the others (`benchmark.statistics.variance`).
Equal seeds are not paired: training amplifies a change of the last bit until two runs of one seed differ like two
seeds. If they agree to the last digit, nothing has changed and no test is needed. With one seed on each side the
variance between seeds is unknown and nothing is decided: the interval is then that of the sampling of images.

With `images`, the sampling error of images is included, by the paired bootstrap
(`benchmark.statistics.bootstrap`).

Two hypotheses are tested, each at a level of 5 %. `not worse`: a loss as large as the margin is ruled out, for
this architecture. A release passes where that holds for all, which needs no adjustment (Berger, "Multiparameter
hypothesis testing and acceptance sampling", Technometrics 24, 1982, 295-300). `worse`: there is a loss; `regression`:
it exceeds the margin. Half of those 5 % is assigned to the mean over all architectures, which detects a small common
loss, and half to the architectures together (`benchmark.statistics.multiplicity`); without adjustment, a table of forty
architectures would often raise a false alarm. Otherwise the outcome is inconclusive. An interval has an end for each
hypothesis: the true change is below the lower one in 5 % of cases, and the upper one is adjusted for the whole table.

Missing results cannot be compared and count as failures: an architecture or a protocol that NEW lacks, fewer seeds or
more failed runs than BASE has.

Cost and speed. Parameters and MACs are exact and must be equal. Latency is relative to the anchor that was timed
alternately with it, and has an interval; it and memory may increase by 5 %, on one device: the ratio to the anchor
removes the load of a machine but not its hardware. Budgets are limits of NEW only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from benchmark import arguments
from benchmark.analysis.axes import differing
from benchmark.analysis.margin import check_margin
from benchmark.analysis.ranking import Group, Standing, by_architecture, groups
from benchmark.results.source import ResultSet
from benchmark.results.summary import Summary
from benchmark.statistics.bootstrap import difference
from benchmark.statistics.equivalence import LEVEL, Error, interval, lower_tail_p, welch
from benchmark.statistics.median import median_error
from benchmark.statistics.multiplicity import hochberg
from benchmark.statistics.variance import Variance, moderate, sample_variance, seems_alike

MARGIN = 0.5
"""The non-inferiority margin in points of mIoU."""

TOLERANCE = 0.05
"""Allowed relative increase of latency and memory: medians of the same code vary by about as much on shared
machines."""

BUDGETS = ("latency_ratio", "params", "macs", "inference_memory_bytes")
"""Figures that may have an upper limit."""

ENOUGH = 10_000
"""The maximum number of seeds that is searched."""

Gate = Literal["accuracy", "cost", "speed", "budget"]
Outcome = Literal["same", "not worse", "better", "worse", "regression", "inconclusive", "not comparable", "missing"]
Side = Literal["base", "new"]

WORSE: tuple[Outcome, ...] = ("worse", "regression")
"""Outcomes that fail a gate."""

CountsOf = Mapping[Side, Callable[[Summary], NDArray[np.integer]]]
"""By side, a reader of the confusion matrices of a result on test: shape (images, K + 1, K + 1), all with the same
order of images."""


class Decision(NamedTuple):
    """The tests of a difference of mIoU, new - base, in points."""

    difference: float
    error: Error
    p_margin: float
    """of the hypothesis that the margin or more was lost"""
    p_no_loss: float
    """of the hypothesis that nothing was lost"""
    bar: Error
    """the standard error of this test: the larger one unless the moderated variance is supported by the data"""

    @property
    def is_not_worse(self) -> bool:
        """Whether a loss of the margin is rejected."""
        return self.p_margin <= LEVEL

    @property
    def interval(self) -> tuple[float, float]:
        """At 90 %: its lower end is above -margin exactly where a loss of the margin is ruled out."""
        return interval(self.difference, self.error)

    def needed(self, level: float) -> float:
        """Return the loss, in points, that would have been significant at a level."""
        return -interval(0.0, self.bar, level)[0]

    def high(self, level: float) -> float:
        """Return the upper end of the interval at a level: below 0 exactly where p is below the level."""
        return interval(self.difference, self.bar, level)[1]


@dataclass(frozen=True)
class Change:
    """The change of one figure of one architecture.

    Attributes:
        protocol: protocol of both sides, with its overrides.
        fingerprint: fingerprint of the protocol.
        architecture: name of the architecture.
        gate: the kind of figure.
        figure: miou_percent, params, macs, latency_ratio, inference_memory_bytes or training_memory_bytes.
        base: the figure in BASE; None if missing.
        new: the figure in NEW.
        change: mIoU in points, all others relative to the base.
        interval: confidence interval of the change: of mIoU with an end for each hypothesis, of latency at 95 %; None
            for exact figures.
        outcome: outcome of the comparison.
        reason: its reason, in one line.
        alarm: for mIoU, the loss in points that would have been significant; None without a test.
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
    alarm: float | None = None


@dataclass(frozen=True)
class Missing:
    """Runs of an architecture that are on one side only.

    Attributes:
        protocol: protocol of both sides, with its overrides.
        fingerprint: fingerprint of the protocol.
        architecture: name of the architecture.
        side: the side that has them.
        reason: what the other side lacks, in one line.
    """

    protocol: str
    fingerprint: str
    architecture: str
    side: Side
    reason: str


@dataclass(frozen=True)
class UnmatchedProtocol:
    """A protocol fingerprint that is on one side only.

    Attributes:
        protocol: protocol with its overrides.
        fingerprint: fingerprint of the protocol.
        side: the side that has it.
        other: fingerprint of the most similar one of that name on the other side, or None.
        differs: by axis, the value on this side and on the other.
    """

    protocol: str
    fingerprint: str
    side: Side
    other: str | None
    differs: Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Overall:
    """The mean change of mIoU over all tested pairs of architecture and protocol.

    Attributes:
        pairs: number of pairs: an architecture counts once under each protocol.
        networks: number of different architectures in them.
        change: in points.
        interval: at 90 %, its upper end at the level of the test.
        outcome: worse if a loss is shown, else inconclusive.
    """

    pairs: int
    networks: int
    change: float
    interval: tuple[float, float]
    outcome: Outcome


@dataclass(frozen=True)
class Comparison:
    """The comparison of two sets of results.

    Attributes:
        changes: by protocol, and within one by architecture.
        missing: runs that one side lacks.
        apart: protocols that one side lacks.
        overall: the mean change; None if fewer than two architectures could be tested.
        seeds: number per side for a power of 80 % to show every architecture of an unchanged release not worse; None
            without a test, or if it exceeds the maximum.
    """

    changes: Sequence[Change]
    missing: Sequence[Missing]
    apart: Sequence[UnmatchedProtocol]
    overall: Overall | None
    seeds: int | None


_Key = tuple[str, str]
"""The name and fingerprint of a protocol."""


class _Pair(NamedTuple):
    """The results of an architecture under a protocol, on both sides."""

    group: Group
    own: Variance
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
        **more: Any,
    ) -> Change:
        return _row(self.group, self.new.architecture, gate, figure, values, outcome, reason, **more)


def _row(
    group: Group,
    architecture: str,
    gate: Gate,
    figure: str,
    values: tuple[float | None, float | None],
    outcome: Outcome,
    reason: str,
    *,
    change: float | None = None,
    interval: tuple[float, float] | None = None,
    alarm: float | None = None,
) -> Change:
    return Change(
        protocol=group.title,
        fingerprint=group.fingerprint,
        architecture=architecture,
        gate=gate,
        figure=figure,
        base=values[0],
        new=values[1],
        change=change,
        interval=interval,
        outcome=outcome,
        reason=reason,
        alarm=alarm,
    )


def decide(base: Sequence[float], new: Sequence[float], variance: Variance, margin: float = MARGIN) -> Decision:
    """Test the non-inferiority of mIoU by a t test.

    Args:
        base: mIoU of each seed of BASE, in percent.
        new: the same of NEW.
        variance: variance between seeds, equal on both sides, with its degrees of freedom.
        margin: non-inferiority margin in points.
    """
    return _decided(_mean(new) - _mean(base), (_error(base, new, variance),), margin)


def _error(base: Sequence[float], new: Sequence[float], variance: Variance) -> Error:
    return Error(math.sqrt(variance.value * (1 / len(base) + 1 / len(new))), variance.df)


def _decided(difference: float, errors: Sequence[Error], margin: float) -> Decision:
    """Test a difference against the margin; a loss must be significant with every error, the rest with the first."""
    bar = max(errors, key=lambda each: lower_tail_p(difference, each))
    return Decision(
        difference=difference,
        error=errors[0],
        p_margin=lower_tail_p(-margin - difference, errors[0]),
        p_no_loss=lower_tail_p(difference, bar),
        bar=bar,
    )


def compare_results(
    base: ResultSet,
    new: ResultSet,
    margin: float = MARGIN,
    images: bool = False,
    tolerance: float = TOLERANCE,
    budgets: Mapping[str, float] | None = None,
) -> Comparison:
    """Compare two sets of results, with the confusion matrices that they have; see `compare`.

    Raises:
        UserError: a margin or budget is none, or confusion matrices cannot be read.
    """
    check_margin(margin)
    arguments.real("latency_margin", tolerance, 0, math.inf)
    arguments.keys("budgets", budgets or {}, BUDGETS)
    for name, limit in (budgets or {}).items():
        arguments.real(f"budgets: {name}", limit, 0, math.inf)
    counts: CountsOf = {"base": base.counts, "new": new.counts}
    return compare(base.runs, new.runs, counts, margin, images, tolerance, budgets)


def compare(
    base: Iterable[Summary],
    new: Iterable[Summary],
    counts: CountsOf,
    margin: float = MARGIN,
    images: bool = False,
    tolerance: float = TOLERANCE,
    budgets: Mapping[str, float] | None = None,
) -> Comparison:
    """Compare every architecture of one set of results with the same of another.

    Args:
        base: the base results.
        new: the new results.
        counts: reads confusion matrices; called only for the bootstrap.
        margin: non-inferiority margin in points of mIoU.
        images: include the sampling error of images.
        tolerance: allowed relative increase of latency.
        budgets: largest value that NEW may have, by figure: latency_ratio, params, macs or inference_memory_bytes.
    """
    before, after = ({(group.protocol, group.fingerprint): group for group in groups(runs)} for runs in (base, new))
    shared = [(group, after[key]) for key, group in before.items() if key in after]
    pairs = [pair for each in shared for pair in _pairs(*each)]
    decisions = [_decision(pair, counts, margin, images) for pair in pairs]
    accuracy = _accuracy(pairs, decisions, margin, images, counts)
    changes = [
        *(
            change
            for pair, first in zip(pairs, accuracy, strict=True)
            for change in (first, *_cost(pair), *_speed(pair, tolerance))
        ),
        *(change for pair in shared for change in _absent(*pair)),
        *(change for group in after.values() for change in _over(group, budgets or {})),
    ]
    return Comparison(
        changes=sorted(changes, key=lambda each: (each.protocol, each.fingerprint, each.architecture)),
        missing=[each for group, other in shared for each in _missing(group, other)],
        apart=[*_apart(before, after, "base"), *_apart(after, before, "new")],
        overall=_overall([(pair, each) for pair, each in zip(pairs, decisions, strict=True) if each]),
        seeds=_seeds([pair.variance for pair, each in zip(pairs, decisions, strict=True) if each], margin),
    )


def _pairs(before: Group, after: Group) -> Iterator[_Pair]:
    sides = [by_architecture(group.runs) for group in (before, after)]
    names = sorted({*sides[0], *sides[1]})
    own = [_pooled(*(sample_variance(_scores(side.get(name, []))) for side in sides)) for name in names]
    variances = moderate([each.value for each in own], [each.df for each in own])
    rows = [{row.architecture: row for row in group.table} for group in (before, after)]
    for name, pooled, variance in zip(names, own, variances, strict=True):
        if name in sides[0] and name in sides[1]:
            yield _Pair(after, pooled, variance, rows[0][name], rows[1][name], sides[0][name], sides[1][name])


def _ended_well(runs: Iterable[Summary]) -> list[Summary]:
    return [run for run in runs if run.status == "ok" and run.miou_percent is not None]


def _scores(runs: Iterable[Summary]) -> list[float]:
    return [run.miou_percent for run in _ended_well(runs) if run.miou_percent is not None]


def _pooled(first: Variance, second: Variance) -> Variance:
    df = first.df + second.df
    return Variance((first.value * first.df + second.value * second.df) / df if df else 0.0, df)


def _accuracy(
    pairs: Sequence[_Pair], decisions: Sequence[Decision | None], margin: float, images: bool, counts: CountsOf
) -> list[Change]:
    """Return the change of mIoU of each pair."""
    tested = [each for each in decisions if each]
    alarms, level = iter(_alarms(tested)), LEVEL / max(len(tested), 1) / _shares(tested)
    return [
        _judged(pair, decision, next(alarms), decision.needed(level), margin, images)
        if decision
        else _undecided(pair, counts)
        for pair, decision in zip(pairs, decisions, strict=True)
    ]


def _alarms(decisions: Sequence[Decision]) -> list[float]:
    """Return the p-values of a loss, adjusted for the table; half of the level is assigned to the overall mean."""
    adjusted = hochberg([each.p_no_loss for each in decisions])
    return [min(1.0, _shares(decisions) * float(each)) for each in adjusted]


def _shares(decisions: Sequence[Decision]) -> int:
    """Return the number of parts of the level: 1 for a single architecture, which is its own mean, else 2."""
    return 2 if len(decisions) > 1 else 1


def _overall(tested: Sequence[tuple[_Pair, Decision]]) -> Overall | None:
    """Return the mean change over all tested pairs, assuming independent errors."""
    count = len(tested)
    if count < 2:
        return None
    decisions = [decision for _, decision in tested]
    networks = len({pair.new.architecture for pair, _ in tested})
    change = _mean([each.difference for each in decisions])
    error = welch(*(Error(each.bar.value / count, each.bar.df) for each in decisions))
    level = LEVEL / _shares(decisions)
    bounds = interval(change, error)[0], interval(change, error, level)[1]
    return Overall(count, networks, change, bounds, "worse" if bounds[1] < 0 else "inconclusive")


def _seeds(variances: Sequence[Variance | None], margin: float) -> int | None:
    """Return the seeds per side for a power of 80 % to show all architectures of an unchanged release not worse."""
    known = [each.value for each in variances if each]
    if not known:
        return None
    reach = float(ndtri(1 - LEVEL) + ndtri(0.8 ** (1 / len(known))))
    needed = math.ceil(2 * max(known) * (reach / margin) ** 2) + 1  # one for the estimate of the variance
    return max(needed, 2) if needed <= ENOUGH else None


def _decision(pair: _Pair, counts: CountsOf, margin: float, images: bool) -> Decision | None:
    """Return the decision; None without scores on one side, with equal scores, or with one seed per side."""
    base, new = _ended_well(pair.base_runs), _ended_well(pair.new_runs)
    if not base or not new or _is_same(base, new) or pair.own.df == 0 or pair.variance is None:
        return None
    borrowed = not seems_alike(pair.own, pair.variance)
    sides = _scores(base), _scores(new)
    errors = [_error(*sides, each) for each in (pair.variance, *([pair.own] if borrowed else []))]
    if images:
        over_images = Error(_over_images(base, new, counts), math.inf)
        errors = [welch(each, over_images) for each in errors]
    return _decided(_mean(sides[1]) - _mean(sides[0]), errors, margin)


def _over_images(base: Sequence[Summary], new: Sequence[Summary], counts: CountsOf) -> float:
    """Return the standard error of the difference due to the sampling of images, in points."""
    return difference(map(counts["base"], base), map(counts["new"], new)).error


def _is_same(base: Iterable[Summary], new: Iterable[Summary]) -> bool:
    """Whether every new run is equal to one of the base to the last digit."""
    before = {run.seed: run.miou_percent for run in base}
    return all(run.seed in before and run.miou_percent == before[run.seed] for run in new)


def _undecided(pair: _Pair, counts: CountsOf) -> Change:
    """Return the change of an untested pair."""
    base, new = pair.base.miou_percent, pair.new.miou_percent
    before, after = _ended_well(pair.base_runs), _ended_well(pair.new_runs)
    change, bounds = None, None
    outcome: Outcome
    if base is None or new is None:
        if base is not None and pair.new.status != "ok":
            outcome, reason = "regression", f"no successful run: {pair.new.status}"
        else:
            sides = [name for name, value in (("BASE", base), ("NEW", new)) if value is None]
            outcome, reason = "not comparable", f"no score of {' and '.join(sides)}"
    elif _is_same(before, after):
        # Every new run is equal to one of the base, so the scores of those seeds are compared, not all means.
        seeds = {run.seed for run in after}
        base = _mean(_scores(run for run in before if run.seed in seeds))
        outcome, reason = "same", f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}, equal to the last digit"
        if others := len({run.seed for run in before} - seeds):
            reason += f"; {others} more of BASE not compared"
        reason += _failures(pair)
    else:
        change = new - base
        bounds = interval(change, Error(_over_images(before, after, counts), math.inf))
        reason = "one seed a side: needs a second, and the interval is of images only" + _failures(pair)
        outcome = "inconclusive"
    return pair.change("accuracy", "miou_percent", (base, new), outcome, reason, change=change, interval=bounds)


def _failures(pair: _Pair) -> str:
    """Return how many runs of NEW failed, for the end of a reason."""
    failed = pair.new.failed
    return f"; {failed} of {failed + pair.new.seeds} runs failed" if failed else ""


def _judged(pair: _Pair, decision: Decision, p: float, alarm: float, margin: float, images: bool) -> Change:
    assert pair.variance is not None
    basis = f"{pair.base.seeds} and {pair.new.seeds} seeds, sd {math.sqrt(pair.variance.value):.2f}"
    if images:
        basis += ", other images too"
    high = decision.high(LEVEL * min(decision.p_no_loss / p, 1.0) if p else LEVEL)
    outcome: Outcome
    if decision.is_not_worse:
        outcome, finding = "not worse", f"a loss of {margin:g} is ruled out (p {decision.p_margin:.2g})"
    elif p <= LEVEL:
        outcome = "regression" if high < -margin else "worse"
        finding = f"a loss {f'of more than {margin:g} ' if high < -margin else ''}is shown"
        finding += f" (p {p:.2g} in the whole table)"
    else:
        outcome, finding = "inconclusive", f"a loss of {margin:g} is not ruled out (p {decision.p_margin:.2g})"
    return pair.change(
        "accuracy",
        "miou_percent",
        (pair.base.miou_percent, pair.new.miou_percent),
        outcome,
        f"{basis}: {finding}{_failures(pair)}",
        change=decision.difference,
        interval=(decision.interval[0], high),
        alarm=alarm,
    )


def _cost(pair: _Pair) -> Iterator[Change]:
    for figure in ("params", "macs"):
        yield from _figure(pair, figure, 0.0)
    for figure in ("inference_memory_bytes", "training_memory_bytes"):
        yield from _figure(pair, figure, TOLERANCE, device=True)


def _figure(pair: _Pair, figure: str, tolerance: float, device: bool = False) -> Iterator[Change]:
    """Yield the change of an exact figure; nothing if neither side has it."""
    base, new = getattr(pair.base, figure), getattr(pair.new, figure)
    sides = [[run for run in runs if getattr(run, figure) is not None] for runs in (pair.base_runs, pair.new_runs)]
    if not any(sides):
        return
    if not all(sides):
        side = "NEW" if sides[0] else "BASE"
        yield pair.change("cost", figure, (base, new), "not comparable", f"missing in {side}")
        return
    if device and len({run.device for run in (*pair.base_runs, *pair.new_runs)}) > 1:
        why = f"measured on {pair.new.device}, not {pair.base.device}"
        if pair.new.device == pair.base.device:
            why = f"measured on several devices: {pair.base.device}"
        yield pair.change("cost", figure, (base, new), "not comparable", why)
        return
    share = (new - base) / max(base, 1)
    outcome: Outcome = "regression" if share > tolerance else "better" if share < -tolerance else "same"
    if outcome == "same" and base != new:
        outcome = "not worse"
    rule = f"may grow by {tolerance:.0%}" if tolerance else "must be equal"
    unit = " bytes" if figure.endswith("_bytes") else ""
    amounts = f"{base:,}{unit} in both" if base == new else f"from {base:,} to {new:,}{unit}"
    yield pair.change("cost", figure, (base, new), outcome, f"{amounts}, {rule}", change=share)


def _speed(pair: _Pair, tolerance: float) -> Iterator[Change]:
    """Yield the change of latency relative to the anchor."""
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
    elif low > tolerance:
        outcome, reason = "regression", f"slower by more than {tolerance:.0%}"
    elif high > tolerance:
        outcome, reason = "inconclusive", f"may be slower by more than {tolerance:.0%}"
    else:
        outcome, reason = "better" if high < -tolerance else "not worse", f"not slower by {tolerance:.0%}"
    yield pair.change("speed", "latency_ratio", values, outcome, reason, change=change, interval=(low, high))


def _not_timed_alike(base: Sequence[Summary], new: Sequence[Summary]) -> str | None:
    if not base or not new:
        return f"not timed in {'NEW' if base else 'BASE'}"
    for what in ("device", "latency_setting"):
        before, now = ({getattr(run, what) for run in side} for side in (base, new))
        if before != now or len(now) > 1:
            return f"timed with {'; '.join(sorted(now))}, not {'; '.join(sorted(before))}"
    return None


def _log_ratio(runs: Sequence[Summary]) -> tuple[float, float]:
    """Return the mean logarithm of the ratios to the anchor, and its standard error.

    The error of a run combines that of its median and the anchor's, which was timed as often and is assumed to have the
    same relative spread. If runs differ by more than that, their standard error is used.
    """
    logs = [math.log(run.latency_ratio) for run in runs if run.latency_ratio]
    within = [
        2 * (median_error(run.latency_iqr_ms, run.latency_repeats) / run.latency_ms) ** 2
        for run in runs
        if run.latency_iqr_ms is not None and run.latency_ms and run.latency_repeats
    ]
    variance = max(_mean(within) if within else 0.0, sample_variance(logs).value)
    return _mean(logs), math.sqrt(variance / len(logs))


def _missing(before: Group, after: Group) -> Iterator[Missing]:
    rows = [{row.architecture: row for row in group.table} for group in (before, after)]
    sides: tuple[Side, Side] = ("base", "new")
    for side, here, there in zip(sides, rows, reversed(rows), strict=True):
        for name in sorted(here.keys() - there.keys()):
            yield Missing(after.title, after.fingerprint, name, side, "no result")
    for name in sorted(rows[0].keys() & rows[1].keys()):
        base, new = rows[0][name], rows[1][name]
        reasons = []
        if new.seeds < base.seeds:
            reasons.append(f"{new.seeds} of {base.seeds} seeds")
        if new.failed > base.failed:
            reasons.append(f"{new.failed} of {new.failed + new.seeds} runs failed, {base.failed} before")
        if reasons:
            yield Missing(after.title, after.fingerprint, name, "base", "; ".join(reasons))


def _absent(before: Group, after: Group) -> Iterator[Change]:
    """Yield a row for each architecture that only BASE has."""
    there = {row.architecture for row in after.table}
    for row in before.table:
        if row.architecture not in there:
            values = row.miou_percent, None
            yield _row(after, row.architecture, "accuracy", "miou_percent", values, "missing", "no result of it in NEW")


def _over(group: Group, budgets: Mapping[str, float]) -> Iterator[Change]:
    """Yield a row for each figure of NEW that has a budget."""
    for row in group.table:
        for figure, limit in budgets.items():
            value = getattr(row, figure)
            outcome: Outcome = "not comparable" if value is None else "regression" if value > limit else "not worse"
            if value is not None:
                reason = f"{value:,.6g}, at most {limit:,.6g}"
            elif any(run.architecture == row.architecture and getattr(run, figure) is not None for run in group.runs):
                reason = f"measured on several devices: {row.device}"
            else:
                reason = "missing in NEW"
            yield _row(group, row.architecture, "budget", figure, (None, value), outcome, reason)


def _apart(here: Mapping[_Key, Group], there: Mapping[_Key, Group], side: Side) -> Iterator[UnmatchedProtocol]:
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
        yield UnmatchedProtocol(group.title, group.fingerprint, side, nearest, differs[nearest] if nearest else {})


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
