"""Rankings: aggregation of results to a row for each architecture.

Only runs of exactly the same protocol, that is with equal fingerprints, are ranked together. Rows are sorted by their
mean; `benchmark.analysis.marks` tests which differences the data support. Values are in full precision; rounding is
left to the output.
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
from benchmark.results.summary import EXTERNAL, STATED, Summary, in_words

_AGE = attrgetter("started", "run_id")

ORIGINS = {
    "torch": "versions of PyTorch",
    "platform": "platforms",
}
"""Columns of a result that describe its environment, with their names. The protocol's fingerprint does not cover them;
code has separate notes."""


class Standing(NamedTuple):
    """The row of an architecture. Missing values are None.

    Accuracy is the mean over successful seeds, latency and memory the median over all. Latency, its ratio to the anchor
    and memory are not averaged over devices: if an architecture ran on several, they are None.
    """

    rank: int | None
    """rank of the mean, by which rows are sorted; equal scores share a rank"""
    rank_low: int | None
    """best rank compatible with the pairwise tests; 1 if no other is shown to be better"""
    rank_high: int | None
    """worst rank compatible with them"""
    architecture: str
    method: str
    status: str
    """ok, or the status of the newest run without a score"""
    seeds: int
    """successful runs"""
    failed: int
    """failed runs"""
    miou_percent: float | None
    miou_sd_percent: float | None
    """standard deviation over seeds; None for a single seed"""
    miou_void_ignored_percent: float | None
    """with void ignored, if the protocol counts pixels of void as false positives"""
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
    """columns, separated by spaces, in which it is among the best, see `benchmark.analysis.marks`"""
    front: str
    """columns of cost, separated by spaces, for which it is on the Pareto front of mIoU"""
    latency_unsteady: str | None
    """why its latency is unreliable, if it is"""

    @property
    def ranks(self) -> str | None:
        """The range of compatible ranks, such as "1-3", or the single one."""
        if self.rank_low == self.rank_high:
            return None if self.rank_low is None else str(self.rank_low)
        return f"{self.rank_low}-{self.rank_high}"


@dataclass(frozen=True)
class Group:
    """A group of comparable results: one protocol, one fingerprint.

    Attributes:
        protocol: name of the protocol.
        fingerprint: fingerprint of the protocol with its overrides.
        overrides: settings that the command line changed.
        differs: by axis, the values in this and in the first group of the protocol; empty for the first.
        runs: the results, without the superseded ones.
        superseded: number of results excluded because a newer one replaces them, see `current`.
        notes: caveats for the comparison of rows.
        code_notes: the notes on the code of the results.
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
        """The ranking of the runs, followed by the rows that were not run; computed on first access."""
        return [*ranking(self.runs), *self.not_run]

    @property
    def title(self) -> str:
        """The protocol with its overrides."""
        changes = ", ".join(f"{name} = {value}" for name, value in self.overrides.items())
        return f"{self.protocol} with {changes}" if changes else self.protocol

    @property
    def mixture(self) -> list[str]:
        """Sentences on properties, code included, in which results of the group differ."""
        return [*self.code_notes, *_mixture(self.runs)]


def current(runs: Sequence[Summary]) -> list[Summary]:
    """Return the current runs: the newest of each seed, with the newest config and one code of each architecture.

    A run is repeated under another id when code that can change results or the config of the architecture has changed.
    Both results stay in the store; averaging over them would count a seed twice or mix two networks.

    Args:
        runs: with equal protocol and fingerprint.
    """
    by_age = sorted(runs, key=_AGE)
    config = {run.architecture: run.config_sha256 for run in by_age}  # the last of equal keys, the newest, is kept
    alike = code.of_one_code([run for run in by_age if run.config_sha256 == config[run.architecture]])
    newest = {(run.architecture, run.seed): run for run in alike}
    counting = set(map(id, newest.values()))
    return [run for run in runs if id(run) in counting]


def ranking(runs: Iterable[Summary]) -> list[Standing]:
    """Return a row for each architecture, best first; those without a score come last.

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
    """Group runs by architecture, in order of appearance."""
    found: dict[str, list[Summary]] = {}
    for run in runs:
        found.setdefault(run.architecture, []).append(run)
    return found


def groups(runs: Iterable[Summary]) -> list[Group]:
    """Group results that may be ranked together.

    Returns:
        The groups, sorted by the protocol's name; within a protocol, those without overrides first, then by the number
        of runs.
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
    """Yield the notes of each group on the code of its results, for outputs that do not show the others."""
    for group in groups(runs):
        yield from (f"{group.title}: {note}" for note in group.code_notes)


def _standing(runs: Sequence[Summary]) -> Standing:
    """Return the unranked row of an architecture. Its runs are sorted from oldest to newest."""
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
    """Return the values of a column that are not None."""
    return [value for value in map(attrgetter(name), runs) if value is not None]


def _last(runs: Iterable[Summary], name: str) -> Any:
    values = _present(runs, name)
    return values[-1] if values else None


def _mean(runs: Iterable[Summary], name: str) -> float | None:
    values = _present(runs, name)
    return math.fsum(values) / len(values) if values else None


def _deviation(runs: Iterable[Summary], name: str) -> float | None:
    """Return the sample standard deviation; None for a single value."""
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
    devices = sorted({run.device for run in runs if run.method != EXTERNAL or run.latency_ms is not None})
    measured = "measured or stated" if any(run.method == EXTERNAL and run.latency_ms for run in runs) else "measured"
    yield (
        "Accuracy is measured on test: of the last checkpoint, except in the column of the best val checkpoint, which "
        "had the highest mIoU on val."
    )
    if len({run.architecture for run in runs if run.status == "ok" and run.miou_percent is not None}) > 1:
        yield (
            "Rows are ranked by mean mIoU; # is the range of ranks compatible with pairwise tests, at a family-wise "
            "error of 5 %. With a single seed, every rank is compatible."
        )
    if inputs:
        yield f"MACs are multiply-accumulates for one image of {' or '.join(inputs)}; FLOPs are twice as many."
    if len(settings) == 1:
        yield f"Latency: {in_words(settings[0])}."
    if len(settings) > 1:
        different = "; ".join(map(in_words, settings))
        yield f"Latency was {measured} in {len(settings)} settings, which do not compare: {different}."
    if len(devices) == 1:
        yield f"Device: {devices[0]}."
    if len(devices) > 1:
        yield (
            f"{measured.capitalize()} on {len(devices)} devices ({', '.join(devices)}): neither ms nor ratios compare "
            "between them, as the ratio to the anchor removes the load of a machine but not its hardware."
        )
    if any(run.inference_memory_bytes is not None for run in runs):
        yield "Memory is the peak: of the GPU's memory, or on a CPU of the resident set of the whole process."
    unsteady = sorted({run.architecture for run in runs if run.latency_unsteady not in (None, STATED)})
    if stated := sorted({run.architecture for run in runs if run.method == EXTERNAL}):
        yield f"External, scored from predictions; costs, if any, are as stated: {', '.join(stated)}."
    if unsteady:
        yield f"Latency was unsteady during the measurement, and is unreliable, for {', '.join(unsteady)}."
    yield from _mixture(runs)
    if superseded:
        yield f"{superseded} older result{'s' if superseded > 1 else ''} excluded: a newer run replaces it."


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
        yield f"{_number(len(changed))} of code with uncommitted changes: {names}."


def _number(runs: int) -> str:
    return f"{runs} run{'s' if runs > 1 else ''}"
