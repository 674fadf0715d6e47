"""Progress of runs on stderr: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO, TypeVar

from benchmark.cli.columns import can_redraw, rounded
from benchmark.cli.course import STARTING, Course, clock, of_run, speed
from benchmark.cli.quantities import duration_text
from benchmark.execution import log
from benchmark.execution.phase import Phase

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

STARTING_SECONDS = 8.0
"""Guess of the seconds of importing torch and mmsegmentation."""

ITEM_SECONDS = {
    "profiling": 8.0,
    "planning": 0.3,
    "predicting": 0.3,
    "verifying": 0.005,
    "reading": 0.005,
    "scoring": 0.01,
    "preparing": 0.01,
}
"""Guesses of the seconds of an item of a step, until the first one has ended; of others a second."""

LINE_SECONDS = 15.0
"""Seconds between the plain lines of a long run."""


def _ended(spec: Spec, record: Record) -> str:
    """Summarize a run in one line."""
    name, attempt = f"{record.architecture} seed {record.seed}", f", attempt {spec.attempt}" if spec.attempt > 1 else ""
    if record.status != "ok":
        path = spec.folder / log.FILE
        where = f"; its log: {path}" if path.exists() else ""
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
        self._phases: dict[str, Sequence[Phase]] = {}
        self._said = time.monotonic()
        self._courses: dict[str, Course] = {}

    def expect(self, jobs: Sequence[Job]) -> None:
        """Receive the runs to be made, with their estimates."""
        self.runs = len(jobs)
        self._phases = {_name(job.spec): of_run(job) for job in jobs}

    def begin(self, spec: Spec) -> None:
        """Receive the start of a run: its first line is its progress or its end."""
        self.start(_name(spec), self._phases.get(_name(spec), ()))

    def start(self, name: str, phases: Sequence[Phase]) -> None:
        """Receive the start of something, with the estimates of its phases."""
        self._courses[name] = Course(time.monotonic(), phases)

    def progress(self, spec: Spec, phase: str, done: int, total: int, value: float | None) -> None:
        """Print the progress of a run at intervals."""
        self.report(_name(spec), phase, done, total, value)

    def report(self, name: str, phase: str, done: int, total: int, value: float | None = None) -> None:
        """Print a progress line at intervals."""
        now = time.monotonic()
        course = self._courses.setdefault(name, Course(now))
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
        self._jobs: dict[str, Sequence[Phase]] = {}
        self._ended: dict[str, float | None] = {}  # seconds of each run; None if they say nothing of estimates
        self._since = time.monotonic()  # when the last run ended, or runs were expected
        self._pending: dict[str, str] = {}  # reason of each run that waits for a scheduler
        self._step: tuple[str, Course] | None = None
        self._item = ""
        self._display = live.display(self._rows)
        self._display.start()

    def expect(self, jobs: Sequence[Job]) -> None:
        """Receive the runs to be made, with their estimates."""
        self._jobs = {_name(job.spec): of_run(job) for job in jobs}
        self._since = time.monotonic()
        self._step = None

    def begin(self, spec: Spec) -> None:
        """Show the start of a run."""
        name = _name(spec)
        self._pending.pop(name, None)
        self.start(name, self._jobs.get(name, ()))

    def start(self, name: str, phases: Sequence[Phase]) -> None:
        """Show the start of something, with the estimates of its phases."""
        self._step = None
        self._courses[name] = Course(time.monotonic(), phases)

    def progress(self, spec: Spec, phase: str, done: int, total: int, value: float | None) -> None:
        """Move the bar of a run."""
        self.report(_name(spec), phase, done, total, value)

    def report(self, name: str, phase: str, done: int, total: int, value: float | None = None) -> None:
        """Move the bar of something in progress."""
        now = time.monotonic()
        if name not in self._courses:
            self.start(name, ())
        self._courses[name].report(now, phase, done, total, value)

    def step(self, what: str, name: str, done: int, total: int) -> None:
        """Show which of several things is in progress, in one bar that replaces that of the step before."""
        now = time.monotonic()
        if self._step is None or self._step[0] != what:
            seconds = STARTING_SECONDS if what == STARTING else ITEM_SECONDS.get(what, 1.0) * total
            self._step = what, Course(now, [Phase(what, total, seconds)] if total else ())
        self._step[1].report(now, what, done, total)
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
            self._since = time.monotonic()
            self._ended[_name(spec)] = self._since - course.began if course else None
        self._display.console.print(f"{_ended(spec, record)}{again}", highlight=False, markup=False)

    def interrupt(self, run: InterruptedRun) -> None:
        """Print where a run was interrupted."""
        self._courses.pop(_name(run.spec), None)
        self._ended[_name(run.spec)], self._since = None, time.monotonic()
        self._display.console.print(without_result(run), highlight=False, markup=False)

    def close(self) -> None:
        """Close the live display."""
        self._display.stop()

    def _rows(self) -> list[ProgressRow]:
        from benchmark.cli.live import UNKNOWN, ProgressRow

        now = time.monotonic()
        courses = dict(self._courses)
        active = courses if self._step else courses or self._next()
        rows = [ProgressRow.of(name, course, now, SHORT.get(course.phase)) for name, course in active.items()]
        if self._step is not None:
            what, course = self._step
            rows.append(ProgressRow.of(self._item or what, course, now, what if self._item else ""))
        elif len(self._jobs) > 1 or self._pending:
            seconds = self._seconds_left(active, now)
            left = UNKNOWN if seconds is None else f"{clock(seconds)} left"
            pending = f"{len(self._pending)} pending" if self._pending else ""
            rows.append(ProgressRow("all runs", pending, len(self._ended), len(self._jobs), left=left))
        return rows

    def _next(self) -> dict[str, Course]:
        """Return the course of the next run, which an executor is about to start; none if all have ended or wait."""
        for name, phases in list(self._jobs.items()):
            if name not in self._ended and name not in self._pending:
                return {name: Course(self._since, phases)}
        return {}

    def _seconds_left(self, courses: dict[str, Course], now: float) -> float | None:
        """Estimate the seconds of all runs: the plan's, by the ratio of those that began, in as many slots as now."""
        active = {name: course.seconds_left(now) for name, course in courses.items()}
        known = [each for each in active.values() if each is not None]
        if len(known) < len(active) or any(name not in self._jobs for name in active):
            return None
        ended = dict(self._ended)  # other threads change these
        took = {name: seconds for name, seconds in ended.items() if seconds is not None}
        took |= {name: now - courses[name].began + left for name, left in zip(active, known, strict=True)}
        planned = sum(_seconds(self._jobs[name]) for name in took)
        ratio = sum(took.values()) / planned if planned else 1.0
        waiting = [phases for name, phases in list(self._jobs.items()) if name not in courses and name not in ended]
        seconds = ratio * sum(map(_seconds, waiting))
        return max([(seconds + sum(known)) / max(1, len(courses)), *known], default=0.0)


@contextmanager
def shown(starting: int | None = None) -> Iterator[Lines | Bars]:
    """Show progress on stderr: live bars on a terminal, lines elsewhere.

    Args:
        starting: number of things that the command does, where it is still to import what it needs, which is shown
            from now on; None to show nothing yet.
    """
    listener = Bars() if can_redraw(sys.stderr) else Lines(sys.stderr)
    try:
        if starting is not None:
            listener.step(STARTING, "", 0, starting)
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


def _seconds(phases: Sequence[Phase]) -> float:
    return sum(phase.seconds for phase in phases)


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
