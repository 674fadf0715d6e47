"""The interface of executors, which make runs in worker processes, in this process, or elsewhere.

`execution.batch` submits runs while an executor has free slots, and polls it until the last run has ended. Where a run
is to take place, `execution.isolated` makes it; `execution.lost` stores the failure of one of which nothing is heard
any more. docs/executors.md has an example.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from benchmark.execution.spec import Spec
from benchmark.results.reading import Stored
from benchmark.results.record import Record


@dataclass(frozen=True)
class InterruptedRun:
    """A run that has no result yet: it was interrupted, at its deadline or on request, or another process executes it.

    Attributes:
        spec: the run.
        phase: its phase: "train", "val" or "test".
        done: number of iterations or images completed in that phase.
        total: number of iterations or images of that phase.
        elsewhere: why nothing was done, if another process executes the same run, or has cancelled it; else None.
    """

    spec: Spec
    phase: str
    done: int
    total: int
    elsewhere: str | None = None

    @classmethod
    def in_progress(cls, spec: Spec, why: str) -> InterruptedRun:
        """Describe a run that another process executes."""
        return cls(spec, "train", 0, spec.config.train_cfg.max_iters, elsewhere=why)


class ProgressListener(Protocol):
    """Receives the progress of runs.

    A run may be a copy of the one that was submitted, sent to another process and back. `begin` comes first, and is
    repeated if the run starts again; `end` or `interrupt` comes last. `isolated` calls all four.
    """

    def begin(self, spec: Spec) -> None:
        """Handle the start of a run, when it has its device."""

    def progress(self, spec: Spec, phase: str, done: int, total: int, value: float | None) -> None:
        """Handle progress of a run.

        Args:
            spec: the run.
            phase: "profile", "first_stage", "train", "val" or "test".
            done: completed iterations or images of the phase.
            total: all of them.
            value: the latest loss in training; the mIoU in percent at the end of a validation; else None.
        """

    def end(self, spec: Spec, record: Record) -> None:
        """Handle the end of a run; its result is stored."""

    def interrupt(self, run: InterruptedRun) -> None:
        """Handle the interruption of a run."""


@runtime_checkable
class QueueListener(ProgressListener, Protocol):
    """Receives, in addition, what becomes of runs that wait for a scheduler."""

    def wait(self, spec: Spec, reason: str) -> None:
        """Handle that a run waits for resources, for the first time or after an interruption, and why."""


class Silent:
    """A listener that ignores everything, for a run on another machine whose progress is not shown."""

    def begin(self, spec: Spec) -> None:
        """Ignore the start of a run."""

    def progress(self, spec: Spec, phase: str, done: int, total: int, value: float | None) -> None:
        """Ignore progress of a run."""

    def end(self, spec: Spec, record: Record) -> None:
        """Ignore the end of a run."""

    def interrupt(self, run: InterruptedRun) -> None:
        """Ignore the interruption of a run."""


class Serial:
    """A listener that any thread may call: it passes calls on to another one after the other.

    Args:
        listener: receives them.
    """

    def __init__(self, listener: ProgressListener) -> None:
        self._listener, self._lock = listener, threading.Lock()

    def begin(self, spec: Spec) -> None:
        """Pass on the start of a run."""
        with self._lock:
            self._listener.begin(spec)

    def progress(self, spec: Spec, phase: str, done: int, total: int, value: float | None) -> None:
        """Pass on progress of a run."""
        with self._lock:
            self._listener.progress(spec, phase, done, total, value)

    def end(self, spec: Spec, record: Record) -> None:
        """Pass on the end of a run."""
        with self._lock:
            self._listener.end(spec, record)

    def interrupt(self, run: InterruptedRun) -> None:
        """Pass on the interruption of a run."""
        with self._lock:
            self._listener.interrupt(run)


class Executor(Protocol):
    """Executes runs and reports their progress to the listener that it is made with, from any thread.

    All members are used by one thread.
    """

    @property
    def free_slots(self) -> int:
        """The number of further runs that may be submitted now."""

    @property
    def active(self) -> int:
        """The number of submitted runs that `poll` has not returned."""

    def submit(self, spec: Spec) -> None:
        """Submit a run and return at once; it starts as soon as possible."""

    def poll(self) -> Sequence[Stored | InterruptedRun]:
        """Wait until a run has ended, or for a while; return the runs that have ended.

        It is called only while runs are active. A run that fails for any reason, the loss of its machine included, ends
        with a stored result of that status. A run that is given up without one is no longer active.

        Raises:
            UserError: a result cannot be stored, or nothing can run any more; results stored before are kept.
        """

    def cancel(self) -> None:
        """End all active runs, wait for their end, and release everything.

        It is called once, at the end of a batch: with no active runs, or after an exception or Ctrl-C. What was done
        of a run remains in its folder, from which the next one resumes.
        """
