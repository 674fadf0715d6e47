"""Runs in worker processes on this machine: one process a run, so that a crash costs that run alone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

from benchmark import backend
from benchmark.engine import device
from benchmark.errors import UserError
from benchmark.execution.plan import Job, begun
from benchmark.execution.run import Spec, blank, perform
from benchmark.results.reading import Stored, read
from benchmark.results.record import Record
from benchmark.results.store import Store

TELL_SECONDS = 0.1
"""How often a worker tells how far it is."""


PRELOAD = [
    "benchmark.engine.session",
    "benchmark.execution.run",
    "torchvision",
    "matplotlib.backends.backend_agg",
]
"""What a run imports, at once or on the way, and takes seconds for."""


def context(device: str) -> Any:
    """How processes that compute on "cpu" or "cuda" are started; see `multiprocessing`."""
    if device != "cpu":
        return multiprocessing.get_context("spawn")
    # The server imports torch and mmsegmentation once (seconds) and forks a worker from there (milliseconds). It
    # computes nothing itself, so that no thread pool is forked.
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(PRELOAD)
    return found


class Watcher(Protocol):
    """Somebody who is told how far the runs are."""

    def begin(self, spec: Spec) -> None:
        """A run begins."""

    def progress(self, spec: Spec, phase: str, done: int, total: int, loss: float | None) -> None:
        """A run is that far."""

    def end(self, spec: Spec, record: Record) -> None:
        """A run has ended and its result is stored."""

    def cut(self, cut: Cut) -> None:
        """A run has stopped, and leaves no result."""


@dataclass(frozen=True)
class Cut:
    """A run whose time was up.

    Attributes:
        spec: the run.
        phase: what it was at: "train", "val" or "test".
        done: iterations or images done of that.
        total: iterations or images there are of that.
    """

    spec: Spec
    phase: str
    done: int
    total: int


def in_turn(
    jobs: Iterable[Job], device: str, watcher: Watcher, most: int, deadline: float | None = None
) -> Iterator[Stored | Cut]:
    """Carry out a plan: side by side on the cores of a CPU, in waves on a GPU, and nothing begins after the deadline.

    Args:
        jobs: what there is to run, in order.
        device: "cpu" or "cuda".
        watcher: is told how far the runs are.
        most: how many at a time; on a GPU fewer, as `plan.waves` says.
        deadline: when the runs stop, to go on another time, on the clock of `time.monotonic`; None for never.
    """
    if device == "cpu":
        yield from carry_out((job.spec for wave in begun(jobs, 1, deadline) for job in wave), watcher, most)
        return
    for wave in begun(jobs, most, deadline):
        # While one is profiled the others wait, and the time may be up before it is theirs.
        specs = (job.spec for job in wave if deadline is None or time.monotonic() < deadline)
        yield from carry_out(specs, watcher, len(wave), gated=len(wave) > 1)


def carry_out(specs: Iterable[Spec], watcher: Watcher, jobs: int = 1, *, gated: bool = False) -> Iterator[Stored | Cut]:
    """Carry out runs, `jobs` at a time; yield the result of each as soon as it is stored.

    A run that fails, whichever way, is stored as failed and the others go on. One that stops at its deadline has no
    result; where it stands comes in its place.

    Args:
        specs: the runs; each is asked for when it is to begin.
        watcher: is told how far they are.
        jobs: how many at a time.
        gated: each is profiled by itself, and none trains before all are: a latency that is measured beside another
            run on the same GPU is worth nothing.

    Raises:
        UserError: a result cannot be stored. Those that are stored stay so.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    waiting, running = iter(specs), dict[Connection, _Worker]()
    more = True
    try:
        while True:
            while more and len(running) < jobs and not (gated and _profiling(running)):
                spec = next(waiting, None)
                if spec is None:
                    more = False
                    break
                worker = _Worker(context, spec, gated)
                running[worker.connection] = worker
                watcher.begin(spec)
            if not running:
                return
            if not _profiling(running) and (len(running) == jobs or not more):
                for worker in running.values():
                    worker.release()
            for connection in wait(list(running)):
                worker = running[connection]  # type: ignore[index]  # it waits for nothing but our connections
                ended = worker.hear(watcher)
                if ended is not None:
                    del running[worker.connection]
                    worker.end()
                    if isinstance(ended, Cut):
                        watcher.cut(ended)
                    else:
                        watcher.end(worker.spec, ended.record)
                    yield ended
    finally:
        for worker in running.values():
            worker.end()


def _profiling(running: Mapping[Connection, _Worker]) -> bool:
    return any(worker.profiling for worker in running.values())


class _Worker:
    """A process that makes one run.

    Args:
        context: how processes are started.
        spec: the run.
        gated: it waits after the profile until it is released.

    Attributes:
        profiling: it has not said yet that the profile is done.
    """

    def __init__(self, context: Any, spec: Spec, gated: bool) -> None:
        self.spec, self._started = spec, datetime.now(timezone.utc)
        self.profiling, self._waits = True, gated
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(spec, theirs, gated))
        self._process.start()
        theirs.close()

    def release(self) -> None:
        """Let it train."""
        if self._waits:
            self._waits = False
            with suppress(BrokenPipeError):  # it is gone: that will be heard
                self.connection.send("go")

    def hear(self, watcher: Watcher) -> Stored | Cut | None:
        """Hear one message of the worker, or its silence; returns how it has ended when it has.

        Raises:
            UserError: the result could not be stored.
        """
        try:
            kind, content = self.connection.recv()
        except EOFError:  # the process is gone without a word
            self._process.join()
            return _stored(_lost(self.spec, self._started, self._process.exitcode))
        if kind == "mistake":
            raise UserError(content)
        if kind == "stored":
            return _stored(Path(content))
        if kind == "stopped":
            return Cut(self.spec, *content)
        phase, done, total, _ = content
        if phase != "profile" or done == total:
            self.profiling = False
        watcher.progress(self.spec, *content)
        return None

    def end(self) -> None:
        """End the process, whatever it is at."""
        self._process.terminate()
        self._process.join()
        self.connection.close()


def _stored(path: Path) -> Stored:
    """The result that was stored a moment ago."""
    stored = read(path)
    assert isinstance(stored, Stored), stored
    return stored


def _lost(spec: Spec, started: datetime, exitcode: int | None) -> Path:
    """The record of a run whose process died."""
    killed = exitcode == -signal.SIGKILL
    error = (
        "the process was killed, most likely because the machine ran out of memory"
        if killed
        else f"the process died with exit code {exitcode}"
    )
    draft = blank(spec, started, "out_of_memory" if killed else "failed", error)
    return Store(spec.results).add(draft, {})


def _work(spec: Spec, parent: Connection, gated: bool) -> None:
    """What a worker does: one run, telling its parent, and waiting for its word after the profile if it is gated."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle: it ends us
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 (mmengine prints; the answer on stdout is the parent's)
    backend.silence()
    from benchmark.engine.hooks import Stopped

    told = 0.0

    def send(kind: str, content: Any) -> None:
        try:
            parent.send((kind, content))
        except BrokenPipeError:
            sys.exit("the run was given up: segbench has gone")  # not an Exception, so not recorded as a failure

    def tell(phase: str, done: int, total: int, loss: float | None) -> None:
        nonlocal told
        now = time.monotonic()
        if done == total or now - told > TELL_SECONDS:
            told = now
            send("progress", (phase, done, total, loss))
        if gated and phase == "profile" and done == total:
            with suppress(EOFError, OSError):  # the parent has gone, as the next message finds
                parent.recv()

    try:
        device.hold_to(spec.config.protocol.threads)
        send("stored", str(perform(spec, tell)))
    except Stopped as stop:
        send("stopped", (stop.phase, stop.done, stop.total))
    except UserError as error:
        send("mistake", str(error))
