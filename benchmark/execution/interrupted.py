"""The partial record of an interrupted run, stored in its folder so that the next call resumes it.

The engine stores the state of its training in the same folder; this is the rest of the result.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.errors import UserError
from benchmark.files import lock
from benchmark.files.atomic import replacing
from benchmark.results.arrays import file_sha256
from benchmark.results.migrations import RECORD, migrate
from benchmark.results.record import Record, Training

FILE = "unfinished.json"

KEEP_SECONDS = 30.0
"""The maximum number of seconds of a run that are not counted after a kill."""


@dataclass(frozen=True)
class ResumableRun:
    """A run that can be resumed.

    Attributes:
        iteration: completed iterations of its training.
        record: its measurements so far, including the seconds that it took.
    """

    iteration: int
    record: Record


class Journal:
    """Stores the measurements and the elapsed time of a run while it is active, so that a kill loses neither.

    Args:
        folder: folder of the run.
        initial: its record from earlier calls.
        on_progress: receives its progress.
        on_gpu: whether it runs on GPUs.
        first_stage: iterations of the first of two stages; 0 if there is one stage.
        processes: number of its processes, each on a GPU of its own.

    Attributes:
        record: the measurements so far.
        reached: last phase of training or evaluation, its completed iterations or images, and their total.
    """

    def __init__(
        self,
        folder: Path,
        initial: Record,
        on_progress: Callable[[str, int, int, float | None], None],
        *,
        on_gpu: bool,
        first_stage: int = 0,
        processes: int = 1,
    ) -> None:
        self._folder, self._initial, self._on_progress = folder, initial, on_progress
        self._gpus = processes if on_gpu else 0
        self._stages = {"first_stage": 0, "train": first_stage}
        self._clock = self._kept = time.perf_counter()
        self._iteration = self._resumable = 0
        self._record = initial
        self.reached: tuple[str, int, int] = ("train", 0, 0)

    @property
    def record(self) -> Record:
        """The measurements so far, with the elapsed seconds of all calls."""
        seconds = time.perf_counter() - self._clock
        hours = self._initial.gpu_hours + self._gpus * seconds / 3600
        return self._record.model_copy(update={"seconds": self._initial.seconds + seconds, "gpu_hours": hours})

    def add(self, found: Mapping[str, Any]) -> None:
        """Update fields of the record and store it."""
        self._record = self._record.model_copy(update=found)
        if not found.keys() & {"status"}:
            self.keep()

    def on_progress(self, phase: str, done: int, total: int, loss: float | None) -> None:
        """Report progress of the run; store its elapsed seconds at intervals."""
        if phase in self._stages:
            if self._iteration < 0:  # the validation has ended and the state is saved
                self._resumable = -self._iteration
            self._iteration = self._stages[phase] + done
        elif phase == "val":
            self._iteration = -abs(self._iteration)
        if phase != "profile":
            self.reached = phase, done, total
        if time.perf_counter() - self._kept > KEEP_SECONDS:
            self.keep()
        self._on_progress(phase, done, total, loss)

    def keep(self, iteration: int | None = None) -> None:
        """Write the measurements so far.

        Args:
            iteration: iteration from which an interrupted training resumes; by default that of its last validation.
        """
        self._kept = time.perf_counter()
        training = self._record.training
        done = _iterations(training) if training else self._resumable if iteration is None else iteration
        save(self._folder, ResumableRun(done, self.record))


def _iterations(training: Training) -> int:
    """Convert to iterations of all stages."""
    return training.iterations + (training.first_stage.iterations if training.first_stage else 0)


def save(folder: Path, run: ResumableRun) -> None:
    """Store it in the folder of the run."""
    content = {"iteration": run.iteration, "record": run.record.model_dump(mode="json")}
    with replacing(folder / FILE) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")


def find(folder: Path) -> ResumableRun | None:
    """Return the resumable run in a folder; None if it is missing or not readable."""
    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        plain = json.dumps(migrate(content["record"], RECORD))
        return ResumableRun(content["iteration"], Record.model_validate_json(plain, strict=True))
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def remove(folder: Path) -> None:
    """Remove it, as the run has ended."""
    (folder / FILE).unlink(missing_ok=True)


def remove_all(folder: Path) -> None:
    """Remove the folder of a run that has ended, and this file last, so that `clear` recognizes what a kill leaves."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != FILE:
            path.unlink()
    shutil.rmtree(folder)
    _prune(folder)


def _prune(folder: Path) -> None:
    """Remove the folders of the architecture and the protocol of a run, if it was the last one there."""
    for each in (folder.parent, folder.parent.parent):
        with suppress(OSError):  # a kill may have left the second one alone
            each.rmdir()


def clear(folder: Path, *, keep: bool) -> None:
    """Remove what a process has left that was killed after it had stored the successful result of a run.

    Args:
        folder: folder of the run.
        keep: keep its weights.
    """
    if not folder.is_dir():
        _prune(folder)
        return
    left = {path.name for path in folder.iterdir()}
    if FILE in left or left <= {lock.FILE}:  # otherwise they are kept weights
        with suppress(UserError), lock.exclusive(folder):  # unless another process does so just now
            if keep:
                remove(folder)
            else:
                remove_all(folder)


def has_weights(folder: Path, found: Record) -> bool:
    """Return whether the weights of a finished training are in its folder, unchanged."""
    kept = {f"checkpoint_{name}": folder / f"{name}.pth" for name in ("last", "best")}
    stored = {artifact.name: artifact.sha256 for artifact in found.artifacts}
    return all(path.is_file() and file_sha256(path) == stored.get(name) for name, path in kept.items())
