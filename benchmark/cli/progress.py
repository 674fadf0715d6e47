"""Progress of runs on stderr: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from benchmark.cli.columns import rounded
from benchmark.cli.options import duration_text

if TYPE_CHECKING:
    from rich.progress import TaskID

    from benchmark.execution.batch import Outcome
    from benchmark.execution.executor import InterruptedRun
    from benchmark.execution.spec import Spec
    from benchmark.results.record import Record

PHASES = {
    "profile": "profiling",
    "first_stage": "training the first of two stages",
    "train": "training",
    "val": "evaluating on val",
    "test": "evaluating on test",
}
LINE_SECONDS = 15.0
"""Seconds between the plain lines of a long run."""


def _ended(spec: Spec, record: Record) -> str:
    """Summarize a run in one line."""
    name, attempt = f"{record.architecture} seed {record.seed}", f", attempt {spec.attempt}" if spec.attempt > 1 else ""
    if record.status != "ok":
        return f"{name}{attempt}: {record.status.replace('_', ' ')}: {record.error}"
    evaluation, complexity = record.evaluation(), record.complexity
    assert evaluation is not None
    assert complexity is not None
    parts = [f"mIoU {evaluation.miou:.2f} %", f"{rounded(complexity.params / 1e6, 2)} M parameters"]
    if complexity.macs is not None:
        parts.append(f"{rounded(complexity.macs / 1e9, 2)} G MACs")
    if record.latency:
        parts.append(f"{record.latency[0].median_ms:.1f} ms")
    return f"{name}{attempt}: {', '.join(parts)} ({record.seconds:.0f} s)"


def standing(run: InterruptedRun) -> str:
    """Describe in one line where a run was interrupted."""
    unit = "image" if run.phase in ("val", "test") else "iteration"
    return f"{run.spec.architecture} seed {run.spec.seed}: {PHASES[run.phase]}, {unit} {run.done} of {run.total}"


def of_other_code(found: Sequence[str | None]) -> Iterator[str]:
    """Report how many of the runs to be made have results of other code, and of which code.

    Args:
        found: for each run, the code of its result under other code; None if there is none.
    """
    codes = [code for code in found if code]
    if codes:
        what, them = ("result is", "it as it is") if len(codes) == 1 else ("results are", "them as they are")
        names = ", ".join(sorted(set(codes)))
        yield f"{len(codes)} {what} of other code ({names}), and repeated; --any-code accepts {them}"


def restarted(specs: Sequence[Spec]) -> Iterator[str]:
    """Report which runs were started by other code and cannot be resumed."""
    from benchmark.execution.interrupted import find
    from benchmark.execution.plan import unresumable

    for spec in specs:
        if find(spec.folder) is None and (found := unresumable(spec)):
            folder, iteration = found
            done = f"where other code did {iteration} iterations" if iteration else "which other code started"
            yield f"{spec.architecture} seed {spec.seed}: starts over and does not touch {folder}, {done}"


def summary(made: Outcome) -> str:
    """Summarize in lines which runs are done, where others were interrupted, and what is left."""
    needed = duration_text(sum(job.seconds for job in made.left))
    return "\n".join(
        [
            f"{len(made.stored)} done, of which {made.failed} failed",
            *(f"interrupted: {standing(each)}" for each in made.interrupted),
            f"left: {len(made.left)}, about {needed} sequentially",
        ]
    )


@contextmanager
def shown(runs: int) -> Iterator[Lines | Bars]:
    """Show the progress of runs on stderr: bars in a terminal, lines elsewhere."""
    listener = Bars(runs) if sys.stderr.isatty() else Lines(sys.stderr, runs)
    try:
        yield listener
    finally:
        listener.close()


class Lines:
    """Print plain lines: finished runs, and periodically the progress of others."""

    def __init__(self, stream: TextIO, runs: int = 1) -> None:
        self.stream, self.runs = stream, runs
        self._ended = 0
        self._said = time.monotonic()

    def begin(self, spec: Spec) -> None:
        """Ignore the start of a run: its first line is its progress or its end."""

    def progress(self, spec: Spec, phase: str, done: int, total: int, loss: float | None) -> None:
        """Print the progress of a run at intervals."""
        self.report(f"{spec.architecture} seed {spec.seed}", phase, done, total, loss)

    def report(self, name: str, phase: str, done: int, total: int, loss: float | None) -> None:
        """Print a progress line at intervals."""
        if time.monotonic() - self._said > LINE_SECONDS:
            self._said = time.monotonic()
            note = f", loss {loss:.3f}" if loss is not None else ""
            self._say(f"{name}: {PHASES[phase]} {done}/{total}{note}")

    def wait(self, spec: Spec, reason: str) -> None:
        """Print at intervals that runs wait for a scheduler."""
        if time.monotonic() - self._said > LINE_SECONDS:
            self._said = time.monotonic()
            self._say(f"{spec.architecture} seed {spec.seed}: pending{f' ({reason})' if reason else ''}")

    def end(self, spec: Spec, record: Record) -> None:
        """Show the end of a run, or of an attempt."""
        if spec.next_attempt(record):
            self._say(f"{_ended(spec, record)}; it is tried again")
            return
        self._ended += 1
        self._say(f"[{self._ended}/{self.runs}] {_ended(spec, record)}")

    def interrupt(self, run: InterruptedRun) -> None:
        """Print where a run was interrupted."""
        self._say(f"interrupted: {standing(run)}")

    def close(self) -> None:
        """Do nothing: there is no display to close."""

    def _say(self, line: str) -> None:
        print(line, file=self.stream, flush=True)


class Bars:
    """Live bars for each active run and for all runs, with finished runs above."""

    def __init__(self, runs: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._all = self._bars.add_task("all runs", total=runs, note="")
        self._pending: dict[str, str] = {}  # reason of each run that waits for a scheduler
        self._tasks: dict[str, TaskID] = {}  # by run, as specs are copied to other processes and back
        self._bars.start()

    def begin(self, spec: Spec) -> None:
        """Show the start of a run."""
        self._remove(spec)
        name = f"{spec.architecture} seed {spec.seed}"
        self._no_longer_pending(spec)
        self._tasks[spec.identity.run_id] = self._bars.add_task(name, total=None, note="starting")

    def progress(self, spec: Spec, phase: str, done: int, total: int, loss: float | None) -> None:
        """Move the bar of a run."""
        note = PHASES[phase] + (f", loss {loss:.3f}" if loss is not None else "")
        self._bars.update(self._tasks[spec.identity.run_id], completed=done, total=total, note=note)

    def wait(self, spec: Spec, reason: str) -> None:
        """Count a run that waits for a scheduler, again or for the first time."""
        self._remove(spec)
        self._pending[spec.identity.run_id] = reason
        self._count_pending()

    def end(self, spec: Spec, record: Record) -> None:
        """Show the end of a run, or of an attempt."""
        self._no_longer_pending(spec)
        self._remove(spec)
        again = "; it is tried again" if spec.next_attempt(record) else ""
        self._bars.console.print(f"{_ended(spec, record)}{again}", highlight=False, markup=False)
        if not again:
            self._bars.advance(self._all)

    def interrupt(self, run: InterruptedRun) -> None:
        """Print where a run was interrupted."""
        self._remove(run.spec)
        self._bars.console.print(f"interrupted: {standing(run)}", highlight=False, markup=False)

    def close(self) -> None:
        """Close the live display."""
        self._bars.stop()

    def _remove(self, spec: Spec) -> None:
        """Remove the bar of a run, which has none if it ended before it had the device."""
        if (task := self._tasks.pop(spec.identity.run_id, None)) is not None:
            self._bars.remove_task(task)

    def _no_longer_pending(self, spec: Spec) -> None:
        if self._pending.pop(spec.identity.run_id, None) is not None:
            self._count_pending()

    def _count_pending(self) -> None:
        reasons = ", ".join(sorted({reason for reason in self._pending.values() if reason}))
        note = f"{len(self._pending)} pending{f': {reasons}' if reasons else ''}" if self._pending else ""
        self._bars.update(self._all, note=note)
