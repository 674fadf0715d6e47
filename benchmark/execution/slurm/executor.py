"""The executor of runs as jobs of Slurm."""

from __future__ import annotations

import io
import re
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, suppress
from datetime import datetime, timezone
from pathlib import Path

from benchmark.errors import UserError, one_line
from benchmark.execution import outcome, progress
from benchmark.execution.executor import InterruptedRun, ProgressListener, QueueListener
from benchmark.execution.lost import lost
from benchmark.execution.progress import Progress
from benchmark.execution.slurm import queue, submission
from benchmark.execution.slurm.queue import JobState
from benchmark.execution.slurm.request import JobRequest
from benchmark.execution.slurm.task import Task
from benchmark.execution.spec import Spec
from benchmark.execution.sweep import Manifest, Run, cancelled_jobs, has_started, log_of, manifests, stamp
from benchmark.results.reading import Stored, read, read_or_raise

POLL_SECONDS = 1.0
"""Seconds between looks at the files of the runs."""

QUEUE_SECONDS = 5.0
"""Seconds between questions to the controller of Slurm."""

LOST_SECONDS = 15.0
"""Seconds after the end of a job at which its run is taken for lost: a shared file system may be late."""

ARRAY = 1000
"""Maximum number of tasks of an array, one less than the default limit of Slurm."""


CANCELLED = "cancelled by segbench, in another terminal"
"""Why a run has no result."""

DEAF = """bash -c 'trap "" TERM USR2; exec "$0" "$@"'"""
"""Starts Python such that it does not die of a signal before the task handles it, a few seconds later."""


class Slurm:
    """Executes runs as tasks of a job array.

    Runs that are submitted before the first poll become one array. A run that a job of an earlier call still executes
    is attached to, and not submitted again.

    Args:
        listener: receives the progress of runs.
        manifest: manifest of the sweep.
        request: resources of each run.
        most: maximum number of concurrent runs; None for no limit but that of the cluster.
        leave: is asked whether jobs are left running when this call is interrupted; by default they are.
    """

    def __init__(
        self,
        listener: ProgressListener,
        manifest: Manifest,
        request: JobRequest,
        most: int | None = None,
        leave: Callable[[int], bool] | None = None,
    ) -> None:
        self._listener, self._manifest, self._request, self._most = listener, manifest, request, most
        self._leave = leave or (lambda jobs: True)
        self._gathered: list[Spec] = []
        self._new: list[Spec] = []
        self._jobs: list[_Job] = []
        self._limits: dict[str, int] = {}
        self._asked = 0.0

    @property
    def free_slots(self) -> int:
        """The number of further runs that may be submitted now: Slurm limits how many are concurrent."""
        return sys.maxsize

    @property
    def active(self) -> int:
        """The number of submitted runs that have not ended."""
        return len(self._gathered) + len(self._new) + len(self._jobs)

    def submit(self, spec: Spec) -> None:
        """Add a run to those that the next poll attaches to or submits."""
        self._gathered.append(spec)

    def poll(self) -> Sequence[Stored | InterruptedRun]:
        """Submit what was gathered, look at the runs; return those that have ended.

        Raises:
            UserError: Slurm refuses the jobs, or a result cannot be stored.
        """
        if self._gathered:
            self._attach()
        found = list[Stored | InterruptedRun]()
        if self._new:
            found += self._send()
        states = self._states()
        for job in list(self._jobs):
            ended = job.look(self._listener, states.get(job.name) if states else None)
            if ended is not None:
                self._jobs.remove(job)
                if isinstance(ended, Stored):
                    self._listener.end(job.spec, ended.record)
                else:
                    self._listener.interrupt(ended)
                found.append(ended)
                self._widen()
        if not found:
            time.sleep(POLL_SECONDS)
        return found

    def cancel(self) -> None:
        """Leave the active jobs running, or cancel them, as the user decides."""
        name, jobs = self._manifest.sweep.name, [job.name for job in self._jobs if not job.has_ended]
        self._jobs.clear()
        if not jobs:
            return
        work_dir = shlex.quote(str(self._manifest.work_dir))
        try:
            leaves = self._leave(len(jobs))
        except KeyboardInterrupt:
            leaves = True
        if leaves:
            print(
                f"segbench: {runs_are(len(jobs))} left to Slurm: `segbench status {name} --work-dir {work_dir}` shows "
                f"{them(len(jobs))}, with --cancel it cancels {them(len(jobs))}, and the same command attaches to "
                f"{them(len(jobs))}",
                file=sys.stderr,
            )
        else:
            queue.cancel(jobs)
            self._manifest.write(cancelled=True)
            print(f"segbench: {runs_are(len(jobs))} cancelled", file=sys.stderr)

    def _states(self) -> dict[str, JobState] | None:
        """Return the states of the jobs, if it is time to ask for them and Slurm answers."""
        if time.monotonic() - self._asked < QUEUE_SECONDS:
            return None
        states = queue.ask([job.name for job in self._jobs])
        self._asked = time.monotonic()
        return states

    def _attach(self) -> None:
        """Attach to the jobs that other calls have submitted of the gathered runs; the others are new."""
        known = self._known(self._gathered)
        gathered, self._gathered = self._gathered, []
        self._new += [spec for spec in gathered if spec.identity.run_id not in known]
        if known:
            self._manifest.assign(known)
            self._watch([spec for spec in gathered if spec.identity.run_id in known])
            whose = "its job" if len(known) == 1 else "their jobs"
            print(f"{runs_are(len(known))} with Slurm already: attached to {whose}", file=sys.stderr)

    def _send(self) -> Sequence[InterruptedRun]:
        """Submit the new runs as one array, once fewer jobs than allowed are with Slurm.

        Returns:
            The new runs, if `segbench status --cancel` has cancelled the sweep meanwhile.
        """
        room = None if self._most is None else self._most - len(self._jobs)
        if room is not None and room <= 0:
            return []
        new, self._new = self._new, []
        self._manifest.write()
        if self._manifest.sweep.cancelled:
            cancelled = [InterruptedRun.in_progress(spec, CANCELLED) for spec in new]
            for run in cancelled:
                self._listener.interrupt(run)
            return cancelled
        before, arrays = self._manifest.sweep.runs, list[str]()
        try:
            for first in range(0, len(new), ARRAY):
                part = new[first : first + ARRAY]
                names = [spec.identity.run_id for spec in part]
                self._manifest.write(submitting=names)
                jobs = self._submitted(part, room)
                self._manifest.assign(dict(zip(names, jobs, strict=True)))
                arrays.append(queue.array_of(jobs[0]))
        except BaseException:  # Ctrl-C, or sbatch refuses a part: nobody would know of these jobs
            queue.cancel_named(submission.name_of(self._manifest.sweep))
            with suppress(UserError):
                self._manifest.write(runs=before, submitting=())
            raise
        print(f"{runs_are(len(new))} submitted to Slurm, as job {', '.join(arrays)}", file=sys.stderr)
        if room is not None and len(new) > room:
            self._limits |= dict.fromkeys(arrays, room)
        self._watch(new)
        if self._manifest.sweep.cancelled:  # before the jobs were known
            queue.cancel([job.name for job in self._jobs])
        return []

    def _widen(self) -> None:
        """Let arrays that were submitted beside other jobs have the room of those that have ended."""
        for array, limit in self._limits.items():
            assert self._most is not None
            if (room := self._most - sum(queue.array_of(job.name) != array for job in self._jobs)) > limit:
                self._limits[array] = room
                queue.limit(array, room)

    def _watch(self, specs: Sequence[Spec]) -> None:
        """Look from now on at the jobs of runs that the manifest has."""
        runs = {run.run_id: run for run in self._manifest.sweep.runs}
        self._jobs += [_Job(spec, runs[spec.identity.run_id], self._manifest.path.parent) for spec in specs]
        self._asked = 0.0

    def _known(self, gathered: Sequence[Spec]) -> dict[str, str]:
        """Return the jobs of earlier calls that are to execute these runs or do so now, by run."""
        wanted, jobs = {spec.identity.run_id for spec in gathered}, dict[str, str]()
        for earlier in manifests(self._manifest.work_dir):
            if earlier.sweep.executor != "slurm" or earlier.sweep.ended is not None:
                continue
            if earlier.path == self._manifest.path:  # whose runs are repeated
                continue
            submission.recover(earlier)
            if wanted & set(earlier.sweep.submitting):
                raise UserError(
                    "another call is submitting these runs, or was killed at that, and Slurm may have their jobs: "
                    "repeat the command in a minute"
                )
            submission.complete(earlier)
            jobs |= {
                run.run_id: run.job
                for run in earlier.sweep.runs
                if run.run_id in wanted and run.job and not _has_reported(earlier, run)
            }
        states = queue.ask(list(jobs.values()))
        if states is None:
            raise UserError("squeue does not answer, and may have jobs of these runs: repeat the command later")
        return {run: job for run, job in jobs.items() if not states[job].ended}

    def _submitted(self, specs: Sequence[Spec], room: int | None) -> list[str]:
        """Submit one array; return the id of the job of each run."""
        import submitit
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        folder = self._manifest.folder
        python = self._request.python or shlex.quote(sys.executable)
        executor = submitit.SlurmExecutor(folder, python=f"{DEAF} {python}")
        executor.update_parameters(
            job_name=submission.name_of(self._manifest.sweep),
            **self._request.parameters(specs[0], len(specs) if room is None else room),
        )
        try:
            with redirect_stderr(io.StringIO()):  # submitit prints what sbatch says of a mistake
                jobs = executor.map_array(Task.__call__, [Task(spec, self._request.cache) for spec in specs])
        except (FailedJobError, FailedSubmissionError, OSError) as error:
            raise UserError(f"sbatch: {_reason(error)}") from error
        return [job.job_id for job in jobs]


def _has_reported(manifest: Manifest, run: Run) -> bool:
    """Return whether the job of a run has reported its end: it may be with Slurm for a moment more."""
    found = manifest.progress(run)
    return found is not None and found.state == "ended"


def runs_are(number: int) -> str:
    """Return the beginning of a sentence on that many runs."""
    return "1 run is" if number == 1 else f"{number} runs are"


def them(number: int) -> str:
    """Return the pronoun of that many runs."""
    return "it" if number == 1 else "them"


def _reason(error: BaseException) -> str:
    """Return what sbatch says first of an error, without its name."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = next((line for line in lines if "error:" in line), lines[0] if lines else one_line(error))
    return re.sub(r"^(sbatch:\s*)?(error:\s*)?", "", said)


class _Job:
    """A job and the run that it executes.

    Args:
        spec: the run.
        run: the run in the manifest, with its job.
        sweeps: folder of the manifests.

    Attributes:
        name: id of the job.
    """

    def __init__(self, spec: Spec, run: Run, sweeps: Path) -> None:
        assert run.job is not None
        self.spec, self.name, self._run, self._sweeps = spec, run.job, run, sweeps
        self._submitted = datetime.now(timezone.utc)
        self._seen: Progress | None = None
        self._state: JobState | None = None
        self._ended_at: float | None = None

    @property
    def has_ended(self) -> bool:
        """Whether it or its run has ended, as far as is known: there is nothing to cancel or to attach to."""
        found = self._progress()
        return (self._state is not None and self._state.ended) or (found is not None and found.state == "ended")

    def look(self, listener: ProgressListener, state: JobState | None) -> Stored | InterruptedRun | None:
        """Report its progress; return the result of its run if it has ended, or that it was cancelled.

        Args:
            listener: receives the progress.
            state: state of the job; None if it is not known now.

        Raises:
            UserError: a result cannot be stored.
        """
        if (found := self._progress()) is not None:
            if found.state == "ended":
                return read_or_raise(Path(self._run.result))
            self._report(listener, found)
        if state is not None:
            self._take(listener, state)
        if self._ended_at is not None and time.monotonic() - self._ended_at > LOST_SECONDS:
            return self._lost()
        return None

    def _progress(self) -> Progress | None:
        """Return the progress that it has reported; None for none yet."""
        found = progress.read(progress.path_of(self.spec.work_dir, self._run.run_id))
        return found if found is not None and found.owner == self.name else None

    def _report(self, listener: ProgressListener, found: Progress) -> None:
        if found.state != "running" or found == self._seen or (self._state is not None and self._state.waits):
            return
        if self._seen is None:
            listener.begin(self.spec)
        self._seen = found
        if found.phase != "starting":
            listener.progress(self.spec, found.phase, found.done, found.total, found.value)

    def _take(self, listener: ProgressListener, state: JobState) -> None:
        """Take note of the state of its job."""
        if state.waits and state != self._state and isinstance(listener, QueueListener):
            listener.wait(self.spec, state.reason)
        if state.waits:
            self._seen = None
        self._state = state
        if not state.ended:
            self._ended_at = None
        elif self._ended_at is None:
            self._ended_at = time.monotonic()

    def _lost(self) -> Stored | InterruptedRun:
        """Return the result of a run whose job ended and did not report it; none if segbench has cancelled it."""
        assert self._state is not None
        path = Path(self._run.result)
        if stamp(path) not in (None, self._run.before) and isinstance(stored := read(path), Stored):
            return stored
        log = log_of(self._run, self._sweeps)
        state = self._state.checked(has_started=has_started(self._run, self._sweeps))
        if state.may_be_cancelled and self.name in cancelled_jobs(self._sweeps.parent):
            return InterruptedRun.in_progress(self.spec, CANCELLED)
        status, cause, error = state.end(log)
        tail = outcome.log_tail(log, cause=cause) or None
        return lost(self.spec, error, self._submitted, status=status, cause=cause, log_tail=tail)
