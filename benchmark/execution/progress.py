"""The progress of a run in a small file, which `segbench status` and the terminal that submitted it read.

There is one file for each run, as a run is in progress once at a time; whoever executes it writes it.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import UserError
from benchmark.files.atomic import replacing

if TYPE_CHECKING:
    from benchmark.execution.executor import InterruptedRun, ProgressListener
    from benchmark.execution.spec import Spec
    from benchmark.results.record import Record

FOLDER = "progress"
"""Folder of the files in the work folder."""

WRITE_SECONDS = 1.0
"""Minimum seconds between two files of a run in the same phase."""

BEAT_SECONDS = 5.0
"""Maximum seconds between two files of a job: a sign of life while there is no progress to report."""


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        owner: what executes it: a job of Slurm or a sweep of this machine.
        state: "running"; "interrupted", if it stopped and will be resumed; "ended", if it has a result.
        host: name of the machine.
        process: id of the process that supervises it there.
        started: time at which it was started, in seconds since 1970.
        updated: time of this report.
        phase: "starting", "profile", "first_stage", "train", "val" or "test".
        done: completed iterations or images of the phase.
        total: all iterations or images of the phase.
        value: loss in training; mIoU in percent at the end of a validation; else None.
        rate: iterations or images a second in this phase; None until it is known.
        status: status of the result; None before the end.
        error: its error in one line.
        cause: its cause, see `results.record`.
        note: why it was interrupted.
        starts: where it stood at each start of the same job, so that one without progress is not repeated for ever.
    """

    owner: str
    state: str = "running"
    host: str = ""
    process: int = 0
    started: float = 0.0
    updated: float = 0.0
    phase: str = "starting"
    done: int = 0
    total: int = 0
    value: float | None = None
    rate: float | None = None
    status: str | None = None
    error: str | None = None
    cause: str | None = None
    note: str | None = None
    starts: tuple[str, ...] = ()

    @property
    def seconds_left(self) -> float | None:
        """Estimated seconds to the end of this phase."""
        return (self.total - self.done) / self.rate if self.rate else None


def path_of(work_dir: Path, run_id: str) -> Path:
    """Return the file of a run."""
    return work_dir / FOLDER / f"{run_id}.json"


def read(path: Path) -> Progress | None:
    """Read the file of a run; None if it is missing or not readable."""
    with suppress(OSError, ValueError, TypeError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return Progress(**found | {"starts": tuple(found["starts"])})
    return None


def write(path: Path, progress: Progress) -> None:
    """Write the file of a run.

    Raises:
        UserError: the folder is not writable.
    """
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(asdict(progress)), encoding="utf-8")


class Reporter:
    """A listener that writes the progress of runs to files, and passes it on.

    Args:
        owner: what executes the runs, see `Progress`.
        listener: receives all that this one receives; None for no other.
        starts: see `Progress`.
        host: name of the machine; None for that of its network.
    """

    def __init__(
        self,
        owner: str,
        listener: ProgressListener | None = None,
        starts: tuple[str, ...] = (),
        host: str | None = None,
    ) -> None:
        self._listener, self._lock = listener, threading.Lock()
        self._blank = Progress(owner, host=host or platform.node(), process=os.getpid(), starts=starts)
        self._now: dict[Path, Progress] = {}
        self._since: dict[Path, tuple[float, int]] = {}  # time and number at the start of the phase

    def begin(self, spec: Spec) -> None:
        """Handle the start of a run."""
        self._put(spec, state="running", started=time.time())
        if self._listener:
            self._listener.begin(spec)

    def progress(self, spec: Spec, phase: str, done: int, total: int, value: float | None) -> None:
        """Handle progress of a run."""
        self._put(spec, phase=phase, done=done, total=total, value=value)
        if self._listener:
            self._listener.progress(spec, phase, done, total, value)

    def end(self, spec: Spec, record: Record) -> None:
        """Handle the end of a run."""
        cause = getattr(record, "cause", None)
        self._put(spec, state="ended", status=record.status, error=record.error, cause=cause)
        if self._listener:
            self._listener.end(spec, record)

    def interrupt(self, run: InterruptedRun) -> None:
        """Handle the interruption of a run."""
        self._put(run.spec, state="interrupted", phase=run.phase, done=run.done, total=run.total)
        if self._listener:
            self._listener.interrupt(run)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Give signs of life while the block runs, whether there is progress or not."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(BEAT_SECONDS):
                with self._lock:
                    for path, now in self._now.items():
                        if now.state == "running" and time.time() - now.updated >= BEAT_SECONDS:
                            self._write(path, now)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            for path, now in self._now.items():
                if now.state == "running":  # the runs are interrupted: this is where they stood
                    self._write(path, now)

    def _put(self, spec: Spec, **changes: Any) -> None:
        path, clock = path_of(spec.work_dir, spec.identity.run_id), time.time()
        with self._lock:
            before = self._now.get(path, self._blank)
            now = replace(before, **changes)
            if before.phase != now.phase or now.done < before.done:
                self._since[path] = clock, now.done
            since, first = self._since.get(path, (clock, now.done))
            if now.done > first and clock > since:
                now = replace(now, rate=(now.done - first) / (clock - since))
            elif before.phase != now.phase:
                now = replace(now, rate=None)
            self._now[path] = now
            is_new = (before.state, before.phase, before.started) != (now.state, now.phase, now.started)
            is_new |= now.phase == "val" and now.value is not None
            if is_new or clock - now.updated >= WRITE_SECONDS:
                self._write(path, now)

    def _write(self, path: Path, now: Progress) -> None:
        self._now[path] = replace(now, updated=time.time())
        with suppress(UserError):  # a full disk costs the display, not the run
            write(path, self._now[path])
