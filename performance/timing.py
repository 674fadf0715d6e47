"""Measurement for the scripts of this folder: interleaved, by medians, within a time limit; and the hardware."""

import os
import platform
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median


class TimeLimitError(Exception):
    """A script has reached its time limit."""


class Deadline:
    """The time limit of a script.

    Args:
        seconds: seconds since the start of the process, including imports; None for no limit.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds - _age()

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Raise `TimeLimitError` in the block when the limit is reached, or immediately if it has been reached."""
        if self._end is None:
            yield
            return
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeLimitError

        def interrupt(*_: object) -> None:
            raise TimeLimitError

        before = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, left, 1.0)  # repeat every second: an exception can be lost in a callback
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


class Medians(dict[str, float]):
    """Median seconds of functions, by name.

    Attributes:
        rounds: number of measured rounds: fewer than requested if the time limit was reached; 0 if only the first
            one, the warm-up, has finished.
    """

    rounds: int


def interleaved(functions: dict[str, Callable[[], object]], rounds: int) -> Medians:
    """Measure the median CPU time of each function.

    Every round calls each function once, so that a temporary slowdown of the machine affects all of them; CPU time
    excludes time in which other processes used the cores. The first round is a warm-up and is not counted.

    Args:
        functions: functions by name.
        rounds: number of measured rounds.

    Returns:
        CPU seconds of this process with all threads and the child processes it waited for.

    Raises:
        TimeLimitError: the limit was reached in the first round; later, it reduces the number of rounds.
    """
    return _medians(functions, rounds, _cpu_seconds)


def waited(functions: dict[str, Callable[[], object]], rounds: int) -> Medians:
    """Measure the median wall time of each function, including its work on a GPU; see `interleaved`."""
    return _medians(functions, rounds, _wall_seconds)


def _medians(functions: dict[str, Callable[[], object]], rounds: int, clock: Callable[[], float]) -> Medians:
    taken: list[dict[str, float]] = []
    try:
        for _ in range(rounds + 1):
            seconds = {}
            for name, function in functions.items():
                start = clock()
                function()
                seconds[name] = clock() - start
            taken.append(seconds)
    except TimeLimitError:
        if not taken:
            raise
    counted = taken[1:] or taken
    found = Medians({name: median(seconds[name] for seconds in counted) for name in functions})
    found.rounds = len(taken) - 1
    return found


@contextmanager
def silent() -> Iterator[None]:
    """Discard output in the context, such as the log of a Runner."""
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def _wall_seconds() -> float:
    """Return the wall time after all work of the GPU."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def hardware() -> str:
    """Return one line: processor, cores and threads, system, versions."""
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    versions = [f"{name} {found}" for name in ("torch", "numpy") if (found := _version(name))]
    parts = [*_gpu(), _processor(), f"{os.cpu_count()} cores, {threads} threads used", platform.system()]
    return ", ".join([*parts, f"Python {platform.python_version()}", *versions])


def _gpu() -> list[str]:
    if not (torch := sys.modules.get("torch")) or not torch.cuda.is_available():
        return []  # without torch a script does not measure a GPU
    return [torch.cuda.get_device_name()]


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _age() -> float:
    """Return the seconds since this process started; 0 if unknown."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        began = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - began)
    except (OSError, AttributeError, IndexError, ValueError):
        return 0.0


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
