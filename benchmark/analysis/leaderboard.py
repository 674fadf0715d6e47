"""Leaderboards: from records to one row a run, and from there to one row an architecture.

Only runs that followed the same protocol to the letter, which is what equal fingerprints mean, are ranked together.
Everything stays in full precision; rounding belongs to whoever shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from benchmark.results.record import Latency, Record

RUN_COLUMNS = {
    "run_id": "string",
    "protocol": "string",
    "fingerprint": "string",
    "architecture": "string",
    "method": "string",
    "config_sha256": "string",
    "seed": "Int64",
    "version": "string",  # of segbench
    "started": "string",  # ISO 8601, UTC
    "status": "string",
    "error": "string",
    "miou_percent": "float64",  # of the last checkpoint on test, as all accuracy but the next
    "best_miou_percent": "float64",  # on test, of the checkpoint that was best on val
    "macc_percent": "float64",
    "aacc_percent": "float64",
    "params": "Int64",  # that run at inference
    "params_total": "Int64",
    "macs": "Int64",  # multiply-accumulates for one image; FLOPs are twice as many
    "input": "string",  # height x width of that image
    "latency_ms": "float64",  # median
    "latency_ratio": "float64",  # to the anchor network, timed in turn
    "latency_setting": "string",  # what was timed: times of different settings do not compare
    "latency_unsteady": "string",  # why the timing is not to be trusted, if it is not
    "inference_memory_bytes": "Int64",  # peak
    "training_memory_bytes": "Int64",
    "device": "string",
    "iterations": "Int64",
    "training_seconds": "float64",
    "gpu_hours": "float64",
}
"""The columns of `frame` and their types; accuracy is in percent. What a run does not have is missing, never 0."""

ACCURACY = ["miou_percent", "best_miou_percent", "macc_percent", "aacc_percent"]


@dataclass(frozen=True)
class Group:
    """The results that may be ranked together: one protocol, one fingerprint.

    Attributes:
        protocol: name of the protocol.
        fingerprint: of the protocol as it was run.
        overrides: what the command line changed of it.
        differs: by axis, the value here and the value in the first group of the protocol; empty for that one.
        runs: what `frame` makes of the results, without the superseded ones.
        superseded: number of results left out because a newer one stands for them, see `current`.
        table: what `leaderboard` makes of the runs.
        notes: what a reader must know before comparing rows.
    """

    protocol: str
    fingerprint: str
    overrides: Mapping[str, Any]
    differs: Mapping[str, tuple[Any, Any]]
    runs: pd.DataFrame
    superseded: int
    table: pd.DataFrame
    notes: Sequence[str]

    @property
    def title(self) -> str:
        """The protocol, and what of it was changed."""
        changes = ", ".join(f"{name} = {value}" for name, value in self.overrides.items())
        return f"{self.protocol} with {changes}" if changes else self.protocol


def frame(records: Iterable[Record]) -> pd.DataFrame:
    """One row a run, with the columns of `RUN_COLUMNS`."""
    rows = [_row(record) for record in records]
    return pd.DataFrame(rows, columns=list(RUN_COLUMNS), dtype=object).astype(RUN_COLUMNS)


def current(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that count: of each seed the newest, and of each architecture only runs of the config it has now.

    A run is repeated under another id when the version of segbench or the config of the architecture has changed. Both
    results stay in the store; averaging over them would count a seed twice or mix two networks.
    """
    if runs.empty:
        return runs
    runs = runs.sort_values(["started", "run_id"], kind="stable")
    network = ["protocol", "fingerprint", "architecture"]
    newest = runs.groupby(network)["config_sha256"].transform("last")
    return runs[runs["config_sha256"] == newest].drop_duplicates([*network, "seed"], keep="last").sort_index()


def leaderboard(runs: pd.DataFrame) -> pd.DataFrame:
    """One row an architecture, best first; those without a score come last and are never left out.

    Accuracy is the mean over the seeds that ended well, latency and memory the median over all. Milliseconds of
    different devices are not averaged: where an architecture ran on several, they are missing and the ratio to the
    anchor remains.

    Args:
        runs: rows of `frame` with equal protocol and fingerprint.

    Returns:
        A frame with the columns rank (equal scores share one), architecture, method, status ("ok" or why the newest
        run without a score has none), seeds, failed (runs that did not end well), miou_percent, miou_sd_percent
        (missing for one seed), best_miou_percent, macc_percent, aacc_percent, params, params_total, macs, input,
        latency_ms, latency_ratio, latency_setting, inference_memory_bytes, training_memory_bytes, device.
    """
    ok = runs["status"] == "ok"
    rows = runs.assign(
        **{name: runs[name].where(ok) for name in ACCURACY},
        ok=ok.astype("int64"),
        failed=(~ok).astype("int64"),
    ).sort_values(["started", "run_id"], kind="stable")
    table = rows.groupby("architecture", sort=True).agg(
        method=("method", "last"),
        status=("status", "last"),
        seeds=("ok", "sum"),
        failed=("failed", "sum"),
        miou_percent=("miou_percent", "mean"),
        miou_sd_percent=("miou_percent", "std"),
        best_miou_percent=("best_miou_percent", "mean"),
        macc_percent=("macc_percent", "mean"),
        aacc_percent=("aacc_percent", "mean"),
        params=("params", "last"),
        params_total=("params_total", "last"),
        macs=("macs", "last"),
        input=("input", "last"),
        latency_ms=("latency_ms", "median"),
        latency_ratio=("latency_ratio", "median"),
        latency_setting=("latency_setting", "last"),
        inference_memory_bytes=("inference_memory_bytes", "median"),
        training_memory_bytes=("training_memory_bytes", "median"),
        device=("device", _joined),
        devices=("device", "nunique"),
    )
    table.loc[table["seeds"] > 0, "status"] = "ok"
    table.loc[table.pop("devices") > 1, "latency_ms"] = np.nan
    for name in ("inference_memory_bytes", "training_memory_bytes"):
        table[name] = table[name].round().astype("Int64")
    rank = table["miou_percent"].rank(ascending=False, method="min").astype("Int64")
    return (
        table.assign(rank=rank)
        .reset_index()
        .sort_values(["rank", "architecture"], ignore_index=True)[["rank", "architecture", *table.columns]]
    )


def groups(records: Iterable[Record]) -> list[Group]:
    """Sort results into what may be ranked together.

    Returns:
        By name of the protocol; within one, the protocol as it is defined before those with overrides, then the one
        with more runs first.
    """
    by_protocol: dict[str, dict[str, list[Record]]] = {}
    for record in records:
        by_protocol.setdefault(record.protocol.name, {}).setdefault(record.protocol.fingerprint, []).append(record)
    found = []
    for _, by_fingerprint in sorted(by_protocol.items()):
        alike = sorted(
            by_fingerprint.values(),
            key=lambda records: (bool(records[0].protocol.overrides), -len(records), records[0].protocol.fingerprint),
        )
        found += [_group(records, alike[0][0].protocol.axes) for records in alike]
    return found


def class_iou(records: Iterable[Record]) -> pd.DataFrame:
    """Intersection over union in percent of the last checkpoint on test: a row an architecture, a column a class.

    Means over the seeds that ended well; missing where a class is neither in the ground truth nor predicted.
    """
    rows = [
        pd.Series(evaluation.iou, dtype="float64", name=record.architecture)
        for record in records
        if record.status == "ok" and (evaluation := record.evaluation())
    ]
    table = pd.DataFrame(rows)
    return table.groupby(level=0).mean()


def pareto(table: pd.DataFrame, cost: str) -> pd.Series[bool]:
    """Whether no other architecture is at least as accurate at no more cost, and better in one of them.

    Args:
        table: a leaderboard.
        cost: one of its columns, less is better. Rows without a score or a cost are on no front.
    """
    points = table[["miou_percent", cost]].astype("float64").to_numpy()
    score, price = points[:, :1], points[:, 1:]
    as_good = (score <= score.T) & (price >= price.T)
    better = (score < score.T) | (price > price.T)
    complete = ~np.isnan(points).any(axis=1)
    return pd.Series(complete & ~(as_good & better).any(axis=1), index=table.index)


def _row(record: Record) -> dict[str, Any]:
    last, best = record.evaluation("last", "test"), record.evaluation("best", "test")
    complexity, memory, latency = record.complexity, record.memory, _headline(record.latency)
    environment = record.environment
    return {
        "run_id": record.run_id,
        "protocol": record.protocol.name,
        "fingerprint": record.protocol.fingerprint,
        "architecture": record.architecture,
        "method": record.method,
        "config_sha256": record.config_sha256,
        "seed": record.seed,
        "version": environment.code.version,
        "started": record.started,
        "status": record.status,
        "error": record.error,
        "miou_percent": last and last.miou,
        "best_miou_percent": best and best.miou,
        "macc_percent": last and last.macc,
        "aacc_percent": last and last.aacc,
        "params": complexity and complexity.params,
        "params_total": complexity and complexity.params_total,
        "macs": complexity and complexity.macs,
        "input": complexity and f"{complexity.size[0]}x{complexity.size[1]}",
        "latency_ms": latency and latency.median_ms,
        "latency_ratio": latency and latency.anchor_ratio,
        "latency_setting": latency and _setting(latency),
        "latency_unsteady": latency and latency.unsteady,
        "inference_memory_bytes": memory and memory.inference_peak,
        "training_memory_bytes": memory and memory.training_peak,
        "device": environment.gpu or environment.cpu,
        "iterations": record.training and record.training.iterations,
        "training_seconds": record.training and record.training.seconds,
        "gpu_hours": record.gpu_hours,
    }


def _headline(latencies: Sequence[Latency]) -> Latency | None:
    """The latency that a table shows: one image, from input to labels, as far as it was measured."""
    return min(latencies, key=lambda each: (each.batch, each.regime != "end_to_end"), default=None)


def _setting(latency: Latency) -> str:
    height, width = latency.size
    threads = f", threads {latency.threads}" if latency.clock != "cuda_event" else ""
    compiled = ", compiled" if latency.compiled else ""
    return (
        f"{latency.regime} ({latency.clock} clock), {height}x{width}, batch {latency.batch}, {latency.precision}, "
        f"{latency.layout}{compiled}{threads}, anchor {latency.anchor}"
    )


def _group(records: list[Record], first_axes: Mapping[str, Any]) -> Group:
    protocol = records[0].protocol
    here, there = dict(flat(protocol.axes)), dict(flat(first_axes))
    everything = frame(records)
    runs = current(everything)
    superseded = len(everything) - len(runs)
    return Group(
        protocol=protocol.name,
        fingerprint=protocol.fingerprint,
        overrides=protocol.overrides,
        differs={
            axis: (here.get(axis), there.get(axis))
            for axis in [*here, *(axis for axis in there if axis not in here)]
            if here.get(axis) != there.get(axis)
        },
        runs=runs,
        superseded=superseded,
        table=leaderboard(runs),
        notes=list(_notes(runs, superseded)),
    )


def _notes(runs: pd.DataFrame, superseded: int) -> Iterator[str]:
    inputs, settings, devices = (
        sorted(runs[name].dropna().unique()) for name in ("input", "latency_setting", "device")
    )
    yield "Accuracy is that of the last checkpoint on test, except where a column says best on val."
    if inputs:
        yield f"MACs are multiply-accumulates for one image of {' or '.join(inputs)}; FLOPs are twice as many."
    if len(settings) == 1:
        yield f"Latency: {settings[0]}."
    if len(settings) > 1:
        yield f"Latency was measured in {len(settings)} settings, which do not compare: {'; '.join(settings)}."
    if len(devices) == 1:
        yield f"Device: {devices[0]}."
    if len(devices) > 1:
        yield f"Measured on {len(devices)} devices ({', '.join(devices)}): compare the ratio to the anchor, not ms."
    unsteady = sorted(runs.loc[runs["latency_unsteady"].notna(), "architecture"].unique())
    if unsteady:
        yield f"Latency was unsteady while it was measured, and is not to be trusted, for {', '.join(unsteady)}."
    if superseded:
        yield f"{superseded} older result{'s' if superseded > 1 else ''} left out: a newer run stands in its place."


def flat(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested axes as (dotted name, value) pairs; a list of plain values is one value."""
    items: Iterable[tuple[Any, Any]]
    if isinstance(tree, Mapping) and tree:
        items = tree.items()
    elif isinstance(tree, list) and any(isinstance(each, Mapping) for each in tree):
        items = enumerate(tree)
    else:
        yield prefix, tree
        return
    for name, value in items:
        yield from flat(value, f"{prefix}.{name}" if prefix else str(name))


def _joined(values: pd.Series[str]) -> str:
    return "; ".join(sorted(values.unique()))
