"""The plan of runs: which have a stored result, the order of the others, and time estimates from results.

The time of a training step is that of its arithmetic, at the rate of the device, plus a constant for launching
operators and fetching a batch. Both are fitted to the times of runs on the same device; without any, they are guesses,
and the estimate is marked as one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmark.configs.axes import config_hash
from benchmark.datasets.source import Split
from benchmark.execution import interrupted
from benchmark.execution.phase import Phase
from benchmark.execution.spec import Spec, sources
from benchmark.profiling import complexity
from benchmark.results.environment import cpu, gpu_name
from benchmark.results.reading import Problem, Stored
from benchmark.results.record import Record
from benchmark.results.store import Store
from benchmark.results.summary import Summary

if TYPE_CHECKING:
    from mmengine import Config

BACKWARD = 2
"""Arithmetic of a backward pass, in forward passes: one for the gradients of the weights, one for those of the maps."""


_counted: dict[str, Sequence[int]] = {}
"""Multiply-accumulates of the stages of networks that were checked, by `_key`."""

OnCheck = Callable[[str, int, int], None]
"""Receives the name of an architecture, and how many of all are checked or estimated."""


@dataclass(frozen=True)
class Speed:
    """The training speed of a device.

    Attributes:
        macs: multiply-accumulates a second.
        step: seconds of a step in addition to its arithmetic.
        results: number of results that it is fitted to; 0 for a guess.
    """

    macs: float
    step: float
    results: int = 0


GUESS = {"cuda": Speed(1.5e14, 4e-3), "cpu": Speed(2e10, 2e-2)}
"""Speeds without any results: a recent data-centre GPU in bfloat16, two cores of a server."""


@dataclass(frozen=True)
class Job:
    """One run of a plan.

    Attributes:
        spec: the run.
        stored: its result, if it is in the store.
        seconds: estimated time of the run, or of its rest if it was interrupted; 0 if it is stored.
        failed: whether an earlier attempt failed.
        other_code: the code of its result under other code, if the store has one.
        phases: of which the time consists; none if they are unknown or the run is stored.
    """

    spec: Spec
    stored: Path | None
    seconds: float
    failed: bool = False
    other_code: str | None = None
    phases: tuple[Phase, ...] = ()


class StoredRun(NamedTuple):
    """The stored results of a run.

    Attributes:
        result: its result or None; a problem if it is invalid.
        stored: the result that is used instead of executing the run.
        other_code: the code of its newest result under other code, or None.
    """

    result: Stored | Problem | None
    stored: Path | None
    other_code: str | None


def lookup(specs: Sequence[Spec], any_code: bool = False) -> list[StoredRun]:
    """Return the stored results of each run.

    Args:
        specs: runs of one store.
        any_code: use a result of other code if the current code has none.
    """
    if not specs:
        return []
    store = Store(specs[0].results)
    others = _of_other_code(store, specs)
    found = []
    for spec in specs:
        result, other = store.find(spec.identity.run_id), others.get(spec.identity.run_id)
        valid = result
        if any_code and other and not _is_ok(result):
            valid = store.find(other.run_id)
        path = valid.path if isinstance(valid, Stored) and _is_ok(valid) else None
        found.append(StoredRun(result, path, other.code if other and not _is_ok(result) else None))
    return found


def _is_ok(result: Stored | Problem | None) -> bool:
    return isinstance(result, Stored) and result.record.status == "ok"


def _of_other_code(store: Store, specs: Sequence[Spec]) -> dict[str, Summary]:
    """Return the newest successful results of the same runs under other code, by run id under the current code."""
    names = {_whatever_the_code(spec): spec.identity.run_id for spec in specs}
    found = {}
    for protocol in {spec.protocol_name for spec in specs}:
        runs, _ = store.summaries(protocol)
        for run in sorted(runs, key=lambda run: run.started):
            name = names.get((run.conditions.fingerprint, run.architecture, run.config_sha256, run.seed))
            if name and name != run.run_id and run.status == "ok":
                found[name] = run
    return found


def _whatever_the_code(spec: Spec) -> tuple[str, str, str, int]:
    return spec.identity.fingerprint, spec.name, spec.identity.config_sha256, spec.seed


def unresumable(spec: Spec) -> tuple[Path, int] | None:
    """Return the folder and the iterations of a run that other code started and that cannot be resumed."""
    for path in sorted(spec.folder.parent.glob(f"*/{interrupted.FILE}")):
        if path.parent != spec.folder and (found := interrupted.find(path.parent)):
            record = found.record
            name = record.protocol.fingerprint, record.architecture, record.config_sha256, record.seed
            if name == _whatever_the_code(spec):
                return path.parent, found.iteration
    return None


def plan(
    specs: Sequence[Spec],
    speed: Speed | None = None,
    *,
    any_code: bool = False,
    force: bool = False,
    on_progress: OnCheck = lambda name, done, total: None,
) -> list[Job]:
    """Return the runs in their order of execution.

    All runs of one seed precede those of the next; the longest of a seed is first, to balance concurrent runs. Runs
    that failed before are last, as they may fail again.

    Args:
        specs: runs of one device.
        speed: training speed of that device; by default estimated from the results of the store.
        any_code: use a result of other code if the current code has none.
        force: all runs are executed, whether they have a stored result or not.
        on_progress: receives the name of each architecture, and how many runs of all are estimated.
    """
    if not specs:
        return []
    speed = speed or estimate_speed((each.record for each in Store(specs[0].results).scan()[0]), specs[0].device)
    turns = {seed: turn for turn, seed in enumerate(dict.fromkeys(spec.seed for spec in specs))}
    jobs = list[Job]()
    for spec, found in zip(specs, lookup(specs, any_code), strict=True):
        on_progress(spec.name, len(jobs), len(specs))
        if found.stored and not force:
            jobs.append(Job(spec, found.stored, 0.0, other_code=found.other_code))
        else:
            failed = isinstance(found.result, Stored) and found.stored is None
            jobs.append(replace(_estimate(spec, speed), failed=failed, other_code=found.other_code))
    return sorted(jobs, key=lambda job: (job.failed, turns[job.spec.seed], -job.seconds))


def next_jobs(jobs: Iterable[Job], deadline: float | None = None) -> Iterator[Job]:
    """Yield the next run to start, each time that it is requested.

    That is the first in order that is expected to end before the deadline; otherwise the shortest, as an
    estimate may be wrong and an interrupted run is resumed later. No run starts after the deadline.

    Args:
        jobs: the runs, in order.
        deadline: time of `time.monotonic` at which runs are interrupted; None for no deadline.
    """
    waiting = list(jobs)
    end = math.inf if deadline is None else deadline
    while waiting and (left := end - time.monotonic()) > 0:
        fitting = (job for job in waiting if job.seconds <= left)
        job = next(fitting, None) or min(waiting, key=lambda job: job.seconds)
        waiting = [other for other in waiting if other is not job]
        yield replace(job, spec=job.spec.with_deadline(deadline))


def estimate_speed(records: Iterable[Record], device: str) -> Speed:
    """Estimate the training speed of a device from results.

    Args:
        records: results of any device.
        device: "cpu" or "cuda".

    Returns:
        The least squares fit of relative errors over the results of this processor; a guess without any.
    """
    timed = [
        (
            record.environment,
            (1 + BACKWARD) * training.images * complexity.macs_torch / (record.environment.world_size or 1),
            training.iterations,
            seconds,
        )
        for record in records
        if record.status == "ok" and (training := record.training) and (complexity := record.complexity)
        if complexity.macs_torch and (seconds := training.seconds) > 0
    ]
    if device == "cpu":
        here = cpu()
    elif any(environment.gpu for environment, *_ in timed):  # only then, as the query takes a process
        here = gpu_name(device) or ""
    else:
        here = ""
    points = [point for environment, *point in timed if (environment.gpu or environment.cpu) == here]
    if not points:
        return guess(device)
    macs, steps, seconds = np.array(points, dtype=float).T
    (per_mac, per_step), *_ = np.linalg.lstsq(np.stack([macs / seconds, steps / seconds], axis=1), np.ones(len(points)))
    if per_mac <= 0:  # equal or small sizes: only the constant time of a step can be fitted
        return Speed(np.inf, float(np.median(seconds / steps)), len(points))
    if per_step < 0:
        return Speed(float(np.median(macs / seconds)), 0.0, len(points))
    return Speed(1 / per_mac, float(per_step), len(points))


def guess(device: str) -> Speed:
    """Return the training speed of a device without any results.

    Args:
        device: "cpu" or "cuda".
    """
    return GUESS["cuda" if device.startswith("cuda") else "cpu"]


def _estimate(spec: Spec, speed: Speed) -> Job:
    """Estimate the remaining time of a run."""
    found = interrupted.find(spec.folder)
    done = found.iteration if found else 0
    unknown = () if "source" in spec.config else None  # code of the user's is not executed for an estimate
    counted = _counted.get(_key(spec.config), unknown)
    parts = phases(spec.config, spec.root, speed, done=done, processes=spec.world_size, counted=counted)
    return Job(spec, None, sum(phase.seconds for phase in parts), phases=parts)


def remember(config: Config, counted: Sequence[int]) -> None:
    """Remember the counts of a network for estimates.

    Args:
        config: from `compose.compose`.
        counted: what `macs` has returned, in whatever process.
    """
    _counted[_key(config)] = counted


def macs(config: Config) -> list[int]:
    """Count multiply-accumulates of an image in each stage, in the order of training.

    Args:
        config: from `compose.compose`.

    Raises:
        UserError: see `complexity.tally`.
    """
    height, width = config.protocol.size
    return [complexity.tally(stage.model, (height, width)).macs for stage in _stages(config)]


def _stages(config: Config) -> list[Config]:
    return [*([config.first_stage] if "first_stage" in config else []), config]


def _key(config: Config) -> str:
    return f"{config_hash(config)} {config.protocol.size}"


def phases(
    config: Config,
    root: Path | None,
    speed: Speed,
    *,
    done: int = 0,
    processes: int = 1,
    counted: Sequence[int] | None = None,
) -> tuple[Phase, ...]:
    """Estimate training in all stages, validation, and test of the last and best weights, one after one validation.

    Args:
        config: of the run.
        root: parent of the dataset's folder, as in `Spec`.
        speed: training speed of the device.
        done: completed iterations of an interrupted run.
        processes: number of processes of the run.
        counted: what `macs` has returned; none if that is not known; by default it is counted here.
    """
    images = {split: len(source) for split, source in sources(config.protocol.dataset, root).items()}
    training, val, test = list[Phase](), Phase("val", 0, 0.0), Phase("test", 0, 0.0)
    counted = macs(config) if counted is None else counted
    for stage, count in zip(_stages(config), (*counted, 0, 0), strict=False):
        iterations, interval = max(0, stage.train_cfg.max_iters - done), stage.train_cfg.val_interval
        done = max(0, done - stage.train_cfg.max_iters)
        trained = iterations / processes * stage.train_dataloader.dataset.batch_size
        seconds = (1 + BACKWARD) * trained * count / speed.macs + iterations * speed.step
        training.append(Phase("train" if stage is config else "first_stage", iterations, seconds))
        validated = -(-iterations // interval) * images["val"]
        passes = 0 if stage is not config else 1 if stage.train_cfg.max_iters <= interval else 2
        tested = passes * images["test"]
        image = count / speed.macs + speed.step
        val = Phase("val", val.amount + validated, val.seconds + -(-validated // processes) * image)
        test = Phase("test", tested, -(-tested // processes) * image)
    return (*training, val, test)


def evaluation(config: Config, root: Path | None, speed: Speed, split: Split) -> Phase:
    """Estimate one evaluation on a split, by one process.

    Args:
        config: of the network.
        root: parent of the dataset's folder, as in `Spec`.
        speed: training speed of the device.
        split: "val" or "test".
    """
    height, width = config.protocol.size
    images = len(sources(config.protocol.dataset, root)[split])
    macs = complexity.tally(config.model, (height, width)).macs
    return Phase(split, images, images * (macs / speed.macs + speed.step))
