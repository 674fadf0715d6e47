"""Worker processes on this machine: one process for each run, so that a crash affects only that run.

On a CPU several runs are concurrent. A GPU has one run at a time: four light trainings in four processes took 76.7 ms a
step each where one alone takes 17.4 (H100, ENet), as they are bound by its memory bandwidth. While one trains, the next
process imports, reads the data, counts, and builds and compiles its network, so that the GPU is never idle in between.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from benchmark import backend
from benchmark.engine import device, stop
from benchmark.errors import FOREIGN, UserError
from benchmark.execution import interrupted, outcome
from benchmark.execution.executor import InterruptedRun, ProgressListener
from benchmark.execution.run import blank, run_one
from benchmark.execution.spec import Spec
from benchmark.results.reading import Stored, read_or_raise
from benchmark.results.store import Store

PROGRESS_SECONDS = 0.1
"""Seconds between the progress reports of a worker."""

PRELOAD = ["benchmark.engine.session", "benchmark.execution.run", "torchvision"]
"""Modules that the fork server imports once, which takes seconds."""

GRACE_SECONDS = 60.0
"""Seconds after its deadline at which a run that does not stop is killed; evaluation stops between images."""

TERMINATION_SECONDS = 5.0
"""Seconds that a process may take to end after SIGTERM."""

_starting, _has_server = threading.Lock(), False

AHEAD = 1
"""The number of runs that are prepared while another one uses the GPU."""


def context(device: str) -> Any:
    """Return the context that starts worker processes.

    On a CPU a server imports torch and mmsegmentation once (seconds) and forks workers (milliseconds). It
    computes nothing itself, so that no thread pool is forked. On a GPU workers are spawned: a process that is forked
    from one in which any library has asked the CUDA driver for its devices, as mmengine does at import, cannot use
    CUDA. Their imports take seconds, but overlap with the training of another run.

    Args:
        device: "cpu" or "cuda".
    """
    if device != "cpu":
        return multiprocessing.get_context("spawn")
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(PRELOAD)
    return found


def processes(device: str) -> Any:
    """Return the context that starts worker processes, with its server running.

    Args:
        device: "cpu" or "cuda".
    """
    found = context(device)
    if found.get_start_method() == "forkserver":
        _start_server()
    return found


def _start_server() -> None:
    """Start the fork server once: its environment is that of all threads."""
    global _has_server
    with _starting:
        if not _has_server:
            with _same_path():
                forkserver.ensure_running()
            _has_server = True


@contextmanager
def _same_path() -> Iterator[None]:
    """Let Python processes that are started here find the modules that this process finds.

    Python looks for the modules of `python -c`, as which the fork server is started, in the working directory first,
    and so would import any `benchmark.py` or `torch.py` there. Later releases of Python set the path in the server.
    """
    folder, path = Path.cwd(), os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, sys.path))
    os.chdir(os.sep)
    try:
        yield
    finally:
        os.chdir(folder)
        if path is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = path


class Local:
    """Executes runs in worker processes.

    Args:
        listener: receives the progress of runs.
        device: "cpu" or "cuda", the same for all.
        most: maximum number of concurrent runs on a CPU; one on a GPU.
    """

    def __init__(self, listener: ProgressListener, device: str = "cpu", most: int = 1) -> None:
        self._listener, self._processes = listener, processes(device)
        self._most, self._ahead = (most, 0) if device == "cpu" else (1, AHEAD)
        self._workers: list[_Worker] = []

    @property
    def free_slots(self) -> int:
        """The number of further runs that may be submitted now."""
        return self._most + self._ahead - len(self._workers)

    @property
    def active(self) -> int:
        """The number of submitted runs that have not ended."""
        return len(self._workers)

    def submit(self, spec: Spec) -> None:
        """Start the process of a run."""
        self._workers.append(_Worker(self._processes, spec))

    def poll(self, seconds: float | None = None) -> Sequence[Stored | InterruptedRun]:
        """Wait for a message of any worker; return the runs that have ended.

        A run whose deadline passes before it has the device is dropped, as it has not started.

        Args:
            seconds: the longest time to wait; None for no limit.

        Raises:
            UserError: a result cannot be stored.
        """
        self._workers = [worker for worker in self._workers if not worker.is_late()]
        for worker in self._workers[: self._most]:
            worker.start(self._listener)
        if all(worker.trains for worker in self._workers[: self._most]):
            for worker in self._workers[self._most :]:
                worker.allow_compile()
        limit = min((worker.limit for worker in self._workers), default=0.0)
        timeout = seconds if limit == math.inf else min(max(0.0, limit - time.monotonic()), seconds or math.inf)
        heard = wait([worker.connection for worker in self._workers], timeout)
        found = []
        for worker in list(self._workers):
            ended = worker.hear(self._listener) if worker.connection in heard else worker.expired()
            if ended is not None:
                self._workers.remove(worker)
                worker.end()
                if isinstance(ended, InterruptedRun):
                    self._listener.interrupt(ended)
                else:
                    self._listener.end(worker.spec, ended.record)
                found.append(ended)
        return found

    def stop(self) -> None:
        """Ask all runs to stop at the next safe point, as at a deadline; those that do not stop are killed."""
        for worker in self._workers:
            worker.stop()

    def cancel(self) -> None:
        """End all processes."""
        for worker in self._workers:
            worker.end()
        self._workers.clear()


class _Worker:
    """A process that executes one run.

    Args:
        processes: how processes are started.
        spec: the run.

    Attributes:
        trains: whether its training has started, after which nothing is timed.
        limit: time of `time.monotonic` at which it is killed.
    """

    def __init__(self, processes: Any, spec: Spec) -> None:
        self.spec, self._started = spec, datetime.now(timezone.utc)
        self.trains, self._has_device, self._may_compile = False, False, False
        self._stop, self._asked = spec.deadline, False
        self.limit = math.inf if spec.deadline is None else spec.deadline + GRACE_SECONDS
        self._reached = ("train", 0, 0)
        self.connection, theirs = processes.Pipe()
        self._process = processes.Process(target=_work, args=(spec, theirs))
        self._process.start()
        theirs.close()

    def start(self, listener: ProgressListener) -> None:
        """Grant it the device."""
        if not self._has_device:
            self._has_device, self._started = True, datetime.now(timezone.utc)
            self.limit = min(self.limit, time.monotonic() + (self.spec.timeout or math.inf))
            self._send("start")
            listener.begin(self.spec)

    def allow_compile(self) -> None:
        """Allow it to compile on the device on which another run trains."""
        if not self._may_compile:
            self._may_compile = True
            self._send("compile")

    def stop(self) -> None:
        """Set its deadline to now."""
        if not self._asked:
            self._asked = True
            self._stop = min(time.monotonic(), math.inf if self._stop is None else self._stop)
            self.limit = min(self.limit, self._stop + GRACE_SECONDS)
            self._process.terminate()

    def is_late(self) -> bool:
        """Return whether its deadline passed before it had the device; end its process in that case."""
        late = not self._has_device and self._stop is not None and time.monotonic() >= self._stop
        if late:
            self.end()
        return late

    def hear(self, listener: ProgressListener) -> Stored | InterruptedRun | None:
        """Receive a message of the worker or the end of its pipe; return its outcome if it has ended.

        Raises:
            UserError: the result could not be stored.
        """
        try:
            kind, content = self.connection.recv()
        except (EOFError, ConnectionError):  # the process ended without a message, and may not have received one
            self._process.join()
            return self._lost(outcome.death(self._process.exitcode))
        if kind == "mistake":
            raise UserError(content)
        if kind == "failed":
            return self._lost(content)
        if kind == "stored":
            return read_or_raise(Path(content))
        if kind == "interrupted":
            return InterruptedRun(self.spec, *content)
        phase, done, total, _ = content
        self.trains |= phase == "train"  # the first stage is followed by the autotuning of the second
        if phase != "profile":
            self._reached = phase, done, total
        listener.progress(self.spec, *content)
        return None

    def expired(self) -> Stored | InterruptedRun | None:
        """Return the outcome of a run that exceeded its time limit; None before."""
        if time.monotonic() < self.limit:
            return None
        if self._stop is not None and self.limit >= self._stop + GRACE_SECONDS:
            return InterruptedRun(self.spec, *self._reached)
        return self._lost({"status": "timed_out", "error": f"no result within {self.spec.timeout:g} s"})

    def end(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.join(TERMINATION_SECONDS)
        self._process.kill()
        self._process.join()
        self.connection.close()

    def _lost(self, end: dict[str, Any]) -> Stored:
        """Return the result of a run whose process left none: its exit status and the measurements so far."""
        draft, found = blank(self.spec, self._started, **end), interrupted.find(self.spec.folder)
        if found and found.record.run_id == draft.run_id:
            draft = found.record.model_copy(update={"status": draft.status, "error": draft.error})
        return read_or_raise(Store(self.spec.results).add(draft, {}))

    def _send(self, word: str) -> None:
        with suppress(ConnectionError):  # it has ended; the next poll reports it
            self.connection.send(word)


class _Turn:
    """The worker's side of its turn on the device.

    Args:
        parent: the connection to the parent.
    """

    def __init__(self, parent: Connection) -> None:
        self._parent, self._word = parent, ""

    def may_compile(self) -> bool:
        """Wait until the run may compile on the device or has it; return whether it may only compile."""
        self._hear()
        return self._word == "compile"

    def has_device(self) -> bool:
        """Return whether the run has the device."""
        while self._word != "start" and self._parent.poll():
            self._hear()
        return self._word == "start"

    def wait(self) -> None:
        """Wait until the run has the device."""
        while self._word != "start":
            self._hear()

    def _hear(self) -> None:
        try:
            self._word = self._parent.recv()
        except (EOFError, ConnectionError):
            raise _GivenUp from None


class _GivenUp(BaseException):
    """Raised in a worker whose parent has gone; no Exception, so that the run does not record it as a failure."""


def _work(spec: Spec, parent: Connection) -> None:
    """Execute one run and report to the parent, unless it has gone."""
    try:
        _report(spec, parent)
    except _GivenUp:
        sys.exit("the run was given up: segbench has gone")


def _report(spec: Spec, parent: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C and ends this process
    stop.on_signal(signal.SIGTERM)
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 (mmengine prints; the answer on stdout is the parent's)
    backend.silence()
    from benchmark.engine.hooks import Interrupted

    reported = 0.0

    def send(kind: str, content: Any) -> None:
        try:
            parent.send((kind, content))
        except ConnectionError:
            raise _GivenUp from None

    def on_progress(phase: str, done: int, total: int, loss: float | None) -> None:
        nonlocal reported
        now = time.monotonic()
        if done == total or now - reported > PROGRESS_SECONDS:
            reported = now
            send("progress", (phase, done, total, loss))

    try:
        device.limit_threads(spec.config.protocol.threads)
        turn = None if spec.device == "cpu" else _Turn(parent)
        send("stored", str(run_one(spec, on_progress, turn)))
    except Interrupted as ended:
        send("interrupted", (ended.phase, ended.done, ended.total))
    except UserError as error:
        send("mistake", str(error))
    except FOREIGN as error:  # failures of the run are recorded by it; this is a failure of the process
        send("failed", outcome.failure(error))
