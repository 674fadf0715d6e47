"""Worker processes on this machine: one process for each run, so that a crash affects only that run.

On a CPU several runs are concurrent. A GPU has one run at a time: four light trainings in four processes took 76.7 ms a
step each where one alone takes 17.4 (H100, ENet), as they are bound by its memory bandwidth. While one trains, the next
process imports, reads the data, counts, and builds and compiles its network, so that the GPU is never idle in between.
"""

from __future__ import annotations

import math
import signal
import sys
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmark.execution import log, outcome, scratch
from benchmark.execution.child import END_SECONDS, Child
from benchmark.execution.executor import InterruptedRun, ProgressListener
from benchmark.execution.lost import lost
from benchmark.execution.processes import processes, temporary
from benchmark.execution.run import add
from benchmark.execution.spec import Spec
from benchmark.execution.supervisor import Ending
from benchmark.execution.suspension import Suspension
from benchmark.execution.worker import work
from benchmark.results.reading import Stored, read_or_raise

GRACE_SECONDS = 60.0
"""Seconds after its deadline at which a run that does not stop is killed; evaluation stops between images."""

AHEAD = 1
"""The number of runs that are prepared while another one uses the GPU."""


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
        self._suspension = Suspension()
        scratch.sweep(temporary())

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
        if not self._workers:
            self._suspension.restart()
        self._workers.append(_Worker(self._processes, spec))

    def poll(self, seconds: float | None = None) -> Sequence[Stored | InterruptedRun]:
        """Wait for a message of any worker, a second at most; return the runs that have ended.

        A run whose deadline passes before it has the device is dropped, as it has not started. Time for which this
        process was suspended counts for the deadline, and for no other limit of a run.

        Args:
            seconds: the longest time to wait; None for no limit.

        Raises:
            UserError: a result cannot be stored.
        """
        for worker in self._workers[: self._most]:
            worker.start(self._listener)
        if all(worker.trains for worker in self._workers[: self._most]):
            for worker in self._workers[self._most :]:
                worker.allow_compile()
        limit = min((worker.limit for worker in self._workers), default=0.0)
        timeout = min(limit - time.monotonic(), math.inf if seconds is None else seconds)
        heard, suspended = self._suspension.wait((worker.connection for worker in self._workers), timeout)
        found = []
        for worker in list(self._workers):
            worker.extend_limits(suspended)
            if worker.connection in heard:
                worker.hear(self._listener)
            else:
                worker.check_limits()
            if worker.ending is not None:
                self._workers.remove(worker)
                worker.close()
                if (ended := worker.outcome()) is not None:
                    self._report(worker.spec, ended)
                    found.append(ended)
        return found

    def stop(self) -> None:
        """Ask all runs to stop at the next safe point, as at a deadline; those that do not stop are killed."""
        for worker in self._workers:
            worker.stop()

    def cancel(self) -> None:
        """End all processes; trainings that can save their state in a few seconds do so."""
        for worker in self._workers:
            worker.end()
        for worker in self._workers:
            worker.close()
        self._workers.clear()

    def _report(self, spec: Spec, ended: Stored | InterruptedRun) -> None:
        if isinstance(ended, InterruptedRun):
            self._listener.interrupt(ended)
        else:
            self._listener.end(spec, ended.record)


class _Worker:
    """A process that executes one run, below the process that supervises it.

    Args:
        processes: how processes are started.
        spec: the run.

    Attributes:
        trains: whether its training has started, after which nothing is timed.
    """

    def __init__(self, processes: Any, spec: Spec) -> None:
        self.spec, self._started = spec, datetime.now(timezone.utc)
        self.trains, self._has_device, self._may_compile = False, False, False
        self._stop = math.inf if spec.deadline is None else spec.deadline
        self._time_limit, self._heard, self._waits = math.inf, time.monotonic(), False
        self._asked, self._dropped, self._ends_by, self._grace = False, False, math.inf, GRACE_SECONDS
        self._reached = ("train", 0, 0)
        self._last: tuple[str, Any] | None = None
        self._child = Child(processes, work, spec, spec.folder / log.FILE)

    @property
    def connection(self) -> Any:
        """The connection that receives its messages."""
        return self._child.connection

    @property
    def ending(self) -> Ending | None:
        """How its processes have ended; None before."""
        return self._child.ending

    @property
    def limit(self) -> float:
        """The time of `time.monotonic` at which `check_limits` has something to do."""
        if self._ends_by < math.inf:
            return self._ends_by
        stop = self._stop + (self._grace if self._has_device else 0.0)
        return min(stop, self._time_limit, self._hang_limit)

    @property
    def _hang_limit(self) -> float:
        return math.inf if self._waits else self._heard + (self.spec.hang_timeout or math.inf)

    def start(self, listener: ProgressListener) -> None:
        """Grant it the device, unless its deadline has passed."""
        if not self._has_device and time.monotonic() < self._stop:
            self._has_device, self._started = True, datetime.now(timezone.utc)
            self._time_limit = time.monotonic() + (self.spec.timeout or math.inf)
            self._send("start")
            listener.begin(self.spec)

    def allow_compile(self) -> None:
        """Allow it to compile on the device on which another run trains."""
        if not self._may_compile:
            self._may_compile = True
            self._send("compile")

    def stop(self) -> None:
        """Ask it to stop at the next safe point."""
        if not self._asked:
            self._asked, self._stop = True, min(self._stop, time.monotonic())
            self._send("stop")

    def hear(self, listener: ProgressListener) -> None:
        """Receive a message."""
        kind, content = self._child.receive()
        self._heard, self._waits = time.monotonic(), kind == "waiting"
        if kind == "progress":
            phase, done, total, _ = content
            self.trains |= phase == "train"  # the first stage is followed by the autotuning of the second
            if phase != "profile":
                self._reached = phase, done, total
            listener.progress(self.spec, *content)
        elif kind == "warning":
            print(content, file=sys.stderr)
        elif kind and kind != "waiting":
            self._last, self._ends_by = (kind, content), time.monotonic() + END_SECONDS

    def extend_limits(self, seconds: float) -> None:
        """Move what has a limit by a time in which all processes were suspended."""
        self._heard += seconds
        self._time_limit += seconds
        self._ends_by += seconds
        if time.monotonic() >= self._stop:
            self._grace += seconds

    def check_limits(self) -> None:
        """End it if it has exceeded a limit; `outcome` tells which."""
        now = time.monotonic()
        if now < self.limit:
            return
        if self._ends_by < math.inf:
            self._child.abandon()
        elif not self._has_device and now >= self._stop:
            self._dropped = True
            self._end("end")
        elif now >= self._stop + self._grace:
            self._last = "interrupted", self._reached
            self._end("kill")
        else:
            late = self.spec.timeout is not None and now >= self._time_limit
            self._last = "failed", outcome.late(self.spec) if late else outcome.hung(self.spec, *self._reached)
            self._end("stacks")

    def outcome(self) -> Stored | InterruptedRun | None:
        """Return the outcome of a run whose processes have ended; None if it was dropped before it started.

        Raises:
            UserError: the result cannot be stored.
        """
        assert self.ending is not None
        last: tuple[str, Any] = self._last or ("", None)
        kind, content = last
        if kind == "elsewhere":
            return InterruptedRun.in_progress(self.spec, content)
        if kind == "interrupted" or (kind == "terminated" and self._is_asked()):
            return InterruptedRun(self.spec, *content)
        if kind == "terminated":  # by its own code, or by somebody who ended this process alone
            return self._lost(outcome.death(-signal.SIGTERM))
        if kind == "stored":
            return self._with_log(read_or_raise(Path(content)))
        if self._dropped:
            return None
        return self._lost(content or outcome.death(self.ending.exitcode, self.ending.out_of_memory))

    def _is_asked(self) -> bool:
        """Return whether it was asked to stop, or should have stopped by itself."""
        return self._asked or time.monotonic() >= self._stop

    def end(self) -> None:
        """Begin to end it."""
        if self._ends_by == math.inf:
            self._end("end")

    def close(self) -> None:
        """Wait until its processes have ended."""
        self._child.close()

    def _end(self, word: str) -> None:
        self._ends_by = time.monotonic() + END_SECONDS
        self._send(word)

    def _lost(self, end: dict[str, Any]) -> Stored:
        """Return the result of a run whose process left none: its exit status and the measurements so far."""
        return self._with_log(lost(self.spec, started=self._started, **end))

    def _with_log(self, stored: Stored) -> Stored:
        """Add the end of the log to a failure."""
        assert self.ending is not None
        tail = outcome.log_tail(self.ending.output, cause=stored.record.cause)
        if stored.record.status == "ok" or not tail:
            return stored
        return add(stored.record.model_copy(update={"log_tail": tail}), {}, self.spec.results)

    def _send(self, word: str) -> None:
        self._heard, self._waits = time.monotonic(), False
        self._child.send(word)
