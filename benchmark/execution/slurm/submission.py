"""A submission to Slurm whose process was killed before it knew the jobs, while Slurm took them."""

from __future__ import annotations

import time
from contextlib import suppress

from benchmark.errors import UserError
from benchmark.execution.slurm import queue
from benchmark.execution.sweep import Manifest, Sweep

LATE_SECONDS = 60.0
"""Seconds after the start of a submission in which its jobs may appear: sbatch goes on when segbench is killed."""

UUID = 32
"""Number of characters of the name that submitit gives the file of a task until its job is known."""


def name_of(sweep: Sweep) -> str:
    """Return the name of the jobs of a sweep."""
    return f"segbench-{sweep.name}"


def recover(manifest: Manifest) -> None:
    """Assign the jobs of a submission whose process has gone to their runs, which then are not `submitting` any more.

    They are the newest array of the name of the sweep, whose tasks are in the order of the runs. While it is not known
    whether there are any, the runs stay `submitting`.
    """
    sweep = manifest.sweep
    if not sweep.submitting or _goes_on(manifest) or (found := queue.arrays(name_of(sweep))) is None:
        return
    newest, runs = max(found, default=0), sweep.submitting
    with suppress(UserError):  # of a reader who may not write
        if newest > max((int(queue.array_of(run.job)) for run in sweep.runs if run.job), default=0):
            jobs = [f"{newest}_{index}" for index in range(len(runs))] if len(runs) > 1 else [str(newest)]
            manifest.assign(dict(zip(runs, jobs, strict=True)))
        elif _age(manifest) > LATE_SECONDS:
            manifest.write(submitting=())


def complete(manifest: Manifest) -> None:
    """Give recovered jobs their tasks, as submitit does after a submission; a started job waits a minute for its own.

    Args:
        manifest: of a sweep whose jobs are known.
    """
    left = [path for path in manifest.folder.glob("*.pkl") if len(path.stem) == UUID]
    if not left or _goes_on(manifest):
        return
    from submitit.core.utils import DelayedSubmission

    jobs = {run.run_id: run.job for run in manifest.sweep.runs if run.job}
    for path in left:
        with suppress(Exception):  # written in part, or by other code: its job ends without a result
            (task,) = DelayedSubmission.load(path).args
            if job := jobs.get(task.spec.identity.run_id):
                path.rename(manifest.folder / f"{job}_submitted.pkl")


def _goes_on(manifest: Manifest) -> bool:
    """Return whether the process that submits may be alive: that of another machine is known by time alone."""
    alive = manifest.sweep.process.is_alive
    return _age(manifest) < LATE_SECONDS if alive is None else alive


def _age(manifest: Manifest) -> float:
    """Return the seconds since the manifest was written."""
    return time.time() - manifest.path.stat().st_mtime
