"""Rankings: from one row a result to one row an architecture.

Only runs that followed the same protocol to the letter, which is what equal fingerprints mean, are ranked together.
Rows are sorted by their mean; `benchmark.analysis.marks` decides what of that order the data bear. Everything stays in
full precision; rounding belongs to whoever shows it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any, NamedTuple

from benchmark.analysis import code
from benchmark.analysis.axes import differing
from benchmark.analysis.marks import marks
from benchmark.results.summary import Summary

_AGE = attrgetter("started", "run_id")

ORIGINS = {
    "torch": "versions of PyTorch",
    "platform": "platforms",
}
"""Columns of a result that say where it comes from, in words. The protocol's fingerprint does not cover them, and code
has notes of its own."""


class Standing(NamedTuple):
    """One architecture. What it does not have is None.

    Accuracy is the mean over the seeds that ended well, latency and memory the median over all. Latency, its ratio to
    the anchor and memory of different devices are not averaged: where an architecture ran on several, they are missing.
    """

    rank: int | None
    """place of the mean, by which rows are sorted; equal scores share one"""
    rank_low: int | None
    """best rank that pairwise tests leave open; 1 where no other is shown to be better"""
    rank_high: int | None
    """worst rank that they leave open"""
    architecture: str
    method: str
    status: str
    """ok, or why the newest run without a score has none"""
    seeds: int
    """runs that ended well"""
    failed: int
    """runs that did not"""
    miou_percent: float | None
    miou_sd_percent: float | None
    """standard deviation over seeds; None for one"""
    miou_void_ignored_percent: float | None
    """under the other rule, where the protocol counts pixels of void as false positives"""
    best_miou_percent: float | None
    macc_percent: float | None
    aacc_percent: float | None
    params: int | None
    params_total: int | None
    macs: int | None
    input: str | None
    latency_ms: float | None
    latency_ratio: float | None
    latency_setting: str | None
    inference_memory_bytes: int | None
    training_memory_bytes: int | None
    device: str
    best: str
    """the columns, separated by spaces, in which it is among the best, see `benchmark.analysis.marks`"""
    front: str
    """the columns of cost, separated by spaces, against which it is on the Pareto front of mIoU"""
    latency_unsteady: str | None
    """why its latency is not to be trusted, if it is not"""

    @property
    def ranks(self) -> str | None:
        """The ranks that are left open, as "1-3", or the one that is."""
        if self.rank_low == self.rank_high:
            return None if self.rank_low is None else str(self.rank_low)
        return f"{self.rank_low}-{self.rank_high}"


@dataclass(frozen=True)
class Group:
    """The results that may be ranked together: one protocol, one fingerprint.

    Attributes:
        protocol: name of the protocol.
        fingerprint: of the protocol as it was run.
        overrides: what the command line changed of it.
        differs: by axis, the value here and the value in the first group of the protocol; empty for that one.
        runs: the results, without the superseded ones.
        superseded: number of results left out because a newer one stands for them, see `current`.
        notes: what a reader must know before comparing rows.
        code_notes: those of the notes that are on the code of the results.
        not_run: rows of architectures without results, see `benchmark.analysis.coverage`.
    """

    protocol: str
    fingerprint: str
    overrides: Mapping[str, Any]
    differs: Mapping[str, tuple[Any, Any]]
    runs: Sequence[Summary]
    superseded: int
    notes: Sequence[str]
    code_notes: Sequence[str] = ()
    not_run: Sequence[Standing] = ()

    @cached_property
    def table(self) -> Sequence[Standing]:
        """What `ranking` makes of the runs, and after them what was not run. Made when it is first asked for."""
        return [*ranking(self.runs), *self.not_run]

    @property
    def title(self) -> str:
        """The protocol, and what of it was changed."""
        changes = ", ".join(f"{name} = {value}" for name, value in self.overrides.items())
        return f"{self.protocol} with {changes}" if changes else self.protocol

    @property
    def mixture(self) -> list[str]:
        """What is mixed in the group that results had better have in common, code included, a sentence each."""
        return [*self.code_notes, *_mixture(self.runs)]


def current(runs: Sequence[Summary]) -> list[Summary]:
    """Return the runs that count: of each seed the newest, of each architecture its newest config and one code.

    A run is repeated under another id when the code that can move a number or the config of the architecture has
    changed. Both results stay in the store; averaging over them would count a seed twice or mix two networks.

    Args:
        runs: with equal protocol and fingerprint.
    """
    by_age = sorted(runs, key=_AGE)
    config = {run.architecture: run.config_sha256 for run in by_age}  # of equal keys the last stays: the newest
    alike = code.of_one_code([run for run in by_age if run.config_sha256 == config[run.architecture]])
    newest = {(run.architecture, run.seed): run for run in alike}
    counting = set(map(id, newest.values()))
    return [run for run in runs if id(run) in counting]


def ranking(runs: Iterable[Summary]) -> list[Standing]:
    """One row an architecture, best first; those without a score come last and are never left out.

    Args:
        runs: with equal protocol and fingerprint.
    """
    runs_of = by_architecture(sorted(runs, key=_AGE))
    rows = [_standing(alike) for alike in runs_of.values()]
    found = marks(rows, runs_of)
    scores = sorted((row.miou_percent for row in rows if row.miou_percent is not None), reverse=True)
    places = {score: place for place, score in reversed(list(enumerate(scores, 1)))}
    ranked = [
        row._replace(
            rank=None if row.miou_percent is None else places[row.miou_percent],
            rank_low=found.ranks[name].low if name in found.ranks else None,
            rank_high=found.ranks[name].high if name in found.ranks else None,
            best=" ".join(found.best[name]),
            front=" ".join(found.front[name]),
        )
        for name, row in zip(runs_of, rows, strict=True)
    ]
    return sorted(ranked, key=lambda row: (row.rank is None, row.rank, row.architecture))


def by_architecture(runs: Iterable[Summary]) -> dict[str, list[Summary]]:
    """Return the runs of each architecture, in the order in which they come."""
    found: dict[str, list[Summary]] = {}
    for run in runs:
        found.setdefault(run.architecture, []).append(run)
    return found


def groups(runs: Iterable[Summary]) -> list[Group]:
    """Sort results into what may be ranked together.

    Returns:
        By name of the protocol; within one, the protocol as it is defined before those with overrides, then the one
        with more runs first.
    """
    by_protocol: dict[str, dict[str, list[Summary]]] = {}
    for run in runs:
        by_protocol.setdefault(run.conditions.protocol, {}).setdefault(run.conditions.fingerprint, []).append(run)
    found = []
    for _, by_fingerprint in sorted(by_protocol.items()):
        alike = sorted(
            by_fingerprint.values(),
            key=lambda runs: (bool(runs[0].conditions.overrides), -len(runs), runs[0].conditions.fingerprint),
        )
        found += [_group(runs, alike[0][0].conditions.axes) for runs in alike]
    return found


def code_notes(runs: Iterable[Summary]) -> Iterator[str]:
    """Yield the notes of each group on the code of its results, where nobody shows the others."""
    for group in groups(runs):
        yield from (f"{group.title}: {note}" for note in group.code_notes)


def _standing(runs: Sequence[Summary]) -> Standing:
    """Return the row of an architecture, not ranked yet. Its runs come oldest first."""
    ok = [run for run in runs if run.status == "ok"]
    devices = sorted({run.device for run in runs})
    on_one_device = runs if len(devices) == 1 else []
    return Standing(
        rank=None,
        rank_low=None,
        rank_high=None,
        architecture=runs[-1].architecture,
        method=runs[-1].method,
        status="ok" if ok else runs[-1].status,
        seeds=len(ok),
        failed=len(runs) - len(ok),
        miou_percent=_mean(ok, "miou_percent"),
        miou_sd_percent=_deviation(ok, "miou_percent"),
        miou_void_ignored_percent=_mean(ok, "miou_void_ignored_percent"),
        best_miou_percent=_mean(ok, "best_miou_percent"),
        macc_percent=_mean(ok, "macc_percent"),
        aacc_percent=_mean(ok, "aacc_percent"),
        params=_last(runs, "params"),
        params_total=_last(runs, "params_total"),
        macs=_last(runs, "macs"),
        input=_last(runs, "input"),
        latency_ms=_median(on_one_device, "latency_ms"),
        latency_ratio=_median(on_one_device, "latency_ratio"),
        latency_setting=_last(runs, "latency_setting"),
        inference_memory_bytes=_whole(_median(on_one_device, "inference_memory_bytes")),
        training_memory_bytes=_whole(_median(on_one_device, "training_memory_bytes")),
        device="; ".join(devices),
        best="",
        front="",
        latency_unsteady=_last(runs, "latency_unsteady"),
    )


def _present(runs: Iterable[Summary], name: str) -> list[Any]:
    """Return the values of a column where there are any."""
    return [value for value in map(attrgetter(name), runs) if value is not None]


def _last(runs: Iterable[Summary], name: str) -> Any:
    values = _present(runs, name)
    return values[-1] if values else None


def _mean(runs: Iterable[Summary], name: str) -> float | None:
    values = _present(runs, name)
    return math.fsum(values) / len(values) if values else None


def _deviation(runs: Iterable[Summary], name: str) -> float | None:
    """Return the standard deviation that a sample suggests; one value suggests none."""
    values = _present(runs, name)
    if len(values) < 2:
        return None
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _median(runs: Iterable[Summary], name: str) -> float | None:
    values = sorted(_present(runs, name))
    return (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2 if values else None


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _group(everything: list[Summary], first_axes: Mapping[str, Any]) -> Group:
    conditions = everything[0].conditions
    runs = current(everything)
    left = code.left_out(everything, runs)
    superseded = len(everything) - len(runs) - len(left)
    code_notes = list(code.notes(runs, left))
    return Group(
        protocol=conditions.protocol,
        fingerprint=conditions.fingerprint,
        overrides=conditions.overrides,
        differs=differing(conditions.axes, first_axes),
        runs=runs,
        superseded=superseded,
        notes=[*_notes(runs, superseded), *code_notes],
        code_notes=code_notes,
    )


def _notes(runs: Sequence[Summary], superseded: int) -> Iterator[str]:
    inputs = sorted({run.input for run in runs if run.input is not None})
    settings = sorted({run.latency_setting for run in runs if run.latency_setting is not None})
    devices = sorted({run.device for run in runs})
    yield "Accuracy is that of the last checkpoint on test, except where a column says best on val."
    if len({run.architecture for run in runs if run.status == "ok" and run.miou_percent is not None}) > 1:
        yield (
            "Rows are sorted by mean mIoU; # is the range of ranks that tests of all pairs leave open, at an error of "
            "5 % for the whole table. With a single seed, every rank is open."
        )
    if inputs:
        yield f"MACs are multiply-accumulates for one image of {' or '.join(inputs)}; FLOPs are twice as many."
    if len(settings) == 1:
        yield f"Latency: {settings[0]}."
    if len(settings) > 1:
        yield f"Latency was measured in {len(settings)} settings, which do not compare: {'; '.join(settings)}."
    if len(devices) == 1:
        yield f"Device: {devices[0]}."
    if len(devices) > 1:
        yield (
            f"Measured on {len(devices)} devices ({', '.join(devices)}): neither ms nor ratios compare between them, "
            "as the ratio to the anchor takes off the load of a machine and not its hardware."
        )
    unsteady = sorted({run.architecture for run in runs if run.latency_unsteady is not None})
    if unsteady:
        yield f"Latency was unsteady while it was measured, and is not to be trusted, for {', '.join(unsteady)}."
    yield from _mixture(runs)
    if superseded:
        yield f"{superseded} older result{'s' if superseded > 1 else ''} left out: a newer run stands in its place."


def _mixture(runs: Sequence[Summary]) -> Iterator[str]:
    for column, what in ORIGINS.items():
        found = Counter(getattr(run, column) or "unknown" for run in runs)
        if len(found) < 2:
            continue
        parts = [f"{value} ({_number(count)})" for value, count in sorted(found.items())]
        within = [
            name
            for name, alike in sorted(by_architecture(runs).items())
            if len({getattr(run, column) for run in alike if run.status == "ok"}) > 1
        ]
        means = f"; averaged in {', '.join(within)}" if within else ""
        yield f"Results of different {what} are mixed: {', '.join(parts)}{means}."
    changed = [run for run in runs if "changes" in (run.revision or "")]
    if changed:
        names = ", ".join(sorted({run.architecture for run in changed}))
        yield f"{_number(len(changed))} of code that no commit holds, with changes to the checkout: {names}."


def _number(runs: int) -> str:
    return f"{runs} run{'s' if runs > 1 else ''}"
