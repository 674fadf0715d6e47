"""Batches of runs: selects those without a stored result and submits them to an executor.

Commands, scripts and the Python API call this; the caller's listener displays progress.
"""

from __future__ import annotations

import shlex
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeGuard, get_args

from benchmark.catalog import catalog
from benchmark.errors import UserError
from benchmark.execution import precheck
from benchmark.execution.executor import Executor, InterruptedRun, ProgressListener, Serial
from benchmark.execution.plan import Job, OnCheck, next_jobs, plan, remember
from benchmark.execution.progress import Reporter
from benchmark.execution.slurm.request import JobRequest
from benchmark.execution.spec import Spec
from benchmark.execution.sweep import Manifest
from benchmark.results.environment import cores
from benchmark.results.reading import Stored
from benchmark.warning import warn

ExecutorName = Literal["local", "debug"]

Factory = Callable[[ProgressListener], Executor]
"""Makes an executor that reports to a listener."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a batch.

    Attributes:
        stored: the results, in the order in which the runs ended.
        interrupted: runs that were interrupted at the deadline.
        left: runs without a result, including interrupted ones, with estimates of the remaining time.
    """

    stored: Sequence[Stored]
    interrupted: Sequence[InterruptedRun]
    left: Sequence[Job]

    @property
    def failed(self) -> int:
        """The number of failed runs."""
        return sum(each.record.status != "ok" for each in self.stored)


def specs(architectures: Sequence[str], protocol: str, seeds: Sequence[int], device: str, **options: Any) -> list[Spec]:
    """Return one run for each architecture and seed, all architectures of a seed before the next.

    Args:
        architectures: names.
        protocol: name, or path of a protocol file.
        seeds: seeds of the runs.
        device: "cpu" or "cuda".
        options: further fields of `Spec`.

    Raises:
        UserError: two architectures have one name in results, so that one would replace the other in tables.
    """
    named: dict[str, str] = {}
    for each in architectures:
        title = catalog.architecture(each).name
        if named.setdefault(title, each) != each:
            raise UserError(f"{named[title]} and {each} are both {title} in results: rename one of them, or its file")
    return [Spec(name, protocol, seed, device, **options) for seed in seeds for name in architectures]


def trainable(
    wanted: Sequence[Spec], on_progress: OnCheck = lambda name, done, total: None, *, isolate: bool = True
) -> tuple[list[Spec], dict[Spec, UserError]]:
    """Skip runs that cannot work: of an architecture that the protocol cannot train, or a size that it refuses.

    A network of the user's that ends the process of its check is not skipped: its run is recorded with that cause.

    Args:
        wanted: the runs.
        on_progress: receives the name of each architecture, and how many of all are checked.
        isolate: check networks of the user's in processes of their own, and execute no code of theirs in this one.

    Returns:
        The remaining runs, and the reason for each skipped one.

    Raises:
        UserError: no run remains.
    """
    left, reasons, checked = list[Spec](), dict[Spec, UserError](), dict[str, UserError | None]()
    architectures = len({spec.architecture for spec in wanted})
    for spec in wanted:
        if spec.architecture not in checked:  # whatever the seed
            on_wait = partial(on_progress, spec.name, len(checked), architectures)
            on_wait()
            runs = [each for each in wanted if each.architecture == spec.architecture]
            checked[spec.architecture] = _obstacle(runs, isolate, on_wait)
        if reason := checked[spec.architecture]:
            reasons[spec] = reason
        else:
            left.append(spec)
    if reasons and not left:
        raise next(reversed(reasons.values()))
    return left, reasons


def _obstacle(runs: Sequence[Spec], isolate: bool, on_wait: Callable[[], None]) -> UserError | None:
    """Return why runs of an architecture cannot work, if that is known before they start."""
    is_own = runs[0].entry.kind is not None
    found = precheck.check_isolated(runs, on_wait) if is_own and isolate else precheck.check(runs)
    if found.failure:
        warn(f"segbench: {runs[0].name} could not be checked before it is run: {found.failure}")
    if found.counted is not None:
        remember(runs[0].config, found.counted)
    return found.obstacle


def ordered(
    wanted: Sequence[Spec], deadline: float | None = None, on_progress: OnCheck = lambda name, done, total: None
) -> list[Job]:
    """Estimate the times of runs; sort them as `plan` does if anything depends on their order.

    Args:
        wanted: the runs.
        deadline: time at which runs are interrupted; None for no deadline.
        on_progress: receives the name of each architecture, and how many runs of all are estimated.
    """
    jobs = plan(wanted, force=True, on_progress=on_progress)
    if deadline is None and all(spec.device == "cpu" for spec in wanted):
        by_spec = {job.spec: job for job in jobs}
        return [by_spec[spec] for spec in wanted]
    return jobs


def run(
    jobs: Sequence[Job],
    listener: ProgressListener,
    *,
    executor: ExecutorName | Factory | JobRequest = "local",
    most: int | None = None,
    deadline: float | None = None,
    on_end: Callable[[Stored | InterruptedRun], None] | None = None,
    leave: Callable[[int], bool] | None = None,
    command: str | None = None,
) -> Outcome:
    """Execute runs; store each failure as a result and continue with the others.

    Args:
        jobs: the runs in order, all on the same kind of device.
        listener: receives their progress.
        executor: "local" (worker processes), "debug" (this process), a callable that takes the listener: see
            `executor_of`, or what is requested of Slurm for each run.
        most: maximum number of concurrent runs; None for cores / threads per run, or as many as an executor of the
            user's takes. One on a GPU of this machine.
        deadline: time of `time.monotonic` at which runs are interrupted; None for no deadline.
        on_end: is called with each finished run.
        leave: is asked whether that many jobs of Slurm are left running when this is interrupted; None to leave them.
        command: the command that `segbench status` shows; None for that of this process.

    Raises:
        UserError: a result cannot be stored, or the executor is unknown or does not work.
    """
    if not jobs:
        return Outcome([], [], [])
    name = executor if isinstance(executor, str) else "slurm" if isinstance(executor, JobRequest) else "own"
    manifest = Manifest.create(jobs, name, most, command or shlex.join(sys.argv))
    ended = list[Stored | InterruptedRun]()
    with ExitStack() as stack:
        stack.enter_context(manifest.executed())
        made: Executor
        if isinstance(executor, JobRequest):
            from benchmark.execution.slurm.executor import Slurm

            made = Slurm(listener, manifest, executor, most, leave)
        else:
            reporter = Reporter(manifest.sweep.name, listener)
            stack.enter_context(reporter.beating())
            made = _executor(executor, jobs[0].spec, reporter, most)
        for each in completed((job.spec for job in next_jobs(jobs, deadline)), made):
            ended.append(each)
            if on_end:
                on_end(each)
    return outcome(jobs, ended)


def executor_of(name: str | Factory, most: int | None = None) -> ExecutorName | Factory:
    """Load an executor of the user's, so that its mistakes are reported before anything is computed.

    Args:
        name: of ours, of one of the user's as in `execution.own`, or what makes an executor.
        most: maximum number of concurrent runs of one that is loaded.

    Raises:
        UserError: there is no such executor, or its code raises an exception.
    """
    if not isinstance(name, str) or _is_ours(name):
        return name
    from benchmark.execution import own

    return own.load(name, most)


def _is_ours(name: str) -> TypeGuard[ExecutorName]:
    return name in get_args(ExecutorName)


def outcome(jobs: Sequence[Job], ended: Sequence[Stored | InterruptedRun]) -> Outcome:
    """Return the outcome of runs, given those that have ended."""
    stored = [each for each in ended if isinstance(each, Stored)]
    done = {each.record.run_id for each in stored}
    left = plan([job.spec for job in jobs if job.spec.identity.run_id not in done])
    interrupted = [each for each in ended if isinstance(each, InterruptedRun)]
    return Outcome(stored, interrupted, [job for job in left if not job.stored])


def completed(wanted: Iterable[Spec], executor: Executor) -> Iterator[Stored | InterruptedRun]:
    """Submit runs to an executor; yield each as soon as it ends, for the last time if it has several attempts.

    Args:
        wanted: the runs; the next one is requested when the executor has a free slot.
        executor: the executor; all of its runs are ended when this returns or raises.
    """
    waiting, again, submitted = iter(wanted), deque[Spec](), dict[str, Spec]()
    try:
        while True:
            for _ in range(executor.free_slots):
                spec = again.popleft() if again else next(waiting, None)
                if spec is None:
                    break
                executor.submit(spec)
                if spec.retries or spec.attempt > 1:
                    submitted[spec.identity.run_id] = spec
            if not executor.active:
                return
            for ended in executor.poll():
                if spec := _next_attempt(ended, submitted):
                    again.append(spec)
                else:
                    yield ended
    finally:
        executor.cancel()


def _next_attempt(ended: Stored | InterruptedRun, submitted: Mapping[str, Spec]) -> Spec | None:
    """Return the run that has ended as it is to be submitted again; None if it is not."""
    if isinstance(ended, InterruptedRun) or (spec := submitted.get(ended.record.run_id)) is None:
        return None
    return spec.next_attempt(ended.record)


def _executor(
    name: ExecutorName | Factory,
    spec: Spec,
    listener: ProgressListener,
    most: int | None,
) -> Executor:
    if callable(name):
        return name(Serial(listener))
    if name == "debug":
        from benchmark.execution.in_process import InProcess

        return InProcess(listener)
    from benchmark.execution.local import Local

    return Local(listener, spec.device, most or _concurrent(spec))


def _concurrent(spec: Spec) -> int:
    """Return the number of concurrent runs on a CPU: cores / threads of a run if the protocol sets them, else 1."""
    threads = spec.config.protocol.threads
    return max(1, cores() // (threads * spec.world_size)) if threads else 1
