"""Runs in worker processes on this machine: one process a run, so that a crash costs that run alone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from benchmark.errors import UserError
from benchmark.execution.run import Spec, blank, perform
from benchmark.results.record import Record
from benchmark.results.store import Store, Stored, read

TELL_SECONDS = 0.1
"""How often a worker tells how far it is."""


LAZY = ["torchvision", "matplotlib.backends.backend_agg"]
"""What a run imports on the way, and takes seconds for."""


class Watcher(Protocol):
    """Somebody who is told how far the runs are."""

    def begin(self, spec: Spec) -> None:
        """A run begins."""

    def progress(self, phase: str, done: int, total: int, loss: float | None) -> None:
        """The run is that far."""

    def end(self, record: Record) -> None:
        """The run has ended and its result is stored."""


def carry_out(specs: Iterable[Spec], watcher: Watcher) -> Iterator[Stored]:
    """Carry out runs one after another; yield the result of each as soon as it is stored.

    A run that fails, whichever way, is stored as failed and the next one begins.

    Raises:
        UserError: a mistake that every further run would meet too. What is finished stays stored.
    """
    context = multiprocessing.get_context("forkserver")
    # The server imports torch and mmsegmentation once (seconds) and forks a worker from there (milliseconds). It
    # computes nothing itself, so that no thread pool is forked.
    context.set_forkserver_preload(["benchmark.engine.session", "benchmark.execution.run", *LAZY])
    for spec in specs:
        watcher.begin(spec)
        stored = read(_isolated(context, spec, watcher))
        assert isinstance(stored, Stored), stored
        watcher.end(stored.record)
        yield stored


def _isolated(context: Any, spec: Spec, watcher: Watcher) -> Path:
    ours, theirs = context.Pipe(duplex=False)
    started = datetime.now(timezone.utc)
    worker = context.Process(target=_work, args=(spec, theirs))
    worker.start()
    theirs.close()
    try:
        while True:
            kind, content = ours.recv()
            if kind == "progress":
                watcher.progress(*content)
            elif kind == "stored":
                return Path(content)
            else:
                raise UserError(content)
    except EOFError:  # the worker is gone without a word
        worker.join()
        return _lost(spec, started, worker.exitcode)
    finally:
        worker.terminate()
        worker.join()
        ours.close()


def _lost(spec: Spec, started: datetime, exitcode: int) -> Path:
    """The record of a run whose process died."""
    killed = exitcode == -signal.SIGKILL
    error = (
        "the process was killed, most likely because the machine ran out of memory"
        if killed
        else f"the process died with exit code {exitcode}"
    )
    draft = blank(spec, started, "out_of_memory" if killed else "failed", error)
    return Store(spec.results).add(draft, {})


def _work(spec: Spec, parent: Connection) -> None:
    """What a worker does: one run, telling its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle: it ends us
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 (mmengine prints; the answer on stdout is the parent's)
    warnings.filterwarnings("ignore", module=r"(mmengine|mmcv|mmseg)\b")
    told = 0.0

    def tell(phase: str, done: int, total: int, loss: float | None) -> None:
        nonlocal told
        now = time.monotonic()
        if done == total or now - told > TELL_SECONDS:
            told = now
            parent.send(("progress", (phase, done, total, loss)))

    try:
        parent.send(("stored", str(perform(spec, tell))))
    except UserError as error:
        parent.send(("mistake", str(error)))
