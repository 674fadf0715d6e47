"""How each run of a sweep stands: from its manifest, the progress files, the store, and Slurm.

No process is asked and nothing heavy imported, so that `segbench status` takes a fraction of a second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from benchmark.execution.progress import Progress
from benchmark.execution.slurm import queue, submission
from benchmark.execution.slurm.queue import JobState
from benchmark.execution.sweep import Manifest, Run, cancelled_jobs, has_started, log_of, stamp

State = Literal[
    "done", "failed", "running", "unresponsive", "requeued", "pending", "interrupted", "cancelled", "unknown"
]

ENDED = ("done", "failed")
"""States of runs that have an outcome."""

ACTIVE = ("running", "unresponsive", "requeued", "pending", "unknown")
"""States of runs that somebody is to end."""

SILENT_SECONDS = 20.0
"""Seconds without a sign of life after which a run is called unresponsive; there is one every few seconds."""


@dataclass(frozen=True)
class RunStatus:
    """How a run stands.

    Attributes:
        run: the run.
        state: "done"; "failed"; "running"; "unresponsive", if it is running as far as is known, and gave no sign of
            life; "requeued", if its job waits to be started again; "pending"; "interrupted", if nobody executes it and
            it has no result; "cancelled"; "unknown", if Slurm does not answer.
        progress: how far it was at its last sign of life.
        starting: whether that was before the current start of its job.
        silent: seconds since its last sign of life.
        node: where it runs or ran.
        reason: why it waits, to be started or, as a suspended job, to be continued.
        error: why it failed, in one line.
        cause: why it failed, see `results.record`.
    """

    run: Run
    state: State
    progress: Progress | None = None
    starting: bool = False
    silent: float | None = None
    node: str | None = None
    reason: str | None = None
    error: str | None = None
    cause: str | None = None


@dataclass(frozen=True)
class SweepStatus:
    """How a sweep stands.

    Attributes:
        manifest: its manifest.
        runs: its runs.
        seconds_left: estimate of the time to its end; None if there is nothing to base it on.
    """

    manifest: Manifest
    runs: Sequence[RunStatus]
    seconds_left: float | None

    @property
    def counts(self) -> Counter[str]:
        """The number of runs in each state."""
        return Counter(run.state for run in self.runs)

    @property
    def active(self) -> bool:
        """Whether any run is to be ended by somebody."""
        return any(run.state in ACTIVE for run in self.runs)

    @property
    def exit_code(self) -> int:
        """0 if all runs are done, 1 if all have ended and some failed, 3 if some have not ended."""
        if any(run.state not in ENDED for run in self.runs):
            return 3
        return 1 if self.counts["failed"] else 0


def look(manifest: Manifest, now: float) -> SweepStatus:
    """Find out how a sweep stands; note its end if nobody else does.

    Args:
        manifest: its manifest.
        now: the time, in seconds since 1970.
    """
    sweep = manifest.sweep
    found = [_run(manifest, run, now) for run in sweep.runs]
    if sweep.executor == "slurm":
        submission.recover(manifest)
        if manifest.sweep is not sweep:  # jobs were found
            sweep = manifest.sweep
            found = [_run(manifest, run, now) for run in sweep.runs]
        jobs = [status.run.job for status in found if status.state not in ENDED and status.run.job]
        states = queue.ask(jobs)
        found = [status if status.state in ENDED else _of_job(manifest, status, states, now) for status in found]
        if sweep.ended is None and not sweep.process.is_alive and all(status.state in ENDED for status in found):
            manifest.end({status.run.run_id: _end(status) for status in found})
    return SweepStatus(manifest, found, _seconds_left(found, sweep.most, now))


def _run(manifest: Manifest, run: Run, now: float) -> RunStatus:
    """Return how a run stands, as far as it can be known without Slurm."""
    sweep, progress = manifest.sweep, manifest.progress(run)
    node = progress.host if progress else None
    if progress and progress.state == "ended":
        state: State = "done" if progress.status == "ok" else "failed"
        return RunStatus(run, state, progress, node=node, error=progress.error, cause=progress.cause)
    if stamp(Path(run.result)) not in (None, run.before) and (stored := _stored(run)):
        return replace(stored, progress=progress, node=node)
    silent = None if progress is None else max(0.0, now - progress.updated)
    alive = sweep.ended is None and sweep.process.is_alive is not False
    if sweep.cancelled:
        return RunStatus(run, "cancelled", progress, node=node)
    if not alive or (progress and progress.state == "interrupted"):
        return RunStatus(run, "interrupted", progress, silent=silent, node=node)
    if progress is None:
        return RunStatus(run, "pending")
    state = "unresponsive" if silent and silent > SILENT_SECONDS else "running"
    return RunStatus(run, state, progress, silent=silent, node=node)


def _stored(run: Run) -> RunStatus | None:
    """Return how a run stands that has a result, and was ended before it could say so."""
    from benchmark.results.reading import Problem, read

    found = read(Path(run.result))
    if isinstance(found, Problem):
        return None
    record = found.record
    state: State = "done" if record.status == "ok" else "failed"
    return RunStatus(run, state, error=record.error, cause=record.cause)


def _of_job(manifest: Manifest, status: RunStatus, states: Mapping[str, JobState] | None, now: float) -> RunStatus:
    """Return how a run without a result stands, given the states of jobs."""
    run, progress, sweep = status.run, status.progress, manifest.sweep
    if run.job is None:  # being submitted, unless its process was killed
        alive = sweep.ended is None and sweep.process.is_alive is not False
        may_be = run.run_id in sweep.submitting
        return RunStatus(run, "pending" if alive else "unknown" if may_be else "interrupted")
    if states is None:
        return RunStatus(run, "unknown", progress, silent=status.silent, node=status.node)
    job = states[run.job].checked(has_started=has_started(run, manifest.path.parent))
    if job.waits:
        return RunStatus(run, "requeued" if progress else "pending", progress, reason=job.reason)
    if job.may_be_cancelled and (sweep.cancelled or run.job in cancelled_jobs(manifest.work_dir)):
        return RunStatus(run, "cancelled", progress, node=job.node)
    if job.ended:
        _, cause, error = job.end(log_of(run, manifest.path.parent))
        return RunStatus(run, "failed", progress, node=job.node, error=error, cause=cause)
    if progress is None or progress.state == "interrupted" or progress.started < job.started - 1:
        reason = job.state if job.is_suspended else None
        return RunStatus(run, "running", progress, starting=True, node=job.node, reason=reason)
    silent = max(0.0, now - progress.updated)
    if job.is_suspended:
        reason, progress = job.state, replace(progress, rate=None)  # it does not progress now
        return RunStatus(run, "running", progress, silent=silent, node=job.node, reason=reason)
    state: State = "unresponsive" if silent > SILENT_SECONDS else "running"
    return RunStatus(run, state, progress, silent=silent, node=job.node)


def _end(status: RunStatus) -> Progress:
    """Return the last progress of a run that has ended, as it is noted for later."""
    if status.progress and status.progress.state == "ended":
        return status.progress
    before = status.progress or Progress(status.run.job or "")
    ok = status.state == "done"
    return replace(before, state="ended", status="ok" if ok else "failed", error=status.error, cause=status.cause)


def _seconds_left(found: Sequence[RunStatus], most: int | None, now: float) -> float | None:
    """Estimate the time to the end: runs are as long as those that are done, or as the trainings in progress."""
    taken = [
        progress.updated - progress.started
        for status in found
        if status.state == "done" and (progress := status.progress) and progress.started
    ]
    running = [status for status in found if status.state in ("running", "unresponsive")]
    rests = [_rest(status, taken, now) for status in running]
    waiting = [status for status in found if status.state in ("pending", "requeued")]
    if not taken:
        taken = [
            rest + now - progress.started
            for status, rest in zip(running, rests, strict=True)
            if rest is not None and (progress := status.progress)
        ]
    typical = sum(taken) / len(taken) if taken else None
    each = [typical if rest is None else rest for rest in rests]
    each += [status.run.seconds or typical for status in waiting]
    known = [seconds for seconds in each if seconds is not None]
    if len(known) < len(each):
        return None
    width = max(1, len(running)) if running else most or max(1, len(waiting))
    return max([sum(known) / width, *known], default=0.0)


def _rest(status: RunStatus, taken: Sequence[float], now: float) -> float | None:
    """Estimate the time to the end of a running run."""
    progress = status.progress
    if progress is None or status.starting:
        return None
    phase = progress.seconds_left if progress.phase in ("train", "first_stage") else None
    if not taken:
        return phase
    return max(phase or 0.0, sum(taken) / len(taken) - (now - progress.started), 0.0)


def log_tail(status: RunStatus, manifest: Manifest, most: int | None = None) -> list[str]:
    """Return the last lines that the processes of a run have printed: those of its record, if it has them.

    The log of the run may have been written by an earlier attempt, or not at all if the disk is full.

    Args:
        status: the run.
        manifest: manifest of its sweep.
        most: maximum number of lines; None for as many as records keep.
    """
    from benchmark.execution import outcome

    if status.state == "failed" and (kept := _kept_tail(status.run)):
        return outcome.log_tail("\n".join(kept).encode(), most or outcome.LOG_LINES)
    return outcome.log_tail(log_of(status.run, manifest.path.parent), most or outcome.LOG_LINES, status.cause)


def _kept_tail(run: Run) -> list[str] | None:
    """Return the end of the log in the record of a run; None if there is none of this sweep."""
    from benchmark.results.reading import Stored, read

    if stamp(Path(run.result)) in (None, run.before):
        return None
    found = read(Path(run.result))
    return found.record.log_tail if isinstance(found, Stored) and found.record.status != "ok" else None
