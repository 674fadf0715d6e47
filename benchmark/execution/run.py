"""One run from beginning to end: profile, train, evaluate, and leave a record."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmark import __version__, catalog, compose
from benchmark.confusion import VOID, VoidRule, scores
from benchmark.datasets import catalog as datasets
from benchmark.datasets.digest import digest
from benchmark.datasets.source import Source, Split
from benchmark.errors import UserError
from benchmark.execution import unfinished
from benchmark.execution.unfinished import Unfinished
from benchmark.results import environment, record
from benchmark.results.arrays import file_sha256
from benchmark.results.reading import folder
from benchmark.results.record import Evaluation, Record
from benchmark.results.store import Samples, Store

if TYPE_CHECKING:
    from mmengine import Config

    from benchmark.engine.feed import Resident
    from benchmark.engine.session import Counted, Session, Trained

Tell = Callable[[str, int, int, float | None], None]
"""Called with a phase, what is done of it, what there is of it, and the training loss if there is one."""

Regime = Literal["device", "end_to_end"]

SAMPLES = 4
"""Test images whose predictions are stored for the report."""


@dataclass(frozen=True, eq=False)
class Spec:
    """What is to be run; plain data that travels to a worker.

    Attributes:
        architecture: name of the architecture.
        protocol: name of the protocol.
        seed: seed of the run.
        device: "cpu" or "cuda".
        deterministic: only deterministic algorithms.
        latency: whether latency is measured.
        overrides: further arguments of `compose.compose`.
        root: folder of the dataset, None for its default place.
        results: folder of the store.
        work_dir: folder for weights and logs of all runs.
        keep_weights: keep the weights after the run; None as the protocol says.
        resident: where batches are made, see `engine.feed`.
        compile: whether the network is compiled for the training.
        beside: how many other runs train on the device at the same time.
        deadline: when it stops, to go on another time, on the clock of `time.monotonic`; None for never.
    """

    architecture: str
    protocol: str
    seed: int
    device: str
    deterministic: bool
    latency: bool
    overrides: dict[str, Any]
    root: Path | None
    results: Path
    work_dir: Path
    keep_weights: bool | None
    resident: Resident = "auto"
    compile: bool = False
    beside: int = 0
    deadline: float | None = None

    @property
    def folder(self) -> Path:
        """Where the weights and logs of this run go."""
        return self.work_dir / self.protocol / folder(self.architecture) / self.run_id()

    @cached_property
    def config(self) -> Config:
        """The composed config of the run; it is not to be changed."""
        return compose.compose(
            self.architecture,
            self.protocol,
            seed=self.seed,
            root=self.root,
            deterministic=self.deterministic,
            **self.overrides,
        )

    def run_id(self) -> str:
        """The name of the result, the same wherever the run is made."""
        config = self.config
        axes = compose.axes(config, _digest(config.protocol.dataset, self.root))
        return _run_id(self, config, record.fingerprint(axes))


def perform(spec: Spec, tell: Tell) -> Path:
    """Carry out one run and store what it leaves, whatever becomes of it.

    Returns:
        The stored record's file; its status is "ok", or says what went wrong.

    Raises:
        UserError: the store cannot be written.
        Stopped: its time was up; nothing is stored, and the next call goes on from there.
    """
    from benchmark.engine.hooks import Stopped

    clock, draft = time.perf_counter(), _begun(spec)
    before = draft.seconds
    arrays: dict[str, NDArray[Any]] = {}

    def taken() -> dict[str, float]:
        seconds = before + time.perf_counter() - clock
        return {"seconds": seconds, "gpu_hours": seconds / 3600 if spec.device == "cuda" else 0.0}

    try:
        for found in _measure(spec, draft, tell, arrays):
            draft = draft.model_copy(update=found)
    except Stopped as stop:
        iteration = draft.training.iterations if draft.training else stop.iteration
        unfinished.save(spec.folder, Unfinished(iteration, draft.model_copy(update=taken())))
        raise
    except Exception as error:
        arrays.clear()  # of evaluations that the record does not have
        spec.folder.mkdir(parents=True, exist_ok=True)
        (spec.folder / "error.log").write_text(traceback.format_exc())
        draft = draft.model_copy(update=_failure(error))
    unfinished.forget(spec.folder)
    return Store(spec.results).add(draft.model_copy(update=taken()), arrays)


def _begun(spec: Spec) -> Record:
    """What is known of a run before it: nothing, or what it has measured before it was stopped, on the same machine."""
    fresh, found = blank(spec, datetime.now(timezone.utc)), unfinished.find(spec.folder)
    if found and (found.record.run_id, found.record.environment) == (fresh.run_id, fresh.environment):
        return found.record
    return fresh


def blank(spec: Spec, started: datetime, status: record.Status = "failed", error: str | None = None) -> Record:
    """The record of a run of which nothing is known but what was asked for."""
    config = spec.config
    facts = config.protocol
    splits = sources(facts.dataset, spec.root)
    axes = compose.axes(config, _digest(facts.dataset, spec.root))
    fingerprint = record.fingerprint(axes)
    return Record(
        run_id=_run_id(spec, config, fingerprint),
        status=status,
        error=error or "the run did not end",
        architecture=spec.architecture,
        method=catalog.architecture(spec.architecture).method,
        config_sha256=compose.config_hash(config),
        protocol=record.Protocol(
            name=spec.protocol,
            fingerprint=fingerprint,
            axes=axes,
            overrides=dict(facts.overrides),
            void=facts.void,
        ),
        seed=spec.seed,
        dataset=record.Dataset(
            name=facts.dataset,
            digest=_digest(facts.dataset, spec.root),
            classes=list(splits["test"].classes),
            images={split: len(source) for split, source in splits.items()},
        ),
        evaluations=[],
        training=None,
        complexity=None,
        latency=[],
        memory=None,
        environment=environment.capture(spec.device, spec.deterministic),
        started=started.isoformat(timespec="seconds"),
        seconds=0.0,
        gpu_hours=0.0,
        artifacts=[],
    )


@cache
def sources(dataset: str, root: Path | None) -> dict[Split, Source]:
    """The splits of a dataset, opened once a process."""
    return datasets.open_splits(dataset, root)


@cache
def _digest(dataset: str, root: Path | None) -> str:
    return digest(sources(dataset, root))


def _run_id(spec: Spec, config: Config, fingerprint: str) -> str:
    return record.run_id(fingerprint, spec.architecture, compose.config_hash(config), spec.seed, __version__)


def _measure(spec: Spec, draft: Record, tell: Tell, arrays: dict[str, NDArray[Any]]) -> Iterator[dict[str, Any]]:
    """Everything that is measured, as fields of the record, as soon as they are known: a failure costs none of them.

    Args:
        spec: what is run.
        draft: the record so far.
        tell: is told how far it is.
        arrays: takes the arrays of the counts file.
    """
    from benchmark.engine.hooks import Diverged
    from benchmark.engine.session import Session
    from benchmark.profiling import complexity, latency
    from benchmark.profiling.memory import PeakMemory, inference_peak

    config = spec.config
    (height, width), classes = config.protocol.size, compose.outputs(config.protocol)
    size = (height, width)

    memory = draft.memory
    tell("profile", 0, 1, None)
    if memory is None or (spec.latency and not draft.latency):
        yield {"complexity": complexity.measure(config.model, size, classes)}
        if spec.latency:
            regimes: tuple[Regime, ...] = ("end_to_end", "device") if spec.device == "cuda" else ("end_to_end",)
            yield {"latency": [latency.measure(config.model, size, device=spec.device, regime=r) for r in regimes]}
        memory = record.Memory(inference_peak=inference_peak(config.model, size, spec.device), training_peak=None)
        yield {"memory": memory}
    tell("profile", 1, 1, None)

    session = Session(
        config,
        spec.folder,
        tell,
        resume=True,
        resident=spec.resident,
        compile=spec.compile,
        deadline=spec.deadline,
    )
    if draft.training:
        trained = _trained(spec, draft.training)
        session.load(trained.last)
    else:
        with PeakMemory(spec.device) as training:
            try:
                trained = session.train()
            except Diverged as error:
                yield {"training": _training(spec, session, error.iteration, 0.0, session.curve, [])}
                yield {"status": "diverged", "error": str(error)}
                return
        yield {
            "training": _training(spec, session, trained.iterations, trained.seconds, trained.loss, trained.val_miou),
            "memory": memory.model_copy(update={"training_peak": training.bytes}),
            "artifacts": _artifacts(trained),
        }

    counted = _evaluate(session, trained, draft, spec)
    arrays["names_test"] = np.array(counted["last"].names)
    evaluations = []
    for checkpoint, iteration in (("last", trained.iterations), ("best", trained.best_iteration)):
        name = f"{checkpoint}_test"
        arrays[name] = counted[checkpoint].counts
        evaluations.append(_evaluation(checkpoint, iteration, name, counted[checkpoint], draft))
    kept = counted["last"].predictions
    arrays["prediction_names"] = np.array(list(kept))
    arrays["predictions"] = _stack(kept.values(), VOID)

    keep = config.protocol.keep_weights if spec.keep_weights is None else spec.keep_weights
    if not keep:
        shutil.rmtree(spec.folder)
    yield {"evaluations": evaluations, "status": "ok", "error": None}


def _evaluate(session: Session, trained: Trained, draft: Record, spec: Spec) -> dict[str, Counted]:
    """Last and best checkpoint on test; where they are the same, it is evaluated once."""
    samples = _samples(sources(draft.dataset.name, spec.root)["test"])
    Store(spec.results).add_samples(spec.protocol, draft.dataset.digest, samples)
    last = session.evaluate("test", keep=samples.names.tolist())
    if trained.best_iteration == trained.iterations:
        return {"last": last, "best": last}
    session.load(trained.best)
    return {"last": last, "best": session.evaluate("test")}


def _samples(source: Source) -> Samples:
    """The test images whose predictions are stored, evenly spaced over the split."""
    count = min(SAMPLES, len(source))
    chosen = [round((i + 0.5) * len(source) / count - 0.5) for i in range(count)]
    return Samples(
        images=_stack((source.image(i) for i in chosen), 0),
        labels=_stack((source.label(i) for i in chosen), VOID),
        names=np.array([source.names[i] for i in chosen]),
        classes=np.array(source.classes),
        palette=np.array(source.palette, np.uint8),
    )


def _stack(images: Iterable[NDArray[np.uint8]], fill: int) -> NDArray[np.uint8]:
    """Images in one array, at the top left of as much room as the largest takes."""
    found = list(images)
    room = np.max([image.shape for image in found], axis=0)
    return np.stack(
        [
            np.pad(
                image, [(0, most - size) for most, size in zip(room, image.shape, strict=True)], constant_values=fill
            )
            for image in found
        ]
    )


def _trained(spec: Spec, training: record.Training) -> Trained:
    """A training that is done, of a run that was stopped on test."""
    from benchmark.engine.session import Trained

    return Trained(
        iterations=training.iterations,
        seconds=training.seconds,
        loss=training.loss,
        val_miou=training.val_miou,
        best_iteration=max(training.val_miou, key=lambda point: (point[1], -point[0]))[0],
        last=spec.folder / "last.pth",
        best=spec.folder / "best.pth",
    )


def _training(
    spec: Spec,
    session: Session,
    iterations: int,
    seconds: float,
    loss: list[tuple[int, float]],
    val: list[tuple[int, float]],
) -> record.Training:
    return record.Training(
        iterations=iterations,
        images=iterations * spec.config.train_dataloader.dataset.batch_size,
        seconds=seconds,
        loss=loss,
        val_miou=val,
        execution=record.Execution(**asdict(session.driven), beside=spec.beside),
    )


def _evaluation(checkpoint: Any, iteration: int, name: str, counted: Counted, draft: Record) -> Evaluation:
    void: VoidRule = draft.protocol.void
    found = scores(counted.counts, void)

    def by_class(values: NDArray[np.float64]) -> dict[str, float | None]:
        return {
            name: None if np.isnan(value) else float(value)
            for name, value in zip(draft.dataset.classes, values, strict=True)
        }

    return Evaluation(
        checkpoint=checkpoint,
        split="test",
        iteration=iteration,
        images=len(counted.names),
        counts=name,
        iou=by_class(found.iou),
        acc=by_class(found.acc),
        **{key: value for key, value in asdict(found).items() if key in ("miou", "macc", "aacc")},
    )


def _artifacts(trained: Trained) -> list[record.Artifact]:
    return [
        record.Artifact(name=f"checkpoint_{name}", file=None, bytes=path.stat().st_size, sha256=file_sha256(path))
        for name, path in (("last", trained.last), ("best", trained.best))
    ]


def _failure(error: Exception) -> dict[str, Any]:
    """Status and one line for an exception that ended a run."""
    text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    line = text.partition("\n")[0]
    memory = isinstance(error, MemoryError) or "out of memory" in str(error) or "can't allocate memory" in str(error)
    return {"status": "out_of_memory" if memory else "failed", "error": line}
