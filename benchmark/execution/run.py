"""One run from beginning to end: profile, train, evaluate, and leave a record."""

from __future__ import annotations

import shutil
import sys
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
from benchmark.atomic import replacing
from benchmark.confusion import VOID, VoidRule, scores
from benchmark.datasets import catalog as datasets
from benchmark.datasets.digest import digest
from benchmark.datasets.source import Source, Split
from benchmark.errors import UserError
from benchmark.execution import unfinished
from benchmark.execution.lock import exclusive
from benchmark.execution.unfinished import Journal
from benchmark.results import environment, record
from benchmark.results.arrays import file_sha256
from benchmark.results.reading import Problem, Stored, folder, read
from benchmark.results.record import Evaluation, Record
from benchmark.results.store import Samples, Store

if TYPE_CHECKING:
    from mmengine import Config

    from benchmark.engine.feed import Resident
    from benchmark.engine.session import Counted, Session
    from benchmark.engine.trained import Trained

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
        UserError: the store cannot be written, or the very run is under way in another process.
        Stopped: its time was up; nothing is stored, and the next call goes on from there.
    """
    with exclusive(spec.folder):
        stored = _perform(spec, tell)
        keep = spec.config.protocol.keep_weights if spec.keep_weights is None else spec.keep_weights
        if stored.record.status == "ok" and not keep:  # after it is stored: a kill before costs no training
            shutil.rmtree(spec.folder)
    return stored.path


def _perform(spec: Spec, tell: Tell) -> Stored:
    from benchmark.engine.hooks import Stopped

    first = spec.config.first_stage.train_cfg.max_iters if "first_stage" in spec.config else 0
    journal = Journal(spec.folder, _begun(spec), tell, on_gpu=spec.device == "cuda", first_stage=first)
    arrays: dict[str, NDArray[Any]] = {}
    try:
        for found in _measure(spec, journal.record, journal.tell, arrays):
            journal.add(found)
    except Stopped as stop:
        journal.keep(stop.iteration)
        raise
    except Exception as error:
        arrays.clear()  # of evaluations that the record does not have
        with replacing(spec.folder / "error.log") as log:
            log.write_text(traceback.format_exc(), encoding="utf-8", errors="backslashreplace")
        journal.keep()  # if it is run again, the seconds of this call count
        journal.add(_failure(error))
    draft = journal.record
    path = Store(spec.results).add(draft, arrays)
    if draft.status in ("ok", "diverged"):
        unfinished.forget(spec.folder)
    return _read(path, draft)


def _read(path: Path, draft: Record) -> Stored:
    """What is stored of a run now: what it left, or an earlier result that ended well where it did not."""
    stored = read(path)
    if isinstance(stored, Problem):
        raise UserError(str(stored))
    if stored.record.status != draft.status:
        failure = f"{draft.architecture} seed {draft.seed}: {draft.status.replace('_', ' ')}: {draft.error}"
        print(f"{failure}; the earlier result, which ended well, is kept: {path}", file=sys.stderr)
    return stored


def _begun(spec: Spec) -> Record:
    """What is known of a run before it: nothing, or what it has measured before it was ended, on the same machine."""
    fresh, found = blank(spec, datetime.now(timezone.utc)), unfinished.find(spec.folder)
    if found is None or (found.record.run_id, found.record.environment) != (fresh.run_id, fresh.environment):
        return fresh
    if found.record.training and not _has_weights(spec.folder, found.record):
        print(f"segbench: warning: {spec.folder} lacks weights of its training, which begins anew", file=sys.stderr)
        return found.record.model_copy(update={"training": None, "artifacts": []})
    return found.record


def _has_weights(folder: Path, found: Record) -> bool:
    """Whether the weights that a training left are in its folder as it left them."""
    kept = {f"checkpoint_{name}": folder / f"{name}.pth" for name in ("last", "best")}
    stored = {artifact.name: artifact.sha256 for artifact in found.artifacts}
    return all(path.is_file() and file_sha256(path) == stored.get(name) for name, path in kept.items())


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
        error=record.printable(error) if error else "the run did not end",
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
                yield {"training": _training(spec, session.stopped(error), session.first_stage)}
                yield {"status": "diverged", "error": str(error)}
                return
        yield {
            "training": _training(spec, trained, session.first_stage),
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
    from benchmark.engine.trained import Trained

    return Trained(
        iterations=training.iterations,
        seconds=training.seconds,
        loss=training.loss,
        val_miou=training.val_miou,
        best_iteration=max(training.val_miou, key=lambda point: (point[1], -point[0]))[0],
        driven=None,  # as the record has it already
        folder=spec.folder,
    )


def _training(spec: Spec, trained: Trained, first: Trained | None) -> record.Training:
    """How the training went, with the first of two stages where it had two."""
    before = None if first is None else _stage(spec, first, spec.config.first_stage)
    return _stage(spec, trained, spec.config).model_copy(update={"first_stage": before})


def _stage(spec: Spec, trained: Trained, config: Config) -> record.Training:
    return record.Training(
        iterations=trained.iterations,
        images=trained.iterations * config.train_dataloader.dataset.batch_size,
        seconds=trained.seconds,
        loss=trained.loss,
        val_miou=trained.val_miou,
        execution=None if trained.driven is None else record.Execution(**asdict(trained.driven), beside=spec.beside),
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
    line = record.printable(text)
    memory = isinstance(error, MemoryError) or "out of memory" in str(error) or "can't allocate memory" in str(error)
    return {"status": "out_of_memory" if memory else "failed", "error": line}
