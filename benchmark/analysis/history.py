"""Figures of every architecture over the versions of the code, with the steps between adjacent versions.

A step is what `segbench compare` says of two adjacent versions (`benchmark.analysis.regression`): the variance of seeds
is that of all architectures of the two versions, and its adjustment is for the table of the two. A loss of mIoU is
tested as there, a gain by the same test with the sides exchanged, each at 5 % for the whole table: of ten pairs of
equal versions, about one has a step of mIoU by chance. With one seed on each side nothing is decided. Small
changes that no pair of adjacent versions shows are not found, even if they add up: compare the first and the last
version for these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.analysis.ranking import by_architecture, current
from benchmark.analysis.regression import WORSE, Change, CountsOf, compare
from benchmark.results.summary import Summary

FIGURES = ("miou_percent", "latency_ratio", "params", "macs", "inference_memory_bytes", "training_memory_bytes")
"""The figures whose steps are found."""

Kind = Literal["better", "worse", "undecided"]


@dataclass(frozen=True)
class Version:
    """A version of the code.

    Attributes:
        code: name of the code, by its digest.
        release: version of segbench.
        revision: commit of the checkout; None for an installed package.
        date: day of the first run, in ISO 8601.
        results: its results.
    """

    code: str
    release: str
    revision: str | None
    date: str
    results: Sequence[Summary]

    @property
    def runs(self) -> int:
        """The number of results."""
        return len(self.results)


@dataclass(frozen=True)
class Value:
    """A figure of an architecture at a version.

    Attributes:
        version: index of the version.
        values: mIoU of each seed, or one value.
    """

    version: int
    values: Sequence[float]

    @property
    def mean(self) -> float:
        """The mean of the seeds."""
        return sum(self.values) / len(self.values)


@dataclass(frozen=True)
class VersionStep:
    """A change between adjacent versions that is more than chance, or a cost that does not tell.

    Attributes:
        architecture: name of the architecture.
        figure: one of `FIGURES`.
        before: index of the version before the step.
        version: index of the version at which it is found.
        kind: better or worse; undecided for a cost that is unsteady, or measured under other conditions.
        change: mIoU in points, others relative.
        interval: its confidence interval; None for exact figures.
        reason: the evidence, in one line.
    """

    architecture: str
    figure: str
    before: int
    version: int
    kind: Kind
    change: float | None
    interval: tuple[float, float] | None
    reason: str


@dataclass(frozen=True)
class History:
    """The figures of one protocol over versions.

    Attributes:
        protocol: name of the protocol.
        overrides: overrides of the command line.
        fingerprint: fingerprint of the protocol.
        versions: versions in order of time.
        figures: by architecture and figure, the values in order of time; only architectures with several versions.
        steps: the steps, worse ones first.
        undecided: the costs of which nothing is decided.
    """

    protocol: str
    overrides: Mapping[str, Any]
    fingerprint: str
    versions: Sequence[Version]
    figures: Mapping[str, Mapping[str, Sequence[Value]]]
    steps: Sequence[VersionStep]
    undecided: Sequence[VersionStep]


def histories(runs: Iterable[Summary]) -> list[History]:
    """Return the history of each protocol that has results of several versions of the code.

    Args:
        runs: all results of a store, superseded ones included.
    """
    by_protocol: dict[tuple[str, str], list[Summary]] = {}
    for run in runs:
        by_protocol.setdefault((run.conditions.protocol, run.conditions.fingerprint), []).append(run)
    found = [_history(each) for _, each in sorted(by_protocol.items())]
    return [history for history in found if history.figures]


def _history(runs: Sequence[Summary]) -> History:
    by_code: dict[str, list[Summary]] = {}
    for run in sorted(runs, key=lambda run: (run.started, run.run_id)):
        by_code.setdefault(run.code, []).append(run)
    sides = [by_architecture(current(each)) for each in by_code.values()]
    names = sorted({name for side in sides for name in side})
    spans = {name: [index for index, side in enumerate(sides) if name in side] for name in names}
    spans = {name: span for name, span in spans.items() if len(span) > 1}
    next_ones = {(name, *pair) for name, span in spans.items() for pair in pairwise(span)}
    bridges = {(name, *pair) for name, span in spans.items() for pair in _bridges(sides, name, span)}
    steps = [
        step
        for before, after in sorted({(before, after) for _, before, after in next_ones | bridges})
        for step in _steps(sides, before, after)
        if (step.architecture, before, after) in (next_ones | bridges if step.figure == "miou_percent" else next_ones)
    ]
    conditions = runs[0].conditions
    return History(
        protocol=conditions.protocol,
        overrides=conditions.overrides,
        fingerprint=conditions.fingerprint,
        versions=[_version(code, members) for code, members in by_code.items()],
        figures={name: _figures(sides, name, span) for name, span in spans.items()},
        steps=sorted(
            (step for step in steps if step.kind != "undecided"),
            key=lambda step: (step.kind != "worse", step.architecture, step.version),
        ),
        undecided=sorted(
            (step for step in steps if step.kind == "undecided"), key=lambda step: (step.architecture, step.version)
        ),
    )


def _bridges(
    sides: Sequence[Mapping[str, Sequence[Summary]]], name: str, span: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """Yield pairs of versions whose mIoU is compared, as one between them failed or each of two has a single seed."""
    scored = [(index, number) for index in span if (number := _scored(sides[index][name]))]
    for place, (after, new) in enumerate(scored):
        testable = [before for before, base in scored[:place] if max(base, new) > 1]
        if testable and testable[-1] != span[span.index(after) - 1]:
            yield testable[-1], after


def _version(code: str, runs: Sequence[Summary]) -> Version:
    return Version(code, runs[0].version, runs[0].revision, runs[0].started[:10], runs)


def _figures(
    sides: Sequence[Mapping[str, Sequence[Summary]]], name: str, span: Sequence[int]
) -> dict[str, list[Value]]:
    found: dict[str, list[Value]] = {}
    for index in span:
        for figure in FIGURES:
            values = [value for run in sides[index][name] if (value := getattr(run, figure)) is not None]
            if values:
                shown = values if figure == "miou_percent" else [median(values)]
                found.setdefault(figure, []).append(Value(index, shown))
    return found


def _steps(sides: Sequence[Mapping[str, Sequence[Summary]]], before: int, after: int) -> Iterator[VersionStep]:
    """Yield the steps of all architectures that two versions have, and the costs that do not tell."""
    shared = [name for name in sides[before] if name in sides[after]]
    base, new = ([run for name in shared for run in side[name]] for side in _testable(sides[before], sides[after]))
    for change in compare(base, new, COUNTS).changes:
        kind = _kind(change)
        if change.figure in FIGURES and kind is not None:
            yield _step(change, before, after, kind, change.change, change.interval)
    for change in compare(new, base, COUNTS).changes:  # a gain is a loss if the sides are exchanged
        if change.figure == "miou_percent" and change.outcome in WORSE and change.change is not None:
            low, high = change.interval or (change.change, change.change)
            yield _step(change, before, after, "better", -change.change, (-high, -low))


def _step(
    change: Change,
    before: int,
    after: int,
    kind: Kind,
    difference: float | None,
    interval: tuple[float, float] | None,
) -> VersionStep:
    reason = change.reason.replace("a loss", "a gain") if kind == "better" else change.reason
    return VersionStep(change.architecture, change.figure, before, after, kind, difference, interval, reason)


def _kind(change: Change) -> Kind | None:
    if change.outcome in WORSE:
        return "worse"
    if change.outcome in ("inconclusive", "not comparable") and change.figure != "miou_percent":
        return "undecided"
    return "better" if change.outcome == "better" else None


def _testable(
    base: Mapping[str, Sequence[Summary]], new: Mapping[str, Sequence[Summary]]
) -> Iterator[dict[str, list[Summary]]]:
    """Yield both sides without mIoU of architectures with one seed on each, of which nothing can be decided."""
    single = {name for name in base.keys() & new.keys() if _scored(base[name]) == _scored(new[name]) == 1}
    for side in (base, new):
        yield {
            name: [run._replace(miou_percent=None) if name in single else run for run in runs]
            for name, runs in side.items()
        }


def _scored(runs: Iterable[Summary]) -> int:
    return sum(run.status == "ok" and run.miou_percent is not None for run in runs)


def _no_counts(run: Summary) -> NDArray[np.integer]:
    raise AssertionError(f"no test of {run.run_id} draws images")


COUNTS: CountsOf = {"base": _no_counts, "new": _no_counts}
