"""One run: profile, train, evaluate, and store a record."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmark.catalog.stages import OWN, breakdown
from benchmark.configs import compose, imports
from benchmark.confusion import VOID
from benchmark.engine import device, stop
from benchmark.errors import FOREIGN, UserError, one_line
from benchmark.execution import forks, interrupted, outcome, ranks
from benchmark.execution.interrupted import Journal
from benchmark.execution.spec import Spec, sources
from benchmark.files.atomic import replacing
from benchmark.files.lock import exclusive
from benchmark.results import code, environment, record, samples
from benchmark.results.reading import Stored, read_or_raise
from benchmark.results.record import Record
from benchmark.results.store import Store
from benchmark.warning import warn

if TYPE_CHECKING:
    from benchmark.engine.session import Counted, Session
    from benchmark.engine.trained import Trained
    from benchmark.execution.ranks import Ranks

OnProgress = Callable[[str, int, int, float | None], None]
"""Receives the phase, completed and total iterations or images, and the training loss or None."""

ANYWHERE = ("complexity", "training", "artifacts")
"""Fields of a record that are kept if a run is resumed in another environment."""

Regime = Literal["device", "end_to_end"]


class NotRecordedError(UserError):
    """A run has failed, and its process cannot write the record: it has used up its file descriptors, for example.

    Attributes:
        failure: status, cause and error, as fields of the record.
    """

    def __init__(self, message: str, failure: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.failure = dict(failure)


class Turn(Protocol):
    """The turn of a run on a device that another run uses first."""

    def may_compile(self) -> bool:
        """Wait until the run may compile on the device or has it; return whether it may only compile."""

    def has_device(self) -> bool:
        """Return whether the run has the device."""

    def wait(self) -> None:
        """Wait until the run has the device."""


def run_one(
    spec: Spec,
    on_progress: OnProgress,
    turn: Turn | None = None,
    on_error: Callable[[str], None] = lambda traceback: None,
) -> Path:
    """Execute one run and store its record, even if it fails.

    Args:
        spec: the run.
        on_progress: receives its progress.
        turn: its turn on the device; None to start immediately.
        on_error: receives the traceback of the exception that the run fails with, if any.

    Returns:
        The path of the stored record, whose status is "ok" or the kind of failure.

    Raises:
        InProgressError: another process executes the same run.
        NotRecordedError: the run failed, and the store cannot be written.
        UserError: the store cannot be written, or the code has changed since the run was named.
        Interrupted: its deadline passed or it was asked to stop; no result is stored, and the next call resumes it.
    """
    if code.digest() != spec.identity.code:
        raise UserError("the code was changed after the runs were planned: repeat the command")
    with exclusive(spec.folder):
        with ranks.started(spec) as others:
            stored = _run_one(spec, on_progress, turn, on_error, others)
        if stored.record.status == "ok" and not spec.keeps_weights:  # a kill before it is stored loses no training
            interrupted.remove_all(spec.folder)
    return stored.path


def _run_one(
    spec: Spec,
    on_progress: OnProgress,
    turn: Turn | None,
    on_error: Callable[[str], None],
    others: Ranks | None,
) -> Stored:
    from benchmark.engine.hooks import Interrupted

    start = time.perf_counter()
    device.use(spec.device)
    ready = _Preparation()
    try:
        with forks.exit_in_children():
            ready.make(spec, lambda *progress: journal.on_progress(*progress), turn, others)
    except FOREIGN as error:  # it is recorded once the run has the device that the record describes
        ready.error = error
    prepared = time.perf_counter() - start
    if turn:
        turn.wait()

    initial = _initial(spec)
    initial = initial.model_copy(update={"seconds": initial.seconds + prepared})
    first = spec.config.first_stage.train_cfg.max_iters if "first_stage" in spec.config else 0
    journal = Journal(
        spec.folder,
        initial,
        on_progress,
        on_gpu=spec.device == "cuda",
        first_stage=first,
        processes=spec.world_size,
    )
    arrays: dict[str, NDArray[Any]] = {}
    failure: dict[str, Any] | None = None
    try:
        with forks.exit_in_children():
            for found in _measure(spec, ready, journal.record, journal.on_progress, arrays):
                journal.add(found)
    except Interrupted as ended:
        journal.keep(ended.iteration)
        raise
    except BaseException as error:
        if stop.is_requested():  # schedulers signal all processes of a job, such as those that load data
            journal.keep()
            raise Interrupted(*journal.reached, iteration=0) from error
        if not isinstance(error, FOREIGN):  # Ctrl-C; where a worker raises anything else, `worker` reports it
            raise
        arrays.clear()  # of evaluations that are not in the record
        failure = others.lost(error) if others else None
        if failure:  # the exception here is only that a connection has closed
            text = failure.pop("traceback", "")
        else:
            failure, text = outcome.failure(error), "".join(traceback.format_exception(error))
        on_error(text)
        with suppress(UserError, OSError):  # the disk is full, or no file can be opened: the log of the run has it, too
            with replacing(spec.folder / "error.log") as log:
                log.write_text(text or failure["error"], encoding="utf-8", errors="backslashreplace")
            journal.keep()  # if it is repeated, the seconds of this call count
        journal.add(failure)
    draft = journal.record
    try:
        stored = add(draft, arrays, spec.results)
    except Exception as error:  # without file descriptors, Python imports nothing
        if failure is None:
            raise
        raise NotRecordedError(one_line(error), failure) from error
    if draft.status == "diverged" or (draft.status == "ok" and spec.keeps_weights):
        interrupted.remove(spec.folder)
    return stored


def add(draft: Record, arrays: Mapping[str, NDArray[Any]], results: Path) -> Stored:
    """Store the record of a run and return it; a failure does not replace an earlier successful result.

    Raises:
        UserError: the store cannot be written.
    """
    stored = read_or_raise(Store(results).add(draft, arrays))
    if stored.record.status != draft.status:
        failure = f"{draft.architecture} seed {draft.seed}: {draft.status.replace('_', ' ')}: {draft.error}"
        warn(f"{failure}; the earlier successful result is kept: {stored.path}")
    return stored


@dataclass
class _Preparation:
    """What a run prepares while another one uses the device.

    Attributes:
        complexity: MACs and parameters; None if counted in an earlier call or not countable.
        session: the training session; None if it cannot be created.
        error: reason for a missing value.
    """

    complexity: record.Complexity | None = None
    session: Session | None = None
    error: BaseException | None = None

    def make(self, spec: Spec, on_progress: OnProgress, turn: Turn | None, others: Ranks | None) -> None:
        """Import, read the data and count; if the run has to wait for its turn, build and compile the network."""
        config, found = spec.config, interrupted.find(spec.folder)
        if others:
            others.open()
        if "source" in config:
            imports.load(imports.of(config.source.imports))
        if found is None or found.record.complexity is None:
            self.complexity = _complexity(spec)
        if others:
            others.join()
        self.session = session_of(spec, on_progress)
        if others:
            self.session = ranks.shared(self.session)
        if turn:
            self.session.build()
            if turn.may_compile():
                with suppress(RuntimeError):  # the GPU has too little free memory now: it is done in the run's turn
                    self.session.compile_ahead(turn.has_device)


def _complexity(spec: Spec) -> record.Complexity:
    """Count parameters and MACs of a run's network, and by stage if it is not of the suite."""
    from benchmark.profiling import complexity
    from benchmark.profiling.stages import stages

    config = spec.config
    height, width = config.protocol.size
    counted = complexity.measure(config.model, (height, width), compose.outputs(config.protocol))
    if "source" not in config and breakdown(spec.name):
        return counted
    try:
        rows = [
            record.CountedStage(**stage._replace(name=stage.name.removeprefix(OWN))._asdict())
            for stage in stages(config.model, (height, width))
        ]
    except FOREIGN as error:  # code of others that takes no hooks: the counts of the whole are valid without stages
        warn(f"segbench: warning: {spec.name} cannot be counted by stage: {one_line(error)}")
        return counted
    return counted.model_copy(update={"stages": rows})


def session_of(spec: Spec, on_progress: OnProgress | None = None) -> Session:
    """Return the session of a run, in each of its processes.

    Args:
        spec: the run.
        on_progress: receives its progress.
    """
    from benchmark.engine.session import Session
    from benchmark.engine.tracking import Tracking

    return Session(
        spec.config,
        spec.folder,
        on_progress,
        resume=True,
        resident=spec.resident,
        compile=spec.compile,
        mode=spec.mode,
        deadline=spec.deadline,
        tracking=Tracking.of(spec.track, spec.work_dir, spec.protocol_name, spec.name, spec.seed, spec.identity.run_id),
    )


def _initial(spec: Spec) -> Record:
    """Return the initial record of a run: blank, or that of its interruption.

    After an interruption in another environment, as on another node, what was measured of a machine is measured again.
    """
    fresh, found = blank(spec, datetime.now(timezone.utc), in_child=False), interrupted.find(spec.folder)
    if found is None or found.record.run_id != fresh.run_id:
        return fresh
    if found.record.environment != fresh.environment:
        kept = {name: getattr(found.record, name) for name in ANYWHERE}
        found = replace(found, record=fresh.model_copy(update=kept))
    if found.record.training and not interrupted.has_weights(spec.folder, found.record):
        warn(f"segbench: warning: {spec.folder} lacks weights of its training, which starts over")
        return found.record.model_copy(update={"training": None, "artifacts": []})
    return found.record


def blank(
    spec: Spec,
    started: datetime,
    status: record.Status = "failed",
    error: str | None = None,
    cause: record.Cause | None = None,
    *,
    in_child: bool = True,
) -> Record:
    """Return the record of a run that contains only its specification.

    Args:
        spec: the run.
        started: start time.
        status: outcome of the run.
        error: its reason, in one line.
        cause: its reason, of a fixed list.
        in_child: query the GPU in a child process, so that this process does not initialize CUDA.
    """
    identity = spec.identity
    return Record(
        run_id=identity.run_id,
        status=status,
        error=record.printable(error) if error else "the run did not end",
        cause=cause,
        architecture=spec.name,
        method=spec.entry.method,
        source=outcome.source(spec),
        config_sha256=identity.config_sha256,
        protocol=outcome.protocol(spec.config, identity.axes),
        seed=spec.seed,
        dataset=outcome.dataset(spec.config, identity.axes, sources(spec.config.protocol.dataset, spec.root)),
        evaluations=[],
        training=None,
        complexity=None,
        latency=[],
        memory=None,
        environment=environment.capture(spec.device, spec.deterministic, in_child=in_child, world_size=spec.world_size),
        started=started.isoformat(timespec="seconds"),
        seconds=0.0,
        gpu_hours=0.0,
        looks=spec.looks,
        artifacts=[],
        stated_normalisation=spec.config.get("stated_normalisation"),
    )


def _measure(
    spec: Spec, ready: _Preparation, draft: Record, on_progress: OnProgress, arrays: dict[str, NDArray[Any]]
) -> Iterator[dict[str, Any]]:
    """Yield measurements as fields of the record as soon as they are known, so that a failure loses none.

    Args:
        spec: the run.
        ready: what was prepared before.
        draft: the record so far.
        on_progress: receives the progress.
        arrays: receives the arrays of the counts file.
    """
    from benchmark.engine.hooks import Diverged
    from benchmark.engine.timings import EAGER
    from benchmark.profiling import latency
    from benchmark.profiling.memory import PeakMemory, inference_peak

    config = spec.config
    height, width = config.protocol.size
    size = (height, width)

    if ready.complexity:
        yield {"complexity": ready.complexity}
    if ready.error:
        raise ready.error
    session = ready.session
    assert session is not None
    memory = draft.memory
    on_progress("profile", 0, 1, None)
    if memory is None or (spec.latency and not draft.latency):
        if spec.latency:
            regimes: tuple[Regime, ...] = ("end_to_end", "device") if spec.device == "cuda" else ("end_to_end",)
            timed = []
            for regime in regimes:
                timed.append(latency.measure(config.model, size, device=spec.device, regime=regime))
                on_progress("profile", 0, 1, None)
            yield {"latency": timed}
        memory = record.Memory(inference_peak=inference_peak(config.model, size, spec.device), training_peak=None)
        yield {"memory": memory}
    on_progress("profile", 1, 1, None)

    if draft.training:
        trained = outcome.trained(draft.training, spec.folder)
        session.load(trained.last)
        if (how := draft.training.execution) and how.layout != EAGER.layout:
            session.arrange(how.layout)
    else:
        with PeakMemory(spec.device) as training:
            try:
                trained = session.train()
            except Diverged as error:
                yield {"training": outcome.training(session.partial_result(error), session.first_stage, config)}
                yield {"status": "diverged", "cause": "diverged", "error": str(error)}
                return
        yield {
            "training": outcome.training(trained, session.first_stage, config),
            "memory": memory.model_copy(update={"training_peak": session.peak_memory or training.bytes}),
            "artifacts": outcome.artifacts(trained),
        }

    counted = _evaluate(session, trained, draft, spec)
    arrays["names_test"] = np.array(counted["last"].names)
    evaluations = []
    checkpoint: record.Checkpoint
    for checkpoint, iteration in (("last", trained.iterations), ("best", trained.best_iteration)):
        name = f"{checkpoint}_test"
        arrays[name] = counted[checkpoint].counts
        evaluations.append(outcome.evaluation(checkpoint, iteration, name, counted[checkpoint].counts, draft))
    kept = counted["last"].predictions
    arrays["prediction_names"] = np.array(list(kept))
    arrays["predictions"] = samples.stack(kept.values(), VOID)

    yield {"evaluations": evaluations, "status": "ok", "error": None}


def _evaluate(session: Session, trained: Trained, draft: Record, spec: Spec) -> dict[str, Counted]:
    """Evaluate the last and the best checkpoint on test; once if they are the same."""
    selected = samples.select(sources(spec.config.protocol.dataset, spec.root)["test"])
    Store(spec.results).add_samples(spec.protocol_name, draft.dataset.digest, selected)
    last = session.evaluate("test", keep=selected.names.tolist())
    if trained.best_iteration == trained.iterations:
        return {"last": last, "best": last}
    session.load(trained.best)
    return {"last": last, "best": session.evaluate("test")}
