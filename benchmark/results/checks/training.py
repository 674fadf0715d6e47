"""Check that iterations, curves, checkpoints and evaluations belong to one training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmark.results.checks.axes import axis, number
from benchmark.results.record import Evaluation, Record, Training
from benchmark.results.summary import EXTERNAL

SCORES = ("miou", "macc", "aacc", "iou", "acc")

UNCOUNTED = 60.0
"""Seconds by which the parts of a run may exceed the whole: a killed and resumed run loses some seconds."""


def check_status(record: Record) -> Iterator[str]:
    """Compare the status with the fields of the record."""
    if record.status == "ok":
        yield from _succeeded(record)
        return
    if not record.error:
        yield f"status is {record.status}, but error is missing"
    if record.evaluations:
        yield f"status is {record.status}, but there are evaluations"
    if any(artifact.name == "counts" for artifact in record.artifacts):
        yield f"status is {record.status}, but there are confusion matrices"
    if record.status == "diverged" and any(artifact.name.startswith("checkpoint") for artifact in record.artifacts):
        yield "status is diverged, but there are checkpoints of a finished training"


def _succeeded(record: Record) -> Iterator[str]:
    if record.error is not None:
        yield f"status is ok, but there is an error: {record.error}"
    if not record.evaluations:
        yield "status is ok, but evaluations are missing"
        return
    if record.method == EXTERNAL:
        yield from _external(record)
        return
    for checkpoint in ("last", "best"):
        if record.evaluation(checkpoint) is None:
            yield f"status is ok, but the evaluation of {checkpoint} on test is missing"
    for name in ("training", "complexity", "memory"):
        if getattr(record, name) is None:
            yield f"status is ok, but {name} is missing"
    artifacts = [artifact.name for artifact in record.artifacts]
    for name in ("checkpoint_last", "checkpoint_best"):
        if name not in artifacts:
            yield f"status is ok, but the artifact {name} is missing"


def _external(record: Record) -> Iterator[str]:
    for name in ("training", "memory"):
        if getattr(record, name) is not None:
            yield f"the predictions are external, but {name} is set"
    if any(artifact.name.startswith("checkpoint") for artifact in record.artifacts):
        yield "the predictions are external, but there are checkpoints"


def check_training(record: Record) -> Iterator[str]:
    """Compare each stage of the training with its axes, and its curves with its iterations."""
    training, axes = record.training, record.protocol.axes
    if training is None:
        return
    done = record.status == "ok"
    yield from _stage(training, axes, "training", done=done)
    if record.status == "diverged" and training.loss and training.loss[-1][0] >= training.iterations:
        yield f"status is diverged, but the loss is finite at the last iteration, {training.iterations}"
    if record.environment.device == "cpu" and training.execution is not None and training.execution.graph:
        yield "training.execution.graph is true, on a CPU"
    first, planned = training.first_stage, axis(axes, "first_stage")
    if (first is None) != (planned is None) and (done or planned is None):
        yield "only one of axes and training has a first stage"
    if first is not None:
        if first.first_stage is not None:
            yield "the first stage has a first stage of its own"
        if isinstance(planned, Mapping):
            yield from _stage(first, planned, "training.first_stage", done=done)
    spent = sum(each.seconds + (each.setup_seconds or 0.0) for each in (training, first) if each is not None)
    if spent > record.seconds + UNCOUNTED:
        yield f"the training took {spent:.0f} seconds, but the whole run {record.seconds:.0f}"


def _stage(training: Training, axes: Mapping[str, Any], name: str, *, done: bool) -> Iterator[str]:
    iterations, batch = number(axes, "schedule.iterations"), number(axes, "batch")
    if iterations is not None and (training.iterations != iterations if done else training.iterations > iterations):
        yield f"{name}.iterations is {training.iterations}, but the axes have {iterations}"
    if batch is not None and training.images != training.iterations * batch:
        yield f"{name}.images is {training.images}, not {training.iterations} batches of {batch}"
    if done and training.seconds <= 0:
        yield f"{name}.seconds is {training.seconds} for {training.iterations} iterations"
    if odd := next((loss for _, loss in training.loss if not 0 <= loss < math.inf), None):
        yield f"{name}.loss has {odd:g}, but a loss is finite and not negative"
    yield from _curve(f"{name}.loss", [at for at, _ in training.loss], None, training.iterations, done=done)
    interval = number(axes, "schedule.validation_interval")
    yield from _curve(f"{name}.val_miou", [at for at, _ in training.val_miou], interval, training.iterations, done=done)


def _curve(name: str, at: Sequence[int], interval: int | None, last: int, *, done: bool) -> Iterator[str]:
    """Compare the iterations of a curve's points with the expected ones.

    Args:
        name: name of the curve.
        at: the iterations of its points.
        interval: interval of the points; None to use the first point.
        last: number of completed iterations, where the last point is if the training was finished.
        done: whether the training was finished.
    """
    if not at:
        if done and last:
            yield f"{name} is empty"
        return
    interval = interval or at[0]
    due = list(range(interval, last + 1, interval)) if interval else []
    if done and (not due or due[-1] != last):
        due.append(last)
    if list(at) != (due if done else due[: len(at)]):
        wrong = next((a for a, b in zip(at, due, strict=False) if a != b), None)
        where = f"has a point at {wrong}" if wrong is not None else f"has {len(at)} points, not {len(due)}"
        yield f"{name} {where}: points are expected every {interval} iterations up to {last}"


def check_evaluations(record: Record) -> Iterator[str]:
    """Compare the evaluations with the training, and with each other if both checkpoints are the same."""
    places = [(each.checkpoint, each.split) for each in record.evaluations]
    for checkpoint, split in sorted({place for place in places if places.count(place) > 1}):
        yield f"{checkpoint} on {split} is evaluated twice"
    for each in record.evaluations:
        if each.counts != f"{each.checkpoint}_{each.split}":
            yield f"{each.checkpoint} on {each.split}: its confusion matrices are named {each.counts}"
        expected = None if record.training is None else _iteration(each, record.training)
        if expected is not None and each.iteration != expected:
            yield f"{each.checkpoint} on {each.split}: iteration is {each.iteration}, but the training has {expected}"
    hashes = {artifact.name: artifact.sha256 for artifact in record.artifacts}
    last, best = hashes.get("checkpoint_last"), hashes.get("checkpoint_best")
    for split in sorted({split for _, split in places}):
        both = [each for each in record.evaluations if each.split == split][:2]
        if len(both) < 2:
            continue
        same = both[0].iteration == both[1].iteration
        if last and best and same != (last == best):
            yield f"the checkpoints last and best are {'not ' if same else ''}the same file, unlike their iterations"
        if same and any(getattr(both[0], name) != getattr(both[1], name) for name in SCORES):
            yield f"last and best on {split} are of one iteration, but their scores differ"


def _iteration(evaluation: Evaluation, training: Training) -> int | None:
    """Return the iteration of the evaluated weights; the best checkpoint is the first with the maximum mIoU on val."""
    if evaluation.checkpoint == "last":
        return training.iterations
    if not training.val_miou:
        return None
    return max(training.val_miou, key=lambda point: (point[1], -point[0]))[0]
