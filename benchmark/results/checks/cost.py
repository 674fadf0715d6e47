"""Check complexity, latency, memory and artifacts: ratios, orders of quantiles, bounds of hardware."""

from __future__ import annotations

import re
from collections.abc import Iterator

from benchmark.results.checks.axes import axis
from benchmark.results.checks.training import UNCOUNTED
from benchmark.results.record import Artifact, Complexity, Latency, Record
from benchmark.results.summary import EXTERNAL, STATED
from benchmark.statistics.median import median_iqr

WEIGHT = 4
"""Bytes of a weight: networks are trained and saved in float32."""

PROCESS = 100 << 20
"""Minimum memory of a process with torch in bytes."""

FASTEST = {"cpu": 1e12, "gpu": 1e16}
"""Upper bound of multiply-accumulates per second of one CPU thread, or of a GPU; includes convolutions with fewer
multiplications than counted (Winograd)."""

PERCENT = 1e-9
"""Maximum relative difference between a stored and a recomputed ratio."""


NOTED = 0.051
"""Maximum difference in percent between a note rounded to a tenth and its value."""


def check_complexity(record: Record) -> Iterator[str]:
    """Compare parameters, MACs, size and number of classes with each other and with the dataset."""
    found = record.complexity
    if found is None:
        return
    yield from _sizes(found)
    classes = len(record.dataset.classes) + bool(axis(record.protocol.axes, "void_output"))
    if found.classes != classes:
        yield f"complexity.classes is {found.classes}, but the protocol has {classes}"


def _sizes(found: Complexity) -> Iterator[str]:
    if not 1 <= found.params <= found.params_total:
        yield f"complexity.params is {found.params}, more than {found.params_total} in total"
    if found.params_start > found.params_total:
        yield f"complexity.params_start is {found.params_start}, more than {found.params_total} in total"
    for name in ("macs", "macs_torch"):
        macs = getattr(found, name)
        if macs is not None and macs < found.params // 2:
            yield f"complexity.{name} is {macs}, less than one for each of {found.params} parameters"
    both = (found.macs, found.macs_torch)
    if None not in both and max(both) > 2 * min(both):  # type: ignore[type-var, operator]
        yield f"complexity.macs is {found.macs}, but the other counter gives {found.macs_torch}"
    if found.stages:
        for name, whole in (("params", found.params), ("macs", found.macs_torch)):
            parts = sum(getattr(stage, name) for stage in found.stages)
            if parts != whole:
                yield f"complexity.stages have {parts} {name}, the network has {whole}"
    if found.uncounted != sorted(set(found.uncounted)):
        yield "complexity.uncounted is not sorted, or names an operator twice"


def check_latency(record: Record) -> Iterator[str]:
    """Compare each timing with its parts, with the device and with what was timed."""
    if record.method == EXTERNAL:
        yield from _stated(record)
        return
    settings = []
    for each in record.latency:
        name = f"latency {each.regime}"
        settings.append((each.regime, each.size, each.batch, each.precision, each.layout, each.compiled, each.threads))
        for why in (*_statistics(each), *_setting(each, record)):
            yield f"{name}: {why}"
    if len(set(settings)) < len(settings):
        yield "latency: one setting is timed twice"


def _stated(record: Record) -> Iterator[str]:
    """Compare the latency that was stated for an external result with what such a result has."""
    if len(record.latency) > 1:
        yield f"latency: {len(record.latency)} stated, but an external result has one"
    for each in record.latency:
        if each.anchor is not None or each.anchor_median_ms is not None or each.anchor_ratio is not None:
            yield "latency: it was stated, but has an anchor"
        if each.unsteady != STATED:
            yield f"latency: it was stated, but the note is {each.unsteady!r}"
        if (each.p90_ms, each.iqr_ms, each.repeats) != (each.median_ms, 0, 1):
            yield "latency: it was stated, but has a spread"


def _statistics(each: Latency) -> Iterator[str]:
    if each.anchor_ratio is None or each.anchor_median_ms is None:
        yield "the anchor is missing, which only a stated latency lacks"
    else:
        ratio = each.median_ms / each.anchor_median_ms
        if not abs(each.anchor_ratio - ratio) <= PERCENT * ratio:
            yield f"anchor_ratio is {each.anchor_ratio}, but the medians give {ratio}"
    if each.p90_ms < each.median_ms:
        yield f"p90_ms is {each.p90_ms}, below the median of {each.median_ms}"
    if each.iqr_ms > each.p90_ms:
        yield f"iqr_ms is {each.iqr_ms}, above the 90th percentile of {each.p90_ms}"
    if each.repeats < 1:
        yield "repeats is 0"
    if each.repeats == 1 and (each.iqr_ms > 0 or each.p90_ms != each.median_ms):
        yield "iqr_ms of a single repeat must be 0"
    if each.repeats > 2 and each.iqr_ms == 0 and each.clock != "cuda_event":
        yield f"iqr_ms of {each.repeats} repeats is 0"
    noted = re.search(r"only (\d+) of \d+ repeats", each.unsteady or "")
    if noted and int(noted[1]) != each.repeats:
        yield f"repeats is {each.repeats}, but the note says {noted[0]}"
    noted = re.search(r"median of the network has an interquartile range of (\d+\.\d)%", each.unsteady or "")
    if noted and each.repeats and each.median_ms:
        percent = 100 * median_iqr(each.iqr_ms, each.repeats) / each.median_ms
        if not abs(float(noted[1]) - percent) <= NOTED:
            yield f"the median has an interquartile range of {percent:.1f}%, but the note says {noted[1]}%"
    if each.repeats < 3 and each.unsteady is None:
        yield f"{each.repeats} repeats are not a steady timing, but no note says so"


def _setting(each: Latency, record: Record) -> Iterator[str]:
    environment, found = record.environment, record.complexity
    on_gpu = each.clock != "thread_cpu"
    device = environment.gpu or environment.cpu
    if each.device != device:
        yield f"its device is {each.device}, but that of the run is {device}"
    if on_gpu != (environment.device != "cpu"):
        yield f"its clock is {each.clock}, on {environment.device}"
    if (each.clock == "cuda_event") != (each.regime == "device"):
        yield f"its clock is {each.clock}"
    if each.clock == "thread_cpu" and each.threads != 1:
        yield f"the clock of a single thread timed {each.threads} threads"
    if found is not None:
        if each.size != found.size:
            yield f"its size is {list(each.size)}, but that of the complexity is {list(found.size)}"
        macs = (found.macs_torch or found.macs or 0) * each.batch
        least = macs / FASTEST["gpu" if on_gpu else "cpu"] * 1e3
        if each.median_ms < least:
            yield f"median_ms is {each.median_ms}, but {macs} MACs take at least {least:.3g}"
    # Half of them took the median, or longer.
    spent = each.repeats / 2 * (each.median_ms + (each.anchor_median_ms or 0)) / 1e3
    if spent > record.seconds + UNCOUNTED:
        yield f"{each.repeats} repeats took {spent:.0f} seconds, but the whole run {record.seconds:.0f}"


def check_memory(record: Record) -> Iterator[str]:
    """Compare peak memory with the size of the weights and with the memory of the machine."""
    memory, found, environment = record.memory, record.complexity, record.environment
    if memory is None:
        return
    on_cpu = environment.device == "cpu"
    for name, parameters in (
        ("inference_peak", found.params if found else 0),
        ("training_peak", found.params_total if found else 0),
    ):
        peak, least = getattr(memory, name), WEIGHT * parameters + (PROCESS if on_cpu else 0)
        if peak is not None and peak < least:
            yield f"memory.{name} is {peak} bytes, but weights and process take at least {least}"
        if peak is not None and on_cpu and peak > environment.memory > 0:
            yield f"memory.{name} is {peak} bytes, but the machine has {environment.memory}"


def check_artifacts(record: Record) -> Iterator[str]:
    """Compare artifacts with each other and with the size of the weights."""
    names = [artifact.name for artifact in record.artifacts]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"artifact {name} is listed twice"
    found, sizes = record.complexity, dict[str, Artifact]()
    for artifact in record.artifacts:
        sizes.setdefault(artifact.sha256, artifact)
        if sizes[artifact.sha256].bytes != artifact.bytes:
            yield f"artifact {artifact.name} has the hash of {sizes[artifact.sha256].name}, but another size"
        if artifact.name.startswith("checkpoint") and found and artifact.bytes < WEIGHT * found.params_total:
            yield f"artifact {artifact.name} has {artifact.bytes} bytes, but {found.params_total} weights take more"


def check_seconds(record: Record) -> Iterator[str]:
    """Compare the seconds of the run and its GPU hours with each other and with the number of operations."""
    seconds = record.gpu_hours * 3600
    if record.environment.device == "cpu":
        if record.gpu_hours:
            yield f"gpu_hours is {record.gpu_hours}, on a CPU"
    elif seconds > record.seconds + UNCOUNTED:
        yield f"gpu_hours is {record.gpu_hours}, but the run took {record.seconds / 3600} hours"
    elif record.training is not None and record.training.seconds > seconds + UNCOUNTED:
        yield f"gpu_hours is {record.gpu_hours}, but training alone took {record.training.seconds / 3600}"
    training, found = record.training, record.complexity
    crop = axis(record.protocol.axes, "augmentation.crop_size")
    if training is None or found is None or not found.macs_torch or not crop:
        return
    share = crop[0] * crop[1] / (found.size[0] * found.size[1]) / 4  # a quarter: not all layers need be convolutions
    fastest = (
        FASTEST["cpu"] * max(record.environment.cores, 1) if record.environment.device == "cpu" else FASTEST["gpu"]
    )
    least = 3 * training.images * found.macs_torch * share / fastest  # a backward pass is two forward passes
    if record.status == "ok" and training.seconds < least:
        yield f"training.seconds is {training.seconds}, but its operations take at least {least:.3g}"
