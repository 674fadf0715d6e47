"""The interface of executors, which make runs in worker processes, in this process, or elsewhere.

`execution.batch` submits runs while an executor has free slots, and polls it until the last run has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from benchmark.execution.spec import Spec
from benchmark.results.reading import Stored
from benchmark.results.record import Record


@dataclass(frozen=True)
class InterruptedRun:
    """A run that was interrupted, at its deadline or on request, and has no result yet.

    Attributes:
        spec: the run.
        phase: its phase: "train", "val" or "test".
        done: number of iterations or images completed in that phase.
        total: number of iterations or images of that phase.
    """

    spec: Spec
    phase: str
    done: int
    total: int


class ProgressListener(Protocol):
    """Receives the progress of runs."""

    def begin(self, spec: Spec) -> None:
        """Handle the start of a run, when it has its device."""

    def progress(self, spec: Spec, phase: str, done: int, total: int, loss: float | None) -> None:
        """Handle progress of a run."""

    def end(self, spec: Spec, record: Record) -> None:
        """Handle the end of a run; its result is stored."""

    def interrupt(self, run: InterruptedRun) -> None:
        """Handle the interruption of a run."""


@runtime_checkable
class QueueListener(ProgressListener, Protocol):
    """Receives, in addition, what becomes of runs that wait for a scheduler."""

    def wait(self, spec: Spec, reason: str) -> None:
        """Handle that a run waits for resources, for the first time or after an interruption, and why."""


class Executor(Protocol):
    """Executes runs and reports their progress to its listener."""

    @property
    def free_slots(self) -> int:
        """The number of further runs that may be submitted now."""

    @property
    def active(self) -> int:
        """The number of submitted runs that have not ended."""

    def submit(self, spec: Spec) -> None:
        """Submit a run; it starts as soon as possible."""

    def poll(self) -> Sequence[Stored | InterruptedRun]:
        """Wait for an event; return the runs that have ended.

        A run that fails for any reason ends with a stored result of that status.

        Raises:
            UserError: a result cannot be stored; results stored before are kept.
        """

    def cancel(self) -> None:
        """Cancel all active runs."""
