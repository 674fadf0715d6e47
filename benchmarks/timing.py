"""How the scripts of this folder measure: interleaved, in CPU time, by medians; and on what."""

import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median


def interleaved(functions: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median cost of each function.

    Every round calls each function once, so that whatever slows the machine down for a while slows all of them; CPU
    time leaves out the time for which other processes had the cores. A first round, which warms caches up, is not
    counted.

    Args:
        functions: what to call, by name.
        rounds: how many times each is timed.

    Returns:
        Medians by name, in seconds of CPU time of this process, all its threads, and the children it waited for.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds + 1):
        for name, function in functions.items():
            start = _cpu_seconds()
            function()
            seconds[name].append(_cpu_seconds() - start)
    return {name: median(taken[1:]) for name, taken in seconds.items()}


def waited(functions: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median wall time of each function, the work that it leaves a GPU with included; see `interleaved`.

    Args:
        functions: what to call, by name.
        rounds: how many times each is timed.

    Returns:
        Medians by name, in seconds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds + 1):
        for name, function in functions.items():
            _finish()
            start = time.perf_counter()
            function()
            _finish()
            seconds[name].append(time.perf_counter() - start)
    return {name: median(taken[1:]) for name, taken in seconds.items()}


def _finish() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def hardware() -> str:
    """One line: processor, cores and threads, system, versions."""
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    versions = [f"{name} {found}" for name in ("torch", "numpy") if (found := _version(name))]
    parts = [*_gpu(), _processor(), f"{os.cpu_count()} cores, {threads} threads used", platform.system()]
    return ", ".join([*parts, f"Python {platform.python_version()}", *versions])


def _gpu() -> list[str]:
    if not (torch := sys.modules.get("torch")) or not torch.cuda.is_available():
        return []  # where a script has not imported torch, the figures are not a GPU's
    return [torch.cuda.get_device_name()]


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
