"""What a job of Slurm does: one run, in a worker process under supervision, until it ends or the job must give way.

Slurm starts the same task again after the failure of its node. Before its time limit, and before the job is preempted,
Slurm sends a signal: the run then stops in a state from which it resumes bit-exactly, and the job requeues itself.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from multiprocessing import resource_tracker

from benchmark.errors import UserError
from benchmark.execution import interrupted, progress, ranks
from benchmark.execution.executor import InterruptedRun
from benchmark.execution.isolated import isolated
from benchmark.execution.lost import lost
from benchmark.execution.progress import Reporter
from benchmark.execution.slurm import queue
from benchmark.execution.spec import Spec
from benchmark.files.lock import exclusive
from benchmark.warning import warn

SIGNALS = (signal.SIGUSR2, signal.SIGTERM)
"""Sent before the time limit, and before a preemption or a cancellation."""

STARTS = 3
"""The number of starts at the same point of a run after which it is given up."""

CLEARED_SECONDS = 120.0
"""Seconds in which the lock of a failed node on the folder of its run is released, by a server of files, too."""


@dataclass(frozen=True)
class Task:
    """A run, as it is sent to its job.

    Attributes:
        spec: the run.
        cache: folder of decoded data on the node, with variables of its environment; None for that of the user.
    """

    spec: Spec
    cache: str | None = None

    def __call__(self) -> None:
        """Execute the run, or the processes of this node. Its result is in the store, its progress in a file."""
        stop = _requests()
        if self.cache:
            _use_cache(os.path.expandvars(self.cache))
        spec, job = self.spec, job_of(os.environ)
        if spec.nodes > 1 and ranks.node().index > 0:
            ranks.follow(spec)
            return
        path = progress.path_of(spec.work_dir, spec.identity.run_id)
        before = progress.read(path)
        starts, point = before.starts if before and before.owner == job else (), _point(spec)
        reporter = Reporter(job, starts=(*starts, point)[-STARTS:], host=os.environ.get("SLURMD_NODENAME"))
        if starts == (point,) * STARTS:
            error = f"the job was started {STARTS} times without progress: ask for more time or another node"
            reporter.end(spec, lost(spec, error, status="timed_out", cause="time_limit").record)
            return
        with reporter.beating():
            reporter.begin(spec)  # so that this start counts whatever becomes of it
            _wait_for(spec)
            try:
                ended = isolated(spec, reporter, stop=stop)
            except UserError as error:  # costs this run alone; if it cannot be recorded either, the terminal tries to
                reporter.end(spec, lost(spec, str(error), cause="exception").record)
                return
        if isinstance(ended, InterruptedRun) and ended.elsewhere:
            # Otherwise nobody would know why the job has no result.
            reporter.end(spec, lost(spec, ended.elsewhere, cause="exception").record)
        elif isinstance(ended, InterruptedRun) and stop.is_set() and queue.runs_on(job):
            queue.requeue(job)


def job_of(variables: os._Environ[str]) -> str:
    """Return the id of the job of this process; of a task of an array, ARRAY_TASK."""
    array = variables.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{variables['SLURM_ARRAY_TASK_ID']}" if array else variables["SLURM_JOB_ID"]


def _requests() -> threading.Event:
    """Return an event that the signals of Slurm set.

    Slurm sends them to every process of the job. They are blocked in all but the thread that waits for them, and in
    processes that are started from here: a worker unblocks the one that asks it to stop.
    """
    stop = threading.Event()
    resource_tracker.ensure_running()  # unblocks SIGTERM when it is started
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

    def wait() -> None:
        signal.sigwait(SIGNALS)
        stop.set()

    threading.Thread(target=wait, daemon=True).start()
    return stop


def _wait_for(spec: Spec) -> None:
    """Wait until a process of an earlier start has released the folder of the run; whether it does is told later."""
    end = time.monotonic() + CLEARED_SECONDS
    while time.monotonic() < end:
        try:
            with exclusive(spec.folder):
                return
        except UserError:
            time.sleep(2.0)


def _use_cache(folder: str) -> None:
    """Keep decoded data in a folder of the node, unless its name has a variable that is not set there."""
    if "$" in folder:
        warn(f"segbench: warning: cache {folder}: a variable is not set on this node; the user's cache is used")
    else:
        os.environ["SEGBENCH_CACHE"] = folder


def _point(spec: Spec) -> str:
    """Return where a run stands: the iteration of its state, and what is measured."""
    found = interrupted.find(spec.folder)
    state = spec.folder / "resume.pth"
    stamp = state.stat().st_mtime_ns if state.exists() else 0
    return f"{found.iteration} {bool(found.record.memory)} {bool(found.record.training)} {stamp}" if found else "0"
