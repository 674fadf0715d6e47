"""How the scripts of this folder measure: interleaved, by medians, in a time that is given; and on what."""

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
        seconds: how long it may take since its process began, imports included; None for any time.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds - _age()

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Raise `TimeLimitError` in the block when the limit is reached; at once where it is reached already."""
        if self._end is None:
            yield
            return
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeLimitError

        def interrupt(*_: object) -> None:
            raise TimeLimitError

        before = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, left, 1.0)  # once more each second: an exception can be lost in a callback
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


class Medians(dict[str, float]):
    """Median seconds of functions, by name.

    Attributes:
        rounds: how many rounds they are of: fewer than wanted where the time limit was reached; 0 where only the
            first one, which warms up, had ended.
    """

    rounds: int


def interleaved(functions: dict[str, Callable[[], object]], rounds: int) -> Medians:
    """Median cost of each function.

    Every round calls each function once, so that whatever slows the machine down for a while slows all of them; CPU
    time leaves out the time for which other processes had the cores. A first round, which warms caches up, is not
    counted.

    Args:
        functions: what to call, by name.
        rounds: how many times each is timed.

    Returns:
        Seconds of CPU time of this process, all its threads, and the children it waited for.

    Raises:
        TimeLimitError: before the first round had ended; raised later, it leaves a measurement of fewer rounds.
    """
    return _medians(functions, rounds, _cpu_seconds)


def waited(functions: dict[str, Callable[[], object]], rounds: int) -> Medians:
    """Median wall time of each function, the work that it leaves a GPU with included; see `interleaved`."""
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
    """Print nothing within, as the log of a Runner would."""
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def _wall_seconds() -> float:
    """Wall time when all work of the GPU is done."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


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


def _age() -> float:
    """Seconds since this process began; 0 where the system does not say it."""
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
