"""Inference time of one image, timed in turn with an anchor network.

The ratio to the anchor can be compared between machines, milliseconds cannot. Median, 90th percentile and interquartile
range are kept: on shared machines the minimum and the 99th percentile wander several times as much as the median does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

import numpy as np
import torch

import benchmark.registration  # noqa: F401
from benchmark.engine.arithmetic import algorithm_search, float32_arithmetic
from benchmark.engine.graph import record
from benchmark.errors import UserError, one_line
from benchmark.profiling.inference import Inference
from benchmark.results import environment
from benchmark.results.record import Latency

Call = Callable[[], Any]
Timer = Callable[[Call], float]

ANCHOR = "resnet18"
"""torchvision's, with random weights: small, old, of plain convolutions, and everywhere the same."""

DRIFT = 0.1
"""Relative change between the first and the last third of the times from which on a timing is called unsteady."""

SPREAD = 0.2
"""Interquartile range of the anchor, relative to its median, from which on a timing is called unsteady."""


@dataclass(frozen=True)
class Budget:
    """When to stop: after `repeats` calls that took at least `seconds`, and after `limit` seconds in any case.

    All of it is wall time, for the network and the anchor together.
    """

    repeats: int
    seconds: float
    limit: float


WARM_UP = {"cpu": Budget(2, 0.0, 2.0), "cuda": Budget(50, 1.0, 10.0)}
TIMING = {"cpu": Budget(7, 0.5, 20.0), "cuda": Budget(200, 3.0, 20.0)}


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
            alternate(calls, timer, WARM_UP[kind])
            if regime == "device":
                calls, notes = _graphs(calls)
            network_ms, anchor_ms = alternate(calls, timer, TIMING[kind])
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


def alternate(
    calls: Sequence[Call], timer: Timer, budget: Budget, now: Callable[[], float] = time.perf_counter
) -> list[list[float]]:
    """Time calls in turn, A B A B ..., so that whatever slows the machine down slows all of them.

    Args:
        calls: what to time.
        timer: carries out a call and returns its milliseconds.
        budget: when to stop.
        now: the wall clock, in seconds.

    Returns:
        The times of each call, in order and equally many, at least one.
    """
    times: list[list[float]] = [[] for _ in calls]
    start = now()
    while True:
        for call, found in zip(calls, times, strict=True):
            found.append(timer(call))
        elapsed = now() - start
        if elapsed >= budget.limit or (len(times[0]) >= budget.repeats and elapsed >= budget.seconds):
            return times


def summary(network: Sequence[float], anchor: Sequence[float]) -> dict[str, Any]:
    """The statistics of a timing, as fields of `Latency`; percentiles are interpolated linearly."""
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
    """Why a timing is not to be trusted: too few repeats, an anchor that spreads, a drift as of throttling."""
    found = []
    if len(network) < budget.repeats:
        found.append(f"only {len(network)} of {budget.repeats} repeats in {budget.limit:g} s")
    quarter, three_quarters = np.percentile(anchor, [25, 75])
    spread = (three_quarters - quarter) / median(anchor)
    if spread > SPREAD:
        found.append(f"the interquartile range of the anchor is {spread:.0%} of its median")
    third = len(network) // 3
    if third:
        for name, times in (("network", network), ("anchor", anchor)):
            change = median(times[-third:]) / median(times[:third]) - 1
            if abs(change) > DRIFT:
                found.append(f"the {name} drifted by {change:+.0%} from the first to the last third of the timing")
    return found


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
    """The calls as CUDA graphs, which leave out the launches; and a note of what could not be captured."""
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
