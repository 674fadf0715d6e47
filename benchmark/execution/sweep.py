"""The manifest of a sweep: which runs one call makes, on what, and who is in charge of them.

`segbench status` reads it, in another terminal or later. It is in the work folder, as `sweeps/<name>.json`.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

from benchmark.errors import UserError
from benchmark.execution import log, progress
from benchmark.execution.progress import Progress
from benchmark.files.atomic import replacing

if TYPE_CHECKING:
    from benchmark.execution.plan import Job

FOLDER = "sweeps"
"""Folder of the manifests in the work folder."""

KEPT = 20
"""The number of ended sweeps whose manifests are kept."""


@dataclass(frozen=True)
class Process:
    """A process of some machine; another one with the same number is not taken for it.

    Attributes:
        host: name of the machine.
        number: its id there.
        start: its start on the clock of the kernel, with the start of the kernel; None if the system does not say.
    """

    host: str
    number: int
    start: str | None

    @classmethod
    def here(cls) -> Process:
        """Return this process."""
        return cls(platform.node(), os.getpid(), _start(os.getpid()))

    @property
    def is_alive(self) -> bool | None:
        """Whether it is running; None on another machine."""
        if self.host != platform.node():
            return None
        if self.start is not None:
            return _start(self.number) == self.start
        try:
            os.kill(self.number, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


def _start(process: int) -> str | None:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        state, *fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else f"{boot} {fields[18]}"


@dataclass(frozen=True)
class Run:
    """A run of a sweep.

    Attributes:
        run_id: its id.
        architecture: name of the architecture.
        protocol: name of the protocol.
        seed: its seed.
        folder: its folder of weights and logs.
        seconds: estimate of its time; 0 for none.
        result: the JSON file that its result will be.
        before: stamp of a result that is there already and will be replaced; None for none.
        job: job of Slurm that executes it; None for none yet, or on this machine.
    """

    run_id: str
    architecture: str
    protocol: str
    seed: int
    folder: str
    seconds: float
    result: str
    before: str | None = None
    job: str | None = None


@dataclass(frozen=True)
class Sweep:
    """A manifest.

    Attributes:
        name: its name, unique in its work folder.
        command: the command that made it.
        executor: "local", "debug", "slurm" or another executor.
        results: folder of the store.
        process: the process that submits the runs and, unless Slurm does, executes them.
        created: time of its creation, in seconds since 1970.
        runs: its runs.
        most: maximum number of concurrent runs; None if it is not known.
        cancelled: whether its jobs were cancelled.
        submitting: ids of the runs that are being submitted to Slurm, in order; empty once their jobs are known.
        ended: time of its end; None before.
        last: last progress of the runs of a sweep that has ended, by run.
    """

    name: str
    command: str
    executor: str
    results: str
    process: Process
    created: float
    runs: tuple[Run, ...]
    most: int | None = None
    cancelled: bool = False
    submitting: Sequence[str] = ()
    ended: float | None = None
    last: Mapping[str, Progress] = field(default_factory=dict)


class Manifest:
    """The manifest of a sweep in its file.

    Args:
        path: the file.
        sweep: its content.
    """

    def __init__(self, path: Path, sweep: Sweep) -> None:
        self.path, self.sweep = path, sweep

    @classmethod
    def create(cls, jobs: Sequence[Job], executor: str, most: int | None, command: str) -> Manifest:
        """Write the manifest of a new sweep, and remove those of old ones.

        Raises:
            UserError: the folder is not writable.
        """
        work_dir = jobs[0].spec.work_dir.absolute()
        tidy(work_dir)
        name = time.strftime("%Y%m%d-%H%M%S-") + token_hex(2)
        runs = tuple(_run(job) for job in jobs)
        results = str(jobs[0].spec.results.absolute())
        sweep = Sweep(name, command, executor, results, Process.here(), time.time(), runs, most)
        found = cls(work_dir / FOLDER / f"{name}.json", sweep)
        found.write()
        return found

    @classmethod
    def read(cls, path: Path) -> Manifest | None:
        """Read a manifest; None if it is missing or not readable."""
        with suppress(OSError, ValueError, TypeError, KeyError):
            plain = json.loads(path.read_text(encoding="utf-8"))
            plain["process"], plain["runs"] = Process(**plain["process"]), tuple(Run(**run) for run in plain["runs"])
            plain["last"] = {name: Progress(**each) for name, each in plain["last"].items()}
            return cls(path, Sweep(**plain))
        return None

    @property
    def work_dir(self) -> Path:
        """The work folder."""
        return self.path.parent.parent

    @property
    def folder(self) -> Path:
        """The folder of other files of the sweep, such as those of its jobs."""
        return self.path.with_suffix("")

    def write(self, **changes: object) -> None:
        """Change attributes of the sweep and write the file.

        That another process has cancelled its jobs meanwhile is kept.

        Raises:
            UserError: the folder is not writable.
        """
        self.sweep = replace(self.sweep, **changes)  # type: ignore[arg-type]
        if (now := Manifest.read(self.path)) and now.sweep.cancelled:
            self.sweep = replace(self.sweep, cancelled=True)
        with replacing(self.path) as temporary:
            temporary.write_text(json.dumps(asdict(self.sweep)), encoding="utf-8")

    def assign(self, jobs: Mapping[str, str]) -> None:
        """Write which jobs execute runs, by run."""
        runs = (replace(run, job=jobs.get(run.run_id, run.job)) for run in self.sweep.runs)
        self.write(runs=tuple(runs), submitting=[name for name in self.sweep.submitting if name not in jobs])

    def progress(self, run: Run) -> Progress | None:
        """Return the progress of a run in this sweep; None before its start."""
        found = progress.read(progress.path_of(self.work_dir, run.run_id))
        if found is None or found.owner != (run.job or self.sweep.name):
            return self.sweep.last.get(run.run_id)
        return found

    @contextmanager
    def executed(self) -> Iterator[None]:
        """Mark the end of the sweep at the end of the block, unless jobs are left running."""
        try:
            yield
        except BaseException:
            if self.sweep.executor != "slurm" or self.sweep.cancelled:
                self.end()
            raise
        self.end()

    def end(self, lost: Mapping[str, Progress] | None = None) -> None:
        """Mark its end, and move the progress of its runs into the manifest.

        Args:
            lost: the end of runs that have not reported it, by run.
        """
        last = {run.run_id: found for run in self.sweep.runs if (found := self.progress(run))} | dict(lost or {})
        with suppress(UserError):  # of a reader who may not write
            self.write(ended=time.time(), last=last)
            for name in last:
                progress.path_of(self.work_dir, name).unlink(missing_ok=True)
        with suppress(OSError):  # others are in progress
            (self.work_dir / progress.FOLDER).rmdir()


def manifests(work_dir: Path) -> list[Manifest]:
    """Return the manifests of a work folder, oldest first."""
    found = (Manifest.read(path) for path in sorted((work_dir / FOLDER).glob("*.json")))
    return sorted((each for each in found if each), key=lambda each: each.sweep.created)


def cancelled_jobs(work_dir: Path) -> set[str]:
    """Return the jobs of the sweeps of a work folder that segbench was asked to cancel."""
    return {run.job for each in manifests(work_dir) if each.sweep.cancelled for run in each.sweep.runs if run.job}


def tidy(work_dir: Path) -> None:
    """Mark the end of sweeps whose process has gone, and remove the oldest ones that have ended."""
    found = manifests(work_dir)
    for each in found:
        if each.sweep.ended is None and _is_lost(each.sweep):
            each.end()
    for each in [each for each in found if each.sweep.ended is not None][:-KEPT]:
        each.path.unlink(missing_ok=True)
        shutil.rmtree(each.folder, ignore_errors=True)


def _is_lost(sweep: Sweep) -> bool:
    return sweep.executor != "slurm" and sweep.process.is_alive is False


def _run(job: Job) -> Run:
    from benchmark.results.layout import result

    spec = job.spec
    run_id = spec.identity.run_id
    path = spec.results.absolute() / result(spec.protocol_name, spec.name, run_id)
    place = str(spec.folder.absolute())
    return Run(
        run_id, spec.architecture, spec.protocol_name, spec.seed, place, job.seconds, str(path), before=stamp(path)
    )


def stamp(path: Path) -> str | None:
    """Return what changes when a file is replaced; None if it is missing."""
    try:
        found = path.stat()
    except OSError:
        return None
    return f"{found.st_mtime_ns} {found.st_size} {found.st_ino}"


def log_of(run: Run, sweeps: Path) -> bytes:
    """Return the end of what the last process of a run has printed: in its own log, and in that of its job.

    Args:
        run: the run.
        sweeps: folder of the manifests; the logs of jobs are in the folder of the sweep that submitted them.
    """
    paths = [Path(run.folder, log.FILE), *_job_logs(run, sweeps)]
    return b"\n".join(found for path in paths if (found := log.last_output(path)))


def has_started(run: Run, sweeps: Path) -> bool:
    """Return whether the job of a run has been started: Slurm makes its log then.

    Args:
        run: the run.
        sweeps: folder of the manifests.
    """
    return bool(_job_logs(run, sweeps))


def _job_logs(run: Run, sweeps: Path) -> list[Path]:
    return list(sweeps.glob(f"*/{run.job}_0_log.err")) if run.job else []
