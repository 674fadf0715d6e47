"""Run checks in a worker process, like runs.

A check that fails, hangs or ends its process does not affect the others, which are run in a new process.
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
from benchmark.selftest.checks import CHECKS, Bench, DeviceCheck, Failed, Skipped


@dataclass(frozen=True)
class CheckOutcome:
    """Outcome of a check.

    Attributes:
        name: name of the check.
        status: status of the check.
        detail: its result, or why it failed or was skipped, in one line.
        seconds: wall time.
    """

    name: str
    status: Literal["pass", "fail", "skipped"]
    detail: str
    seconds: float


def start(bench: Bench) -> str:
    """Import the modules that a run imports."""
    from benchmark.engine import device, session  # noqa: F401
    from benchmark.execution.processes import context

    device.use(bench.device)
    return f"{context(bench.device).get_start_method()} process"


STARTS = DeviceCheck("worker", start, 120)


def run(device: str, checks: Sequence[DeviceCheck] = CHECKS) -> Iterator[CheckOutcome]:
    """Run checks in worker processes; yield each outcome as soon as it is known.

    Args:
        device: "cpu" or "cuda", from `engine.device.select`.
        checks: the checks, in order; starting a worker is an additional first check.
    """
    remaining, working = list(checks), False
    with tempfile.TemporaryDirectory() as folder:
        while remaining:
            with _worker([STARTS, *remaining], device, Path(folder)) as ended:
                for outcome in ended:
                    starts, failed = outcome.name == STARTS.name, outcome.status == "fail"
                    if not starts:
                        remaining.pop(0)
                    if failed or not (starts and working):
                        yield outcome
                    working = True
                    if failed:
                        break
            if starts:  # starting would fail again
                yield from (
                    CheckOutcome(check.name, "skipped", "worker processes cannot start", 0.0) for check in remaining
                )
                return


@contextmanager
def _worker(checks: Sequence[DeviceCheck], device: str, folder: Path) -> Iterator[Iterator[CheckOutcome]]:
    """Start a process that runs checks, and yield its connection; it is terminated with the context."""
    from benchmark.execution.processes import processes

    started = processes(device)
    ours, theirs = started.Pipe()
    process = started.Process(target=_work, args=(checks, device, folder, theirs))
    process.start()
    theirs.close()
    try:
        yield (_receive(check, ours, process) for check in checks)
    finally:
        process.kill()
        process.join()
        ours.close()


def _receive(check: DeviceCheck, connection: Connection, process: Any) -> CheckOutcome:
    """Receive the outcome of a check, or infer it if its process has died or hangs."""
    began = time.monotonic()
    try:
        if connection.poll(check.limit):
            outcome: CheckOutcome = connection.recv()
            return outcome
        reason = f"timed out after {check.limit:g} s"
    except (EOFError, ConnectionResetError):
        process.join()
        code = process.exitcode
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        reason = f"the process died: {how}"
    return CheckOutcome(check.name, "fail", reason, time.monotonic() - began)


def _work(checks: Sequence[DeviceCheck], device: str, folder: Path, parent: Connection) -> None:
    """Run checks one by one and send their outcomes, up to the first failure, which may have corrupted the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C and terminates this process
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 (mmengine prints; stdout belongs to the parent)
    backend.silence()
    warnings.simplefilter("ignore")
    bench = Bench(device, folder)
    for check in checks:
        outcome = _made(check, bench)
        parent.send(outcome)
        if outcome.status == "fail":
            return


def _made(check: DeviceCheck, bench: Bench) -> CheckOutcome:
    began = time.perf_counter()
    status: Literal["pass", "fail", "skipped"] = "fail"
    try:
        status, detail = "pass", check.function(bench)
    except Skipped as reason:
        status, detail = "skipped", str(reason)
    except (Failed, UserError) as error:
        detail = str(error)
    except Exception as error:  # libraries and devices raise various types
        detail = f"{type(error).__name__}: {error}"
    return CheckOutcome(check.name, status, detail.strip().partition("\n")[0], time.perf_counter() - began)
