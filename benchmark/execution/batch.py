"""Batches of runs: selects those without a stored result and submits them to an executor.

Commands, scripts and the Python API call this; the caller's listener displays progress.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmark.catalog import catalog
from benchmark.errors import UserError
from benchmark.execution import feasibility, ranks
from benchmark.execution.executor import Executor, InterruptedRun, ProgressListener
from benchmark.execution.plan import Job, next_jobs, plan
from benchmark.execution.spec import Spec
from benchmark.results.environment import cores
from benchmark.results.reading import Stored

ExecutorName = Literal["local", "debug"]


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


def trainable(wanted: Sequence[Spec]) -> tuple[list[Spec], dict[Spec, UserError]]:
    """Skip runs that cannot work: of an architecture that the protocol cannot train, or a size that it refuses.

    Returns:
        The remaining runs, and the reason for each skipped one.

    Raises:
        UserError: no run remains.
    """
    left, reasons, checked = list[Spec](), dict[Spec, UserError](), dict[str, UserError | None]()
    for spec in wanted:
        if spec.architecture not in checked:  # whatever the seed
            checked[spec.architecture] = _obstacle(spec)
        if reason := checked[spec.architecture]:
            reasons[spec] = reason
        else:
            left.append(spec)
    if reasons and not left:
        raise next(reversed(reasons.values()))
    return left, reasons


def _obstacle(spec: Spec) -> UserError | None:
    """Return why a run cannot work, if that is known before it starts."""
    try:
        if (reason := ranks.obstacle(spec)) is not None:
            return UserError(f"{spec.name}: {reason}")
        feasibility.check(spec.config, spec.name)
    except UserError as error:
        return error
    return None


def ordered(wanted: Sequence[Spec], deadline: float | None = None) -> list[Job]:
    """Sort runs as `plan` does; estimate times, which takes seconds, only if anything depends on them."""
    if deadline is None and all(spec.device == "cpu" for spec in wanted):
        return [Job(spec, None, 0.0) for spec in wanted]
    return plan(wanted)


def run(
    jobs: Sequence[Job],
    listener: ProgressListener,
    *,
    executor: ExecutorName | Callable[[ProgressListener], Executor] = "local",
    most: int | None = None,
    deadline: float | None = None,
    on_end: Callable[[Stored | InterruptedRun], None] | None = None,
) -> Outcome:
    """Execute runs; store each failure as a result and continue with the others.

    Args:
        jobs: the runs in order, all on the same kind of device.
        listener: receives their progress.
        executor: "local" (worker processes), "debug" (this process), or a factory of executors.
        most: maximum number of concurrent runs on a CPU; None for cores / threads per run. One on a GPU.
        deadline: time of `time.monotonic` at which runs are interrupted; None for no deadline.
        on_end: is called with each finished run.

    Raises:
        UserError: a result cannot be stored.
    """
    if not jobs:
        return Outcome([], [], [])
    made = _executor(executor, jobs[0].spec, listener, most)
    ended = list[Stored | InterruptedRun]()
    for each in completed((job.spec for job in next_jobs(jobs, deadline)), made):
        ended.append(each)
        if on_end:
            on_end(each)
    return outcome(jobs, ended)


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
    name: ExecutorName | Callable[[ProgressListener], Executor],
    spec: Spec,
    listener: ProgressListener,
    most: int | None,
) -> Executor:
    if callable(name):
        return name(listener)
    if name == "debug":
        from benchmark.execution.in_process import InProcess

        return InProcess(listener)
    from benchmark.execution.local import Local

    return Local(listener, spec.device, most or _concurrent(spec))


def _concurrent(spec: Spec) -> int:
    """Return the number of concurrent runs on a CPU: cores / threads of a run if the protocol sets them, else 1."""
    threads = spec.config.protocol.threads
    return max(1, cores() // (threads * spec.world_size)) if threads else 1
