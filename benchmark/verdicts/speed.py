"""Comparison of published latency and throughput with our timings; a verdict only for the same setting.

Times depend on the device more than on the network. So a published time is compared only if device, input size,
precision and batch are stated and equal to ours. Others are listed next to ours, with the reason why they are not
comparable.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.catalog.references import SPEED, Reference
from benchmark.statistics.median import median_error
from benchmark.verdicts.verdict import Verdict

if TYPE_CHECKING:
    from benchmark.results.record import Latency, Record

MARGIN = 0.1
"""Equivalence margin of times, relative: clocks, drivers and versions of cuDNN cause as much on one device, and a
timing with a larger drift is called unsteady (`profiling.latency.DRIFT`)."""

UNREPEATED = 2.0
"""Factor beyond which a single timing differs: steady timings of one network on one processor differed by 1.66 between
processes (liteseg_mobilenetv2 under camvid_180x240_cpu: 62.6 and 103.6 ms), which repeats within one process do not
show."""

Z = 1.645
"""Half the width of the central 90 % of a normal distribution, in standard deviations."""

VENDOR = {"nvidia", "geforce", "tesla", "quadro", "intel", "amd", "r", "tm", "gpu", "cpu", "processor"}
"""Optional words in the names of devices."""


@dataclass(frozen=True)
class Timing:
    """The timings of an architecture in one setting.

    Attributes:
        architecture: its name.
        classes: number of classes of the network; None if unknown.
        latencies: the latency of each result, in the same setting.
    """

    architecture: str
    classes: int | None
    latencies: Sequence[Latency]

    @property
    def setting(self) -> Latency:
        """Any of the latencies; they agree in everything but the times."""
        return self.latencies[0]

    @property
    def steady(self) -> list[Latency]:
        """The steady latencies."""
        return [each for each in self.latencies if each.unsteady is None]

    @property
    def ms(self) -> float:
        """The mean of the medians, of the steady ones if there are any."""
        shown = self.steady or self.latencies
        return math.fsum(each.median_ms for each in shown) / len(shown)

    @property
    def interval(self) -> tuple[float, float]:
        """The union of the 90 % intervals of the steady medians, in milliseconds."""
        errors = [(each.median_ms, Z * median_error(each.iqr_ms, each.repeats)) for each in self.steady]
        return min(ms - error for ms, error in errors), max(ms + error for ms, error in errors)


def timings(records: Iterable[Record]) -> list[Timing]:
    """Group the timings of results by architecture and setting, in the order in which they are first seen."""
    found: dict[tuple[str, int | None, tuple[Any, ...], tuple[Any, ...]], list[Latency]] = defaultdict(list)
    for record in records:
        classes = record.complexity.classes if record.complexity else None
        for each in record.latency:
            setting = each.device, tuple(each.size), each.batch, each.precision
            way = each.regime, each.clock, each.layout, each.compiled, each.threads
            found[record.architecture, classes, setting, way].append(each)
    return [Timing(name, classes, latencies) for (name, classes, *_), latencies in found.items()]


def verdicts(records: Iterable[Record], references: Iterable[Reference]) -> list[Verdict]:
    """Compare every published speed with the timing of its network whose setting is nearest.

    Args:
        records: results.
        references: published figures; only speeds get a verdict.

    Returns:
        A verdict for each speed, sorted by architecture and reference.
    """
    of: dict[str, list[Timing]] = defaultdict(list)
    for timing in timings(records):
        of[timing.architecture].append(timing)
    made = []
    for reference in references:
        if reference.metric in SPEED:
            candidates = of[reference.ours or reference.architecture]
            made.append(verdict(reference, min(candidates, key=lambda each: _distance(reference, each), default=None)))
    return sorted(made, key=lambda each: (each.architecture, each.reference))


def verdict(reference: Reference, timing: Timing | None) -> Verdict:
    """Compare one published speed with ours.

    Args:
        reference: a published latency or number of images a second.
        timing: our timing, or None.
    """
    if timing is None:
        if reference.ours is None:
            return Verdict.of(reference, None, "not comparable", "no architecture of ours is this network")
        reason = f"`segbench run {reference.ours}` measures one"
        return Verdict.of(reference, None, "not run", reason, architecture=reference.ours)

    def of(outcome: Any, *reasons: str, **more: Any) -> Verdict:
        named = {"architecture": timing.architecture}
        return Verdict.of(reference, _figure(reference, timing.ms, timing), outcome, "; ".join(reasons), **named | more)

    if differences := list(mismatches(reference, timing)):
        return of("not comparable", *differences, difference=None)
    how = _how(timing)
    if not timing.steady:
        return of("inconclusive", f"unsteady: {timing.setting.unsteady}", how)
    low, high = timing.interval
    half = 0.5 * 10.0**-reference.decimals
    edges = sorted(_ms(reference, value, timing) for value in (reference.value - half, reference.value + half))
    ours = sorted(_figure(reference, ms, timing) for ms in (low, high))
    interval = (ours[0] - reference.value - half, ours[1] - reference.value + half)
    least, largest = low / edges[1], high / edges[0]  # ratio of our time to the published one
    within = f"within {MARGIN:.0%} in time"
    if least >= 1 / (1 + MARGIN) and largest <= 1 + MARGIN:
        return of("reproduced", within, how, interval=interval)
    slower, faster = least > 1 + MARGIN, largest < 1 / (1 + MARGIN)
    if not (slower or faster):
        return of("inconclusive", f"neither {within} nor outside", how, interval=interval)
    if len(timing.steady) == 1 and 1 / UNREPEATED < timing.ms / _ms(reference, reference.value, timing) < UNREPEATED:
        why = f"one timing, and another process may take up to {UNREPEATED:g} times as long or as short"
        return of("inconclusive", why, how, interval=interval)
    if slower and _on_cpu(timing) and _threads(reference) is None:
        return of("inconclusive", "slower, which threads that are not stated would explain", how, interval=interval)
    return of("differs", "slower" if slower else "faster", how, interval=interval)


def mismatches(reference: Reference, timing: Timing) -> Iterator[str]:
    """Yield why the two are not comparable, a line for each axis; nothing if they are."""
    stated, ours = reference.protocol, timing.setting
    if reference.objection:
        yield f"source: {reference.objection}"
    if reference.network:
        yield f"network: {reference.network}"
    if stated.hardware is None or _device(stated.hardware) != _device(ours.device):
        yield f"device: {_name(stated.hardware)}, ours {ours.device}"
    axes = [
        ("input size", stated.input_size and _size(stated.input_size), _size(ours.size)),
        ("precision", stated.precision, ours.precision),
        ("batch", stated.batch, ours.batch),
    ]
    for axis, theirs, value in axes:
        if theirs != value:
            yield f"{axis}: {'not stated' if theirs is None else theirs}, ours {value}"
    if stated.classes is not None and stated.classes != timing.classes:
        yield f"classes: {stated.classes}, ours {'not known' if timing.classes is None else timing.classes}"
    threads = _threads(reference)
    if _on_cpu(timing) and threads is not None and threads != ours.threads:
        yield f"threads: {threads}, ours {ours.threads}"


def _distance(reference: Reference, timing: Timing) -> tuple[int, bool, bool]:
    """Return the distance of a timing from a figure: its mismatches, then whether it is end to end and steady."""
    return len(list(mismatches(reference, timing))), timing.setting.regime != "end_to_end", not timing.steady


def _figure(reference: Reference, ms: float, timing: Timing) -> float:
    """Convert our time to the unit of the figure."""
    return 1000 * timing.setting.batch / ms if reference.metric == "fps" else ms


def _ms(reference: Reference, value: float, timing: Timing) -> float:
    """Convert a value of the figure to the time of a batch."""
    return 1000 * timing.setting.batch / max(value, 1e-9) if reference.metric == "fps" else max(value, 1e-9)


def _name(hardware: str | None) -> str:
    """Return the device from a source's description of its hardware; software follows after a comma."""
    return "not stated" if hardware is None else hardware.partition(",")[0].strip()


def _device(hardware: str) -> frozenset[str]:
    """Return the words that identify a device. An additional word is another device: RTX 2080 and RTX 2080 Ti."""
    words = frozenset(re.findall(r"[a-z0-9.]+", _name(hardware).casefold()))
    return words - VENDOR or words


def _threads(reference: Reference) -> int | None:
    found = re.search(r"(\d+) threads?\b", reference.protocol.hardware or "")
    return int(found[1]) if found else None


def _on_cpu(timing: Timing) -> bool:
    return timing.setting.clock == "thread_cpu"


def _how(timing: Timing) -> str:
    """Describe which of our timings were compared."""
    each, count = timing.setting, len(timing.steady) or len(timing.latencies)
    threads = f", {each.threads} thread{'s' if each.threads != 1 else ''}" if _on_cpu(timing) else ""
    many = f"{count} timings" if count > 1 else "one timing"
    return f"{each.device}, {_size(each.size)}, {each.precision}, batch {each.batch}{threads}; {each.regime}, {many}"


def _size(size: Sequence[int]) -> str:
    return "x".join(map(str, size))
