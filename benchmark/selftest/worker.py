"""Checks made in a worker process, as runs are.

A check that fails, hangs or ends its process costs nothing but itself: the others are made in a new process.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from benchmark import backend
from benchmark.errors import UserError
from benchmark.selftest.checks import CHECKS, Bench, Check, Failed, Skipped


@dataclass(frozen=True)
class Outcome:
    """How a check ended.

    Attributes:
        name: of the check.
        status: how it ended.
        detail: what was found, or why it failed or was skipped, in one line.
        seconds: wall time.
    """

    name: str
    status: Literal["pass", "fail", "skipped"]
    detail: str
    seconds: float


def start(bench: Bench) -> str:
    """Import what a run imports."""
    from benchmark.engine import device, session  # noqa: F401
    from benchmark.execution.local import context

    device.use(bench.device)
    return f"{context(bench.device).get_start_method()} process"


STARTS = Check("worker", start, 120)


def run(device: str, checks: Sequence[Check] = CHECKS) -> Iterator[Outcome]:
    """Make checks in worker processes; yield how each ended, as soon as it has.

    Args:
        device: "cpu" or "cuda", which `engine.device.select` returned.
        checks: the checks, in order; what comes before all, a worker that starts, is one more.
    """
    left, begun = list(checks), False
    with tempfile.TemporaryDirectory() as folder:
        while left:
            with _worker([STARTS, *left], device, Path(folder)) as ended:
                for outcome in ended:
                    starts, failed = outcome.name == STARTS.name, outcome.status == "fail"
                    if not starts:
                        left.pop(0)
                    if failed or not (starts and begun):
                        yield outcome
                    begun = True
                    if failed:
                        break
            if starts:  # and failed: so would it again
                yield from (Outcome(check.name, "skipped", "no worker starts", 0.0) for check in left)
                return


@contextmanager
def _worker(checks: Sequence[Check], device: str, folder: Path) -> Iterator[Iterator[Outcome]]:
    """A process that makes checks, and how they end; it is ended with the context."""
    from benchmark.execution.local import context

    started = context(device)
    ours, theirs = started.Pipe()
    process = started.Process(target=_work, args=(checks, device, folder, theirs))
    process.start()
    theirs.close()
    try:
        yield (_heard(check, ours, process) for check in checks)
    finally:
        process.kill()
        process.join()
        ours.close()


def _heard(check: Check, connection: Connection, process: Any) -> Outcome:
    """How a check ended, whether its process says so or not."""
    began = time.monotonic()
    try:
        if connection.poll(check.limit):
            outcome: Outcome = connection.recv()
            return outcome
        reason = f"it was ended after {check.limit:g} s"
    except (EOFError, ConnectionResetError):
        process.join()
        code = process.exitcode
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        reason = f"the process died of it: {how}"
    return Outcome(check.name, "fail", reason, time.monotonic() - began)


def _work(checks: Sequence[Check], device: str, folder: Path, parent: Connection) -> None:
    """Make checks one by one and tell how they end, up to the first that fails: it may have spoiled the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle: it ends us
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 (mmengine prints; the answer on stdout is the parent's)
    backend.silence()
    warnings.simplefilter("ignore")
    bench = Bench(device, folder)
    for check in checks:
        outcome = _made(check, bench)
        parent.send(outcome)
        if outcome.status == "fail":
            return


def _made(check: Check, bench: Bench) -> Outcome:
    began = time.perf_counter()
    status: Literal["pass", "fail", "skipped"] = "fail"
    try:
        status, detail = "pass", check.function(bench)
    except Skipped as reason:
        status, detail = "skipped", str(reason)
    except (Failed, UserError) as error:
        detail = str(error)
    except Exception as error:  # whatever a library or the device has against it
        detail = f"{type(error).__name__}: {error}"
    return Outcome(check.name, status, detail.strip().partition("\n")[0], time.perf_counter() - began)
