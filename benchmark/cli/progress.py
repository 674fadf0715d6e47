"""Progress of runs on stderr: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO, TypeVar

from benchmark.cli.columns import rounded
from benchmark.cli.course import Course, clock, speed
from benchmark.cli.quantities import duration_text

if TYPE_CHECKING:
    from benchmark.cli.live import ProgressRow
    from benchmark.execution.batch import Outcome
    from benchmark.execution.executor import InterruptedRun
    from benchmark.execution.plan import Job
    from benchmark.execution.spec import Spec
    from benchmark.results.record import Record

Item = TypeVar("Item")

PHASES = {
    "profile": "profiling",
    "first_stage": "training the first of two stages",
    "train": "training",
    "val": "evaluating on val",
    "test": "evaluating on test",
}
SHORT = {"first_stage": "train 1/2"}
"""Phases by the words of a live display, where they are not their names."""

LINE_SECONDS = 15.0
"""Seconds between the plain lines of a long run."""


def _ended(spec: Spec, record: Record) -> str:
    """Summarize a run in one line."""
    name, attempt = f"{record.architecture} seed {record.seed}", f", attempt {spec.attempt}" if spec.attempt > 1 else ""
    if record.status != "ok":
        log = spec.folder / "run.log"
        where = f"; its log: {log}" if log.exists() else ""
        return f"{name}{attempt}: {record.status.replace('_', ' ')}: {record.error}{where}"
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
    if run.elsewhere:
        return f"{run.spec.architecture} seed {run.spec.seed}: {run.elsewhere}"
    unit = "image" if run.phase in ("val", "test") else "iteration"
    return f"{run.spec.architecture} seed {run.spec.seed}: {PHASES[run.phase]}, {unit} {run.done} of {run.total}"


def without_result(run: InterruptedRun) -> str:
    """Describe in one line why a run has no result yet."""
    return standing(run) if run.elsewhere else f"interrupted: {standing(run)}"


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
            *map(without_result, made.interrupted),
            f"left: {len(made.left)}, about {needed} sequentially",
        ]
    )


class Lines:
    """Print plain lines: finished runs, and periodically the progress of others."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.runs = stream, 1
        self._ended = 0
        self._said = time.monotonic()
        self._courses: dict[str, Course] = {}

    def expect(self, jobs: Sequence[Job]) -> None:
        """Receive the runs to be made."""
        self.runs = len(jobs)

    def begin(self, spec: Spec) -> None:
        """Ignore the start of a run: its first line is its progress or its end."""

    def progress(self, spec: Spec, phase: str, done: int, total: int, value: float | None) -> None:
        """Print the progress of a run at intervals."""
        self.report(_name(spec), phase, done, total, value)

    def report(self, name: str, phase: str, done: int, total: int, value: float | None = None) -> None:
        """Print a progress line at intervals."""
        now = time.monotonic()
        course = self._courses.setdefault(name, Course(now, total))
        course.report(now, phase, done, total, value)
        if now - self._said > LINE_SECONDS:
            self._said = now
            self._say(f"{name}: {_progress(course, now)}")

    def step(self, what: str, name: str, done: int, total: int) -> None:
        """Print at intervals which of several things is in progress."""
        if time.monotonic() - self._said > LINE_SECONDS:
            self._said = time.monotonic()
            self._say(" ".join(filter(None, [what, f"{done}/{total}" if total else "", name])))

    def wait(self, spec: Spec, reason: str) -> None:
        """Print at intervals that runs wait for a scheduler."""
        if time.monotonic() - self._said > LINE_SECONDS:
            self._said = time.monotonic()
            self._say(f"{_name(spec)}: pending{f' ({reason})' if reason else ''}")

    def end(self, spec: Spec, record: Record) -> None:
        """Show the end of a run, or of an attempt."""
        if spec.next_attempt(record):
            self._say(f"{_ended(spec, record)}; it is tried again")
            return
        self._ended += 1
        self._say(f"[{self._ended}/{self.runs}] {_ended(spec, record)}")

    def interrupt(self, run: InterruptedRun) -> None:
        """Print where a run was interrupted."""
        self._say(without_result(run))

    def close(self) -> None:
        """Do nothing: there is no display to close."""

    def _say(self, line: str) -> None:
        print(line, file=self.stream, flush=True)


class Bars:
    """Show a live bar for each active run and for all runs, with finished runs above."""

    def __init__(self) -> None:
        from benchmark.cli import live

        self._courses: dict[str, Course] = {}
        self._jobs: dict[str, float] = {}  # estimated seconds of each run
        self._ended: dict[str, float] = {}  # and the real ones
        self._pending: dict[str, str] = {}  # reason of each run that waits for a scheduler
        self._step: tuple[str, Course] | None = None
        self._item = ""
        self._display = live.display(self._rows)
        self._display.start()

    def expect(self, jobs: Sequence[Job]) -> None:
        """Receive the runs to be made, with their estimates."""
        self._jobs = {_name(job.spec): job.seconds for job in jobs}
        self._step = None

    def begin(self, spec: Spec) -> None:
        """Show the start of a run."""
        name = _name(spec)
        self._pending.pop(name, None)
        self._courses[name] = Course(time.monotonic(), spec.config.train_cfg.max_iters, self._jobs.get(name, 0.0))

    def progress(self, spec: Spec, phase: str, done: int, total: int, value: float | None) -> None:
        """Move the bar of a run."""
        self.report(_name(spec), phase, done, total, value)

    def report(self, name: str, phase: str, done: int, total: int, value: float | None = None) -> None:
        """Move the bar of something in progress."""
        now = time.monotonic()
        if name not in self._courses:
            self._courses[name] = Course(now, total)
        self._courses[name].report(now, phase, done, total, value)

    def step(self, what: str, name: str, done: int, total: int) -> None:
        """Show which of several things is in progress, in one bar that replaces that of the step before."""
        if self._step is None or self._step[0] != what:
            self._step = what, Course(time.monotonic(), total)
        self._step[1].report(time.monotonic(), what, done, total)
        self._item = name

    def wait(self, spec: Spec, reason: str) -> None:
        """Count a run that waits for a scheduler, again or for the first time."""
        self._courses.pop(_name(spec), None)
        self._pending[_name(spec)] = reason

    def end(self, spec: Spec, record: Record) -> None:
        """Show the end of a run, or of an attempt."""
        course = self._courses.pop(_name(spec), None)
        self._pending.pop(_name(spec), None)
        again = "; it is tried again" if spec.next_attempt(record) else ""
        if not again:
            self._ended[_name(spec)] = time.monotonic() - course.began if course else 0.0
        self._display.console.print(f"{_ended(spec, record)}{again}", highlight=False, markup=False)

    def interrupt(self, run: InterruptedRun) -> None:
        """Print where a run was interrupted."""
        self._courses.pop(_name(run.spec), None)
        self._ended[_name(run.spec)] = self._jobs[_name(run.spec)] = 0.0  # it says nothing of estimates
        self._display.console.print(without_result(run), highlight=False, markup=False)

    def close(self) -> None:
        """Close the live display."""
        self._display.stop()

    def _rows(self) -> list[ProgressRow]:
        from benchmark.cli.live import UNKNOWN, ProgressRow

        now = time.monotonic()
        courses = dict(self._courses)
        rows = [ProgressRow.of(name, course, now, SHORT.get(course.phase)) for name, course in courses.items()]
        if self._step is not None:
            what, course = self._step
            rows.append(ProgressRow.of(self._item or what, course, now, what if self._item else ""))
        elif len(self._jobs) > 1 or self._pending:
            seconds = self._seconds_left(courses, now)
            left = UNKNOWN if seconds is None else f"{clock(seconds)} left"
            pending = f"{len(self._pending)} pending" if self._pending else ""
            rows.append(ProgressRow("all runs", pending, len(self._ended), len(self._jobs), left=left))
        return rows

    def _seconds_left(self, courses: dict[str, Course], now: float) -> float | None:
        """Estimate the seconds of all runs: the plan's, by the ratio of those that ended, in as many slots as now."""
        planned = sum(self._jobs.get(name, 0.0) for name in self._ended)
        ratio = sum(self._ended.values()) / planned if planned else 1.0
        waiting = [seconds for name, seconds in self._jobs.items() if name not in courses and name not in self._ended]
        active = [course.seconds_left(now) for course in courses.values()]
        if not all(waiting) or any(each is None for each in active):
            return None
        known = [each for each in active if each is not None]
        return max([(ratio * sum(waiting) + sum(known)) / max(1, len(courses)), *known])


@contextmanager
def shown() -> Iterator[Lines | Bars]:
    """Show progress on stderr: live bars on a terminal, lines elsewhere."""
    listener = Bars() if sys.stderr.isatty() else Lines(sys.stderr)
    try:
        yield listener
    finally:
        listener.close()


def counted(
    items: Sequence[Item], listener: Lines | Bars, what: str, name: Callable[[Item], str] = str
) -> Iterator[Item]:
    """Yield items and show which one is in progress.

    Args:
        items: the items.
        listener: shows the progress.
        what: what is done with them, such as "profiling".
        name: returns the name of an item.
    """
    for done, item in enumerate(items):
        listener.step(what, name(item), done, len(items))
        yield item
    listener.step(what, "", len(items), len(items))


def _name(spec: Spec) -> str:
    return f"{spec.architecture} seed {spec.seed}"


def _progress(course: Course, now: float) -> str:
    """Describe a course in a line."""
    parts = [f"{PHASES.get(course.phase, course.phase)} {course.done}/{course.total}"]
    if (rate := course.rate(now)) is not None:
        parts.append(speed(rate))
    if (left := course.seconds_left(now)) is not None:
        parts.append(f"{clock(left)} left")
    if course.miou is not None:
        parts.append(f"mIoU {course.miou:.2f} %")
    if course.loss is not None:
        parts.append(f"loss {course.loss:.3f}")
    return ", ".join(parts)
