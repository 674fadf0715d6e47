"""A result as one flat row for tables, with plain values, so that tables do not need the records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from benchmark.confusion import VoidRule
    from benchmark.results.reading import Stored
    from benchmark.results.record import Code, Latency, Record


EXTERNAL = "external"
"""Method of a result whose predictions another program made: its training is unknown, and its costs are as stated."""

STATED = "stated, not measured"
"""Why the latency of an external result is unreliable."""


REGIMES = {
    "end_to_end (thread_cpu clock)": "network, upsampling and argmax, CPU time of one thread",
    "end_to_end (wall clock)": "network, upsampling and argmax, wall time of the host",
    "device (cuda_event clock)": "time on the GPU, by CUDA events",
    ", anchor ": ", relative to ",
}
"""Parts of the setting of a latency, in words."""


class Conditions(NamedTuple):
    """The protocol of a result, as used in the run."""

    protocol: str
    fingerprint: str
    """hash of the axes"""
    overrides: Mapping[str, Any]
    """the overrides of the command line"""
    axes: Mapping[str, Any]
    """all settings that can change results"""


class Summary(NamedTuple):
    """One result in full precision. A missing value is None, never 0; accuracy is in percent, on test."""

    conditions: Conditions
    run_id: str
    architecture: str
    method: str
    config_sha256: str
    seed: int
    version: str
    """of segbench"""
    started: str
    """ISO 8601, UTC"""
    status: str
    error: str | None
    miou_percent: float | None
    """of the last checkpoint, like all accuracy but `best_val`"""
    miou_void_ignored_percent: float | None
    """the same with void pixels as false positives, if the protocol ignores them; else None"""
    miou_void_counted_percent: float | None
    """the same with void pixels ignored, if the protocol scores them as false positives; else None"""
    best_miou_percent: float | None
    """of the checkpoint with the best mIoU on val"""
    macc_percent: float | None
    aacc_percent: float | None
    params: int | None
    """parameters used at inference"""
    params_total: int | None
    macs: int | None
    """multiply-accumulates for one image; FLOPs are twice as many"""
    input: str | None
    """height x width of that image"""
    latency_ms: float | None
    """median"""
    latency_iqr_ms: float | None
    """interquartile range"""
    latency_repeats: int | None
    """of the timing that median and range are computed from"""
    latency_ratio: float | None
    """to the anchor network, timed alternately; comparable on one device only, like milliseconds"""
    latency_setting: str | None
    """what was timed: times of different settings are not comparable"""
    latency_unsteady: str | None
    """why the timing is unreliable, or None"""
    inference_memory_bytes: int | None
    """peak"""
    training_memory_bytes: int | None
    device: str
    iterations: int | None
    training_seconds: float | None
    gpu_hours: float
    code: str
    """digest of the code that can change results; in older results the commit, or the version"""
    revision: str | None
    """commit of the checkout, and whether it had changes; None for an installed package"""
    looks: int = 0
    """number of times that seeds were added because a verdict was inconclusive, up to this run"""
    torch: str | None = None
    """version of PyTorch"""
    platform: str | None = None
    """operating system and Python"""


def summary_of(stored: Stored) -> Summary:
    """Return the row of a stored result; the score under the other void rule comes from its confusion matrices."""
    from benchmark.results.arrays import read_totals
    from benchmark.results.reading import Problem

    totals = read_totals(stored)
    return summarise(stored.record, None if isinstance(totals, Problem) else totals)


def summarise(record: Record, totals: Mapping[str, NDArray[np.int64]] | None = None) -> Summary:
    """Return the row of a result.

    Args:
        record: the result.
        totals: its confusion matrices by name, from `read_totals`; None omits the score under the other void rule.
    """
    last, best = record.evaluation("last", "test"), record.evaluation("best", "test")
    complexity, memory, latency = record.complexity, record.memory, _headline(record.latency)
    protocol, environment = record.protocol, record.environment
    other = _other_rule(record, totals or {})
    return Summary(
        conditions=Conditions(protocol.name, protocol.fingerprint, protocol.overrides, protocol.axes),
        run_id=record.run_id,
        architecture=record.architecture,
        method=record.method,
        config_sha256=record.config_sha256,
        seed=record.seed,
        version=environment.code.version,
        started=record.started,
        status=record.status,
        error=record.error,
        miou_percent=last.miou if last else None,
        miou_void_ignored_percent=other if protocol.void == "false_positive" else None,
        miou_void_counted_percent=other if protocol.void == "ignore" else None,
        best_miou_percent=best.miou if best else None,
        macc_percent=last.macc if last else None,
        aacc_percent=last.aacc if last else None,
        params=complexity.params if complexity else None,
        params_total=complexity.params_total if complexity else None,
        macs=complexity.macs if complexity else None,
        input=f"{complexity.size[0]}x{complexity.size[1]}" if complexity else None,
        latency_ms=latency.median_ms if latency else None,
        latency_iqr_ms=latency.iqr_ms if latency else None,
        latency_repeats=latency.repeats if latency else None,
        latency_ratio=latency.anchor_ratio if latency else None,
        latency_setting=_setting(latency) if latency else None,
        latency_unsteady=latency.unsteady if latency else None,
        inference_memory_bytes=memory.inference_peak if memory else None,
        training_memory_bytes=memory.training_peak if memory else None,
        device=_device(record),
        iterations=record.training.iterations if record.training else None,
        training_seconds=_training_seconds(record),
        gpu_hours=record.gpu_hours,
        code=_code(environment.code),
        revision=_revision(environment.code),
        looks=record.looks,
        torch=environment.packages.get("torch"),
        platform=f"{environment.platform}, Python {environment.python}",
    )


def _device(record: Record) -> str:
    """Return the device of a run; of an external result that of its stated latency, if there is one."""
    if record.method == EXTERNAL and record.latency:
        return record.latency[0].device
    return record.environment.gpu or record.environment.cpu


def code_name(digest: str) -> str:
    """Return the name of code by its digest, for tables and notes."""
    return f"code {digest[:12]}"


def _code(code: Code) -> str:
    if code.digest:
        return code_name(code.digest)
    revision = _revision(code)
    return f"commit {revision}" if revision else f"version {code.version}"


def _revision(code: Code) -> str | None:
    """Return the abbreviated commit, with a note on uncommitted changes."""
    changes = {True: " with changes", False: "", None: " with unknown changes"}
    return f"{code.commit[:8]}{changes[code.dirty]}" if code.commit else None


def _other_rule(record: Record, totals: Mapping[str, NDArray[np.int64]]) -> float | None:
    """Return the mIoU of the last checkpoint on test under the void rule that the protocol does not use."""
    last = record.evaluation("last", "test")
    if last is None or last.counts not in totals:
        return None
    from benchmark.confusion import scores  # imports numpy, which tables from a snapshot do not need

    rule: VoidRule = "false_positive" if record.protocol.void == "ignore" else "ignore"
    return scores(totals[last.counts], rule).miou


def _training_seconds(record: Record) -> float | None:
    """Return the training seconds of all stages."""
    if record.training is None:
        return None
    first = record.training.first_stage
    return record.training.seconds + (first.seconds if first else 0.0)


def _headline(latencies: Sequence[Latency]) -> Latency | None:
    """Return the latency to show in a table: one image, preferably end to end."""
    return min(latencies, key=lambda each: (each.batch, each.regime != "end_to_end"), default=None)


def in_words(setting: str) -> str:
    """Return the setting of a latency with its regime and clock in words, for readers."""
    for regime, words in REGIMES.items():
        setting = setting.replace(regime, words, 1)
    return setting


def _setting(latency: Latency) -> str:
    height, width = latency.size
    threads = f", threads {latency.threads}" if latency.clock != "cuda_event" else ""
    compiled = ", compiled" if latency.compiled else ""
    if latency.anchor is None:
        return f"{STATED}, {height}x{width}, batch {latency.batch}, {latency.precision}"
    return (
        f"{latency.regime} ({latency.clock} clock), {height}x{width}, batch {latency.batch}, {latency.precision}, "
        f"{latency.layout}{compiled}{threads}, anchor {latency.anchor}"
    )
