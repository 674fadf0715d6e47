"""What makes runs: processes of this machine, this very process, or whatever else keeps this contract.

`execution.batch` submits runs as long as an executor has room, and polls it until the last one has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmark.execution.spec import Spec
from benchmark.results.reading import Stored
from benchmark.results.record import Record


@dataclass(frozen=True)
class InterruptedRun:
    """A run that was interrupted at its deadline, and leaves no result yet.

    Attributes:
        spec: the run.
        phase: what it was doing: "train", "val" or "test".
        done: iterations or images done of that.
        total: iterations or images there are of that.
    """

    spec: Spec
    phase: str
    done: int
    total: int


class ProgressListener(Protocol):
    """Is called with the progress of runs."""

    def begin(self, spec: Spec) -> None:
        """Take note that a run has its device."""

    def progress(self, spec: Spec, phase: str, done: int, total: int, loss: float | None) -> None:
        """Take note of how far a run is."""

    def end(self, spec: Spec, record: Record) -> None:
        """Take note that a run has ended and its result is stored."""

    def interrupt(self, run: InterruptedRun) -> None:
        """Take note that a run was interrupted."""


class Executor(Protocol):
    """Makes runs, and reports their progress to a listener of its own."""

    @property
    def room(self) -> int:
        """Number of further runs that may be submitted now."""

    @property
    def active(self) -> int:
        """Number of runs that were submitted and have not ended."""

    def submit(self, spec: Spec) -> None:
        """Take a run; it begins as soon as it can."""

    def poll(self) -> Sequence[Stored | InterruptedRun]:
        """Wait until there is something to report; return how the runs ended that have.

        A run that fails, whichever way, ends with a stored result that says so.

        Raises:
            UserError: a result cannot be stored. Those that are stored stay so.
        """

    def cancel(self) -> None:
        """End every run that is active; none is left running."""
