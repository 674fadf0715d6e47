"""The states of jobs, as Slurm reports them: its queue, and its accounting if there is any."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from benchmark.errors import UserError, one_line

COMMAND_SECONDS = 60.0
"""Timeout of a command of Slurm."""

WAITING = ("PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD", "CONFIGURING")
ACTIVE = ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING")

GONE = "GONE"
"""State of a job that Slurm does not know any more."""

FIRST_ENDED = "FIRST_ENDED"
"""State of a job that Slurm ended because its process on one node had ended; has no name in Slurm."""

ENDS = {
    "CANCELLED": ("failed", "cancelled", "the job was cancelled"),
    "OUT_OF_MEMORY": ("out_of_memory", "out_of_memory", "Slurm killed the job for its memory: ask for more with --mem"),
    "TIMEOUT": ("timed_out", "time_limit", "the time limit of the job ended: ask for more with --time"),
    "DEADLINE": ("timed_out", "time_limit", "the deadline of the job passed"),
    "NODE_FAIL": ("failed", "node_failed", "the node failed, and Slurm did not requeue the job"),
    "BOOT_FAIL": ("failed", "node_failed", "the node did not start"),
    "PREEMPTED": ("failed", "cancelled", "the job was preempted, and Slurm did not requeue it"),
    FIRST_ENDED: ("failed", "lost", "the processes on one node of the job ended before the others: see the log there"),
}
"""Status, cause and error of a run whose job ended in a state without leaving a result."""


SAID = (
    ("(?i)exceeded (job )?memory limit|oom.kill|out.of.memory", "OUT_OF_MEMORY"),
    ("DUE TO TIME LIMIT", "TIMEOUT"),
    ("DUE TO NODE FAILURE", "NODE_FAIL"),
    ("DUE TO PREEMPTION", "PREEMPTED"),
    ("First task exited", FIRST_ENDED),  # before what follows from it
    ("CANCELLED AT", "CANCELLED"),
)
"""What the daemons of Slurm write into the log of a job, and the state that it means."""


@dataclass(frozen=True)
class JobState:
    """The state of a job.

    Attributes:
        job: its id; of a task of an array, ARRAY_TASK.
        state: its state, in the words of Slurm, or `GONE`.
        reason: why it waits, or why it ended so.
        node: the node or nodes that it runs on, or ran on.
        started: time of its last start, in seconds since 1970; 0 if it has none or it is not known.
        is_inferred: whether Slurm has no record of its own of this task of an array, which it has of each task that has
            started: it is the state of a task that was cancelled before.
    """

    job: str
    state: str
    reason: str = ""
    node: str = ""
    started: float = 0.0
    is_inferred: bool = False

    @property
    def waits(self) -> bool:
        """Whether it is to be started, again or for the first time."""
        return self.state in WAITING

    @property
    def is_suspended(self) -> bool:
        """Whether its processes are stopped, and will be continued."""
        return self.state in ("SUSPENDED", "STOPPED")

    @property
    def ended(self) -> bool:
        """Whether it will not run any more."""
        return self.state not in (*WAITING, *ACTIVE)

    @property
    def may_be_cancelled(self) -> bool:
        """Whether it was cancelled, ends now, or has ended so long ago that Slurm has forgotten how."""
        return self.state in ("CANCELLED", "COMPLETING", GONE)

    def checked(self, *, has_started: bool) -> JobState:
        """Return the state given whether the job has started: then an inferred one is not its own, but forgotten."""
        return JobState(self.job, GONE) if self.is_inferred and has_started else self

    def end(self, log: bytes = b"") -> tuple[str, str, str]:
        """Return status, cause and error of its run, which left no result.

        Args:
            log: what the job has printed; tells more than a state such as FAILED.
        """
        other = f"the job ended without a result (state {self.state}, {self.reason or 'no reason given'})"
        if self.state == GONE:
            other = "the job ended without a result, and Slurm does not know it any more"
        status, cause, error = ENDS.get(self.state) or ENDS.get(_said(log), ("failed", "lost", other))
        return status, cause, f"{error} (job {self.job}{f' on {self.node}' if self.node else ''})"


def _said(log: bytes) -> str:
    """Return the state that the daemons of Slurm name in the log of a job, or an empty text."""
    lines = [line for line in log.decode(errors="replace").splitlines() if line.startswith(("slurmstepd", "srun"))]
    return next((state for words, state in SAID if any(re.search(words, line) for line in lines)), "")


def require() -> None:
    """Check that jobs can be submitted.

    Raises:
        UserError: a command of Slurm is missing.
    """
    if missing := [name for name in ("sbatch", "srun", "squeue", "scancel") if shutil.which(name) is None]:
        raise UserError(
            f"--executor slurm needs {', '.join(missing)}: call segbench on a machine that submits jobs of the cluster "
            "(Debian: apt-get install slurm-client)"
        )


def ask(jobs: Collection[str]) -> dict[str, JobState] | None:
    """Return the state of each job; None if Slurm does not answer."""
    if not jobs:
        return {}
    arrays = ",".join(sorted({array_of(job) for job in jobs}))
    done = _call("squeue", "-h", "-r", "-t", "all", "-j", arrays, "-o", "%F|%K|%S|%T|%r|%N")
    if done is None or (done.returncode and "Invalid job id" not in done.stderr):
        return None
    found = dict(_queued(done.stdout.splitlines()))
    if missing := [job for job in jobs if job not in found]:
        found |= _accounted(missing)
    return {job: found.get(job) or _unlisted(job, found) for job in jobs}


def array_of(job: str) -> str:
    """Return the array of a job, or the job itself if it is none of an array."""
    return job.partition("_")[0]


def arrays(name: str) -> list[int] | None:
    """Return the ids of the arrays, or of single jobs, of a name; None if Slurm does not answer."""
    done = _call("squeue", "-h", "-t", "all", "--name", name, "-o", "%F")
    return None if done is None or done.returncode else [int(line) for line in done.stdout.split()]


def _queued(lines: Iterable[str]) -> Iterable[tuple[str, JobState]]:
    """Return states by job; the tasks of an array that were cancelled before they started are one line of the array."""
    for line in lines:
        array, task, start, state, reason, node = (line.split("|") + [""] * 6)[:6]
        job = f"{array}_{task}" if task.isdigit() else array
        started = float(start) if start.isdigit() and state not in WAITING else 0.0
        yield job, JobState(job, state, "" if reason == "None" else reason, node, started)


def _unlisted(job: str, found: Mapping[str, JobState]) -> JobState:
    """Return the state of a job that is not listed, given the states of those that are.

    A task of an array that is cancelled before it has started leaves the list at once, the others minutes after their
    end.
    """
    array = array_of(job)
    if array in found and found[array].ended:  # the tasks that had not started have ended together
        return replace(found[array], job=job, is_inferred=True)
    if any(array_of(other) == array for other in found):
        return JobState(job, "CANCELLED", is_inferred=True)
    return JobState(job, GONE)


def _accounted(jobs: Collection[str]) -> dict[str, JobState]:
    """Ask the accounting, which few test clusters have, for jobs that have left the queue."""
    if shutil.which("sacct") is None:
        return {}
    done = _call("sacct", "-X", "-n", "-P", "-D", "-j", ",".join(jobs), "-o", "JobID,State,Reason,NodeList")
    if done is None or done.returncode:
        return {}
    found = {}
    for line in done.stdout.splitlines():
        name, state, reason, node = (line.split("|") + [""] * 4)[:4]
        for job in _jobs(name):
            found[job] = JobState(job, state.partition(" ")[0], "" if reason == "None" else reason, node)
    return found


def _jobs(name: str) -> Iterable[str]:
    """Return the jobs of a line of the accounting: one, or tasks that have not started, such as 7_[1-3,5%2]."""
    array, bracket, tasks = name.partition("_[")
    if not bracket:
        return [name]
    parts = re.findall(r"(\d+)(?:-(\d+))?(?::(\d+))?", tasks.partition("%")[0])
    return [
        f"{array}_{i}" for first, last, step in parts for i in range(int(first), int(last or first) + 1, int(step or 1))
    ]


def cancel(jobs: Collection[str]) -> None:
    """Cancel jobs, those that have ended excepted.

    Raises:
        UserError: Slurm does not answer.
    """
    states = ask(jobs)
    active = list(jobs) if states is None else [job for job in jobs if not states[job].ended]
    if not active:
        return
    done = _call("scancel", *active)
    if done is None or (done.returncode and "already completing or completed" not in done.stderr):
        why = "Slurm does not answer" if done is None else one_line(RuntimeError(done.stderr))
        raise UserError(f"the jobs are not cancelled: {why}: repeat with scancel {' '.join(active)}")


def cancel_named(name: str) -> None:
    """Cancel all jobs of a name, if there are any and Slurm answers."""
    _call("scancel", "--name", name)


def limit(array: str, most: int) -> None:
    """Let that many tasks of an array run at a time, if Slurm answers."""
    _call("scontrol", "update", f"JobId={array}", f"ArrayTaskThrottle={most}")


def requeue(job: str) -> str | None:
    """Put the running job back into the queue; return why not, or None."""
    done = _call("scontrol", "requeue", job)
    if done is None:
        return "Slurm does not answer"
    return one_line(RuntimeError(done.stderr)) if done.returncode else None


def runs_on(job: str) -> bool:
    """Return whether a job that was told to stop is still to be run, as far as Slurm is concerned."""
    states = ask([job])
    return states is None or states[job].state in ("RUNNING", "SIGNALING")


def _call(*command: str) -> subprocess.CompletedProcess[str] | None:
    variables = os.environ | {"SLURM_TIME_FORMAT": "%s"}  # seconds since 1970
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False, env=variables
        )
    except (OSError, subprocess.SubprocessError):
        return None
