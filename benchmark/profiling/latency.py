"""Inference time of one image, timed in turn with an anchor network.

The ratio to the anchor removes the load of one machine and not its hardware: of ENet it was 0.84 to 0.87 on one CPU and
0.58 to 0.65 on another, where that of SegNet-Basic was 5.5 on both. So neither milliseconds nor ratios compare between
devices.

A timing has two phases of network and anchor in turn, both bounded in repeats and in seconds. The warm-up ends when the
times have settled, see `has_settled`. The timing ends when both medians are precise, see `is_precise`; where it drifted
all the same, it counts as warm-up and is made again. Median, 90th percentile and interquartile range are kept: on
shared machines the minimum and the 99th percentile vary several times as much as the median does.
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
"""torchvision's, with random weights: small, old, of plain convolutions, and everywhere the same."""

DRIFT = 0.1
"""Relative change between the first and the last third of the times from which on a timing is called unsteady."""

DRIFT_LEVEL = 0.05
"""Level of the test that a drift has to pass as well: thirds of times that vary differ by chance."""

DRIFT_REPEATS = 9
"""Repeats that a drift is looked for in at least: medians of thirds of one or two times differ by chance."""

SPREAD = 0.2
"""Interquartile range of the anchor, relative to its median, from which on a timing is called unsteady."""

SETTLED = 0.03
"""Relative change between the medians of two successive halves of the warm-up's last repeats that ends the warm-up."""

PRECISION = 0.03
"""Interquartile range of a median, relative to the median, below which a timing is precise, see `is_precise`."""

Times = Sequence[Sequence[float]]
"""The times of each call in milliseconds, in order and equally many."""


@dataclass(frozen=True)
class Budget:
    """How long to repeat: `repeats` times and `seconds` at least, `most` times and `limit` seconds at most.

    All of it is wall time, for the network and the anchor together. The limits hold in any case, up to the repeat that
    exceeds them.
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

    On a CPU the clock is the CPU time of one thread, with torch held to one thread: the work itself, whoever else is
    busy. On a GPU `end_to_end` is wall time, launches and synchronisation included, and `device` the time between two
    events around the replay of a CUDA graph. Input and weights are the same at every call, so what fits into a cache is
    found there.

    Args:
        model_cfg: config of the segmentor, as `compose.model_config` returns it.
        size: height and width of the input in pixels.
        device: "cpu" or "cuda".
        regime: "device" needs a GPU.
        precision: float32, which is IEEE 754's on every device; tf32, which is the same with TF32 in convolutions and
            matrix products, on GPUs only; or the type that autocast computes in.

    Raises:
        UserError: TF32 on a CPU.
    """
    kind = torch.device(device).type
    if precision == "tf32" and kind != "cuda":
        raise UserError("precision tf32 needs a GPU: take float32")
    clock, timer = CLOCKS[kind, regime]
    notes: list[str] = []
    with _settled(kind), float32_arithmetic(tf32=precision == "tf32"), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = Inference(model_cfg, size).to(device)
        anchor = _anchor().to(device)
        image = torch.randn(1, 3, *size).to(device)
        calls: list[Call] = [lambda: network(image).argmax(1), lambda: anchor(image)]
        dtype = None if precision in ("float32", "tf32") else getattr(torch, precision)
        with torch.inference_mode(), torch.autocast(kind, dtype, enabled=dtype is not None):
            if kind == "cuda":
                for call in calls:  # cuDNN searches its algorithms, which may take longer than all of the warm-up
                    timer(call)
            if regime == "device":
                calls, notes = _graphs(calls)
            network_ms, anchor_ms = settled_times(calls, timer, WARM_UP[kind], TIMING[kind])
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
        unsteady="; ".join(notes + doubts(network_ms, anchor_ms, TIMING[kind])) or None,
    )


def settled_times(
    calls: Sequence[Call],
    timer: Timer,
    warm_up: Budget,
    timing: Budget,
    now: Callable[[], float] = time.perf_counter,
) -> list[list[float]]:
    """Time calls in turn after a warm-up: first until their times have settled, then until their medians are precise.

    A timing that drifts is discarded and made again, where as much time is left as it took: two windows of the warm-up
    agree also where all of it is slow.

    Args:
        calls: what to time.
        timer: carries out a call and returns its milliseconds.
        warm_up: bounds of the warm-up; half of its `repeats` is the window of `has_settled`.
        timing: bounds of the timing; its `limit` holds for all that are made, together.
        now: the wall clock, in seconds.

    Returns:
        The times of each call in the last timing, as of `alternate`.
    """
    window = max(warm_up.repeats // 2, 1)
    alternate(calls, timer, warm_up, now, lambda times: has_settled(times, window))
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
    """Time calls in turn, A B A B ..., so that whatever slows the machine down slows all of them.

    Args:
        calls: what to time.
        timer: carries out a call and returns its milliseconds.
        budget: bounds of repeats and seconds.
        now: the wall clock, in seconds.
        is_enough: whether to stop at these times, once the budget's lower bounds are reached.

    Returns:
        The times of each call, in order and equally many, at least one.
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


def has_settled(times: Times, window: int) -> bool:
    """Whether the median of each call's last `window` times is within `SETTLED` of that of the `window` before."""
    if len(times[0]) < 2 * window:
        return False
    halves = [(median(each[-2 * window : -window]), median(each[-window:])) for each in times]
    return all(abs(last - before) <= SETTLED * before for before, last in halves)


def drift(times: Sequence[float]) -> float | None:
    """Return by what share the median of the last third differs from that of the first, where the times drift.

    They drift where that is more than `DRIFT` and they are correlated with their order, by Kendall's test at
    `DRIFT_LEVEL` (Kendall, "A new measure of rank correlation", Biometrika 30, 1938, 81-93). None where they do not, or
    where they are fewer than `DRIFT_REPEATS`.
    """
    if len(times) < DRIFT_REPEATS:
        return None
    third = len(times) // 3
    change = median(times[-third:]) / median(times[:third]) - 1
    if abs(change) <= DRIFT or kendalltau(range(len(times)), times).pvalue >= DRIFT_LEVEL:
        return None
    return change


def is_precise(times: Times) -> bool:
    """Whether the interquartile range of each call's median is below `PRECISION` of the median."""
    return all(_imprecision(each) < PRECISION for each in times)


def _imprecision(times: Sequence[float]) -> float:
    """Return the interquartile range of a median, relative to it."""
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


def doubts(network: Sequence[float], anchor: Sequence[float], budget: Budget) -> list[str]:
    """Why a timing is not to be trusted.

    That is too few repeats, an anchor that spreads, a drift as of throttling, which is not looked for in fewer than
    `DRIFT_REPEATS` times, or else a median that is not precise.
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
    if found:  # and the median is not precise for that reason
        return found
    return [
        f"the median of the {name} has an interquartile range of {_imprecision(times):.1%}, not below {PRECISION:.0%}"
        for name, times in named
        if _imprecision(times) >= PRECISION
    ]


def _anchor() -> torch.nn.Module:
    from torchvision.models import resnet18  # only after the backend is active

    anchor: torch.nn.Module = resnet18(weights=None).eval()
    return anchor


@contextmanager
def _settled(kind: str) -> Iterator[None]:
    """One thread on a CPU, and cuDNN's fastest algorithms for the input at hand."""
    threads = torch.get_num_threads()
    if kind == "cpu":
        torch.set_num_threads(1)  # the clock sees one thread, and several wait for each other on a busy machine
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
    """Return the calls as CUDA graphs, which leave out the launches; and a note of what could not be captured."""
    try:
        return [record(call)[0] for call in calls], []
    except Exception as error:  # whatever a network, a library or the device has against it
        return list(calls), [f"timed without a CUDA graph, launches included: {one_line(error)}"]


CLOCKS: dict[tuple[str, str], tuple[Literal["thread_cpu", "wall", "cuda_event"], Timer]] = {
    ("cpu", "end_to_end"): ("thread_cpu", _thread_cpu),
    ("cuda", "end_to_end"): ("wall", _wall),
    ("cuda", "device"): ("cuda_event", _cuda_event),
}
"""The clock of a kind of device and a regime."""
