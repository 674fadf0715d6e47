"""Inference time of one image, timed alternately with an anchor network.

The ratio to the anchor is independent of the load of a machine, but not of its hardware: for ENet it was 0.84 to 0.87
on one CPU and 0.58 to 0.65 on another, while that of SegNet-Basic was 5.5 on both. So neither milliseconds nor ratios
are comparable between devices.

A measurement has two phases, a warm-up and the timing, in which network and anchor alternate, both bounded in repeats
and in seconds. The warm-up ends when the times are stable, see `is_stable`. The timing ends when both medians are
precise, see `is_precise`; if it drifted, it is treated as warm-up and repeated. Median, 90th percentile and
interquartile range are reported: on shared machines the minimum and the 99th percentile vary several times as much as
the median.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Literal

import numpy as np
import torch
from scipy.stats import kendalltau

import benchmark.registration  # noqa: F401
from benchmark.engine.arithmetic import algorithm_search, float32_arithmetic
from benchmark.engine.graph import record
from benchmark.errors import UserError, one_line
from benchmark.profiling.inference import Inference
from benchmark.results import environment
from benchmark.results.record import Latency
from benchmark.statistics.median import median_iqr

Call = Callable[[], Any]
Timer = Callable[[Call], float]

ANCHOR = "resnet18"
"""torchvision's ResNet-18 with random weights: small, old, of plain convolutions, and identical everywhere."""

DRIFT = 0.1
"""Minimum relative change between the first and the last third of the times for an unsteady timing."""

DRIFT_LEVEL = 0.05
"""Significance level of the test for a drift: thirds of varying times differ by chance."""

DRIFT_REPEATS = 9
"""Minimum number of repeats to test for a drift: medians of thirds of one or two times differ by chance."""

SPREAD = 0.2
"""Minimum interquartile range of the anchor, relative to its median, for an unsteady timing."""

STABLE_CHANGE = 0.03
"""Maximum relative change between the medians of the last two windows of the warm-up for a stable state."""

PRECISION = 0.03
"""Maximum interquartile range of a median, relative to the median, for a precise timing, see `is_precise`."""

Times = Sequence[Sequence[float]]
"""The times of each call in milliseconds, in order, equally many."""


@dataclass(frozen=True)
class Budget:
    """Bounds of a phase: at least `repeats` times and `seconds`, at most `most` times and `limit` seconds.

    Seconds are wall time of network and anchor together. The limits apply in any case, up to the repeat that exceeds
    them.
    """

    repeats: int
    seconds: float
    limit: float
    most: int | None = None


WARM_UP = {"cpu": Budget(10, 1.0, 10.0, 1_000), "cuda": Budget(50, 1.0, 5.0, 20_000)}
TIMING = {"cpu": Budget(DRIFT_REPEATS, 2.0, 40.0, 1_000), "cuda": Budget(30, 3.0, 12.0, 20_000)}


def measure(
    model_cfg: Mapping[str, Any],
    size: tuple[int, int],
    *,
    device: str = "cpu",
    regime: Literal["device", "end_to_end"] = "end_to_end",
    precision: Literal["float32", "tf32", "float16", "bfloat16"] = "float32",
) -> Latency:
    """Time a segmentor on one random image, from the image on the device to its label map there.

    On a CPU the clock is the CPU time of one thread, and torch is limited to one thread, so that other processes do not
    affect it. On a GPU `end_to_end` is wall time, including launches and synchronization, and `device` the time between
    two events around the replay of a CUDA graph. Input and weights are the same at every call, so they stay in caches
    that they fit in.

    Args:
        model_cfg: config of the segmentor, as returned by `compose.model_config`.
        size: height and width of the input in pixels.
        device: "cpu" or "cuda".
        regime: "device" needs a GPU.
        precision: float32, which is IEEE 754 on every device; tf32, the same with TF32 in convolutions and matrix
            products, on GPUs only; or the type of autocast.

    Raises:
        UserError: TF32 on a CPU.
    """
    kind = torch.device(device).type
    if precision == "tf32" and kind != "cuda":
        raise UserError("precision tf32 needs a GPU: use float32")
    clock, timer = CLOCKS[kind, regime]
    notes: list[str] = []
    with _timing_settings(kind), float32_arithmetic(tf32=precision == "tf32"), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = Inference(model_cfg, size).to(device)
        anchor = _anchor().to(device)
        image = torch.randn(1, 3, *size).to(device)
        calls: list[Call] = [lambda: network(image).argmax(1), lambda: anchor(image)]
        dtype = None if precision in ("float32", "tf32") else getattr(torch, precision)
        with torch.inference_mode(), torch.autocast(kind, dtype, enabled=dtype is not None):
            if kind == "cuda":
                for call in calls:  # cuDNN searches its algorithms, which may take longer than the warm-up
                    timer(call)
            if regime == "device":
                calls, notes = _graphs(calls)
            network_ms, anchor_ms = stable_times(calls, timer, WARM_UP[kind], TIMING[kind])
        threads = torch.get_num_threads()
    return Latency(
        regime=regime,
        clock=clock,
        device=torch.cuda.get_device_name(device) if kind == "cuda" else environment.cpu(),
        size=size,
        batch=1,
        precision=precision,
        layout="contiguous",
        compiled=False,
        threads=threads,
        anchor=ANCHOR,
        **summary(network_ms, anchor_ms),
        unsteady="; ".join(notes + instabilities(network_ms, anchor_ms, TIMING[kind])) or None,
    )


def stable_times(
    calls: Sequence[Call],
    timer: Timer,
    warm_up: Budget,
    timing: Budget,
    now: Callable[[], float] = time.perf_counter,
) -> list[list[float]]:
    """Time calls alternately after a warm-up: first until their times are stable, then until their medians are precise.

    A timing that drifts is discarded and repeated if the remaining time suffices: two windows of the warm-up also agree
    if all of it is slow.

    Args:
        calls: the calls to time.
        timer: executes a call and returns its milliseconds.
        warm_up: bounds of the warm-up; half of its `repeats` is the window of `is_stable`.
        timing: bounds of the timing; its `limit` applies to all repetitions together.
        now: the wall clock, in seconds.

    Returns:
        The times of each call in the last timing, see `alternate`.
    """
    window = max(warm_up.repeats // 2, 1)
    alternate(calls, timer, warm_up, now, lambda times: is_stable(times, window))
    end = now() + timing.limit
    while True:
        start = now()
        times = alternate(calls, timer, replace(timing, limit=end - start), now, is_precise)
        if end - now() < now() - start or not any(drift(each) for each in times):
            return times


def alternate(
    calls: Sequence[Call],
    timer: Timer,
    budget: Budget,
    now: Callable[[], float] = time.perf_counter,
    is_enough: Callable[[Times], bool] = lambda times: True,
) -> list[list[float]]:
    """Time calls alternately, A B A B ..., so that a slowdown of the machine affects all of them.

    Args:
        calls: the calls to time.
        timer: executes a call and returns its milliseconds.
        budget: bounds of repeats and seconds.
        now: the wall clock, in seconds.
        is_enough: whether these times suffice, once the budget's lower bounds are reached.

    Returns:
        The times of each call, in order, equally many, at least one.
    """
    times: list[list[float]] = [[] for _ in calls]
    start = now()
    while True:
        for call, found in zip(calls, times, strict=True):
            found.append(timer(call))
        repeats, elapsed = len(times[0]), now() - start
        if elapsed >= budget.limit or (budget.most is not None and repeats >= budget.most):
            return times
        if repeats >= budget.repeats and elapsed >= budget.seconds and is_enough(times):
            return times


def is_stable(times: Times, window: int) -> bool:
    """Return whether the medians of the last two windows of each call differ by at most `STABLE_CHANGE`."""
    if len(times[0]) < 2 * window:
        return False
    halves = [(median(each[-2 * window : -window]), median(each[-window:])) for each in times]
    return all(abs(last - before) <= STABLE_CHANGE * before for before, last in halves)


def drift(times: Sequence[float]) -> float | None:
    """Return the relative change between the medians of the first and the last third, or None without a drift.

    Times drift if it is more than `DRIFT` and they are correlated with their order, by Kendall's test at `DRIFT_LEVEL`
    (Kendall, "A new measure of rank correlation", Biometrika 30, 1938, 81-93). Fewer than `DRIFT_REPEATS` times are not
    tested.
    """
    if len(times) < DRIFT_REPEATS:
        return None
    third = len(times) // 3
    change = median(times[-third:]) / median(times[:third]) - 1
    if abs(change) <= DRIFT or kendalltau(range(len(times)), times).pvalue >= DRIFT_LEVEL:
        return None
    return change


def is_precise(times: Times) -> bool:
    """Return whether the interquartile range of each call's median is below `PRECISION` of the median."""
    return all(_imprecision(each) < PRECISION for each in times)


def _imprecision(times: Sequence[float]) -> float:
    """Return the interquartile range of a median, relative to the median."""
    lower, upper = np.percentile(times, [25, 75])
    return median_iqr(float(upper - lower), len(times)) / median(times)


def summary(network: Sequence[float], anchor: Sequence[float]) -> dict[str, Any]:
    """Return the statistics of a timing, as fields of `Latency`; percentiles are interpolated linearly."""
    quarter, three_quarters, p90 = np.percentile(network, [25, 75, 90])
    return {
        "median_ms": median(network),
        "p90_ms": float(p90),
        "iqr_ms": float(three_quarters - quarter),
        "repeats": len(network),
        "anchor_median_ms": median(anchor),
        "anchor_ratio": median(network) / median(anchor),
    }


def instabilities(network: Sequence[float], anchor: Sequence[float], budget: Budget) -> list[str]:
    """Return why a timing is unreliable.

    Reasons are too few repeats, a wide spread of the anchor, a drift as from throttling, which is tested from
    `DRIFT_REPEATS` times on, or otherwise an imprecise median.
    """
    found = []
    named = (("network", network), ("anchor", anchor))
    if len(network) < budget.repeats:
        found.append(f"only {len(network)} of {budget.repeats} repeats in {budget.limit:g} s")
    quarter, three_quarters = np.percentile(anchor, [25, 75])
    spread = (three_quarters - quarter) / median(anchor)
    if spread > SPREAD:
        found.append(f"the interquartile range of the anchor is {spread:.0%} of its median")
    for name, times in named:
        if change := drift(times):
            found.append(f"the {name} drifted by {change:+.0%} from the first to the last third of the timing")
    if found:  # these make the median imprecise
        return found
    return [
        f"the median of the {name} has an interquartile range of {_imprecision(times):.1%}, not below {PRECISION:.0%}"
        for name, times in named
        if _imprecision(times) >= PRECISION
    ]


def _anchor() -> torch.nn.Module:
    from torchvision.models import resnet18  # import after activating the backend

    anchor: torch.nn.Module = resnet18(weights=None).eval()
    return anchor


@contextmanager
def _timing_settings(kind: str) -> Iterator[None]:
    """Use one thread on a CPU, and cuDNN's fastest algorithms for the input."""
    threads = torch.get_num_threads()
    if kind == "cpu":
        torch.set_num_threads(1)  # the clock measures one thread, and threads wait for each other on a busy machine
    try:
        with algorithm_search(True):
            yield
    finally:
        torch.set_num_threads(threads)


def _thread_cpu(call: Call) -> float:
    start = time.thread_time()
    call()
    return (time.thread_time() - start) * 1e3


def _wall(call: Call) -> float:
    torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) * 1e3


def _cuda_event(call: Call) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    call()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end))


def _graphs(calls: Sequence[Call]) -> tuple[list[Call], list[str]]:
    """Return the calls as CUDA graphs, which skip the launches, and notes on calls that could not be captured."""
    try:
        return [record(call)[0] for call in calls], []
    except Exception as error:  # networks, libraries and devices raise various types
        return list(calls), [f"timed without a CUDA graph, including launches: {one_line(error)}"]


CLOCKS: dict[tuple[str, str], tuple[Literal["thread_cpu", "wall", "cuda_event"], Timer]] = {
    ("cpu", "end_to_end"): ("thread_cpu", _thread_cpu),
    ("cuda", "end_to_end"): ("wall", _wall),
    ("cuda", "device"): ("cuda_event", _cuda_event),
}
"""The clock by kind of device and regime."""
