"""Check the arrays beside a result: confusion matrices, the scores that follow from them, and kept predictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.confusion import VOID, count, scores
from benchmark.results.arrays import TOTAL, Arrays, misfit
from benchmark.results.checks.catalog import check_images
from benchmark.results.reading import Problem
from benchmark.results.record import Evaluation, Record, printable

TOLERANCE = 1e-9
"""Percent by which a stored score may differ from the recomputed one: the rounding of the last bits, nothing else."""


def check_arrays(record: Record, arrays: Arrays) -> Iterator[str]:
    """Compare the evaluations with their confusion matrices, and these with each other and with kept predictions.

    Args:
        record: the result.
        arrays: all of its arrays.
    """
    truth: dict[str, NDArray[np.int64]] = {}  # by split: pixels of each class in each image
    compared: dict[tuple[str, int], Evaluation] = {}  # by split and iteration
    for evaluation in record.evaluations:
        name, split = f"{evaluation.checkpoint} on {evaluation.split}", evaluation.split
        why = _form(record, evaluation, arrays)
        if why:
            yield f"{name}: {why}"
            continue
        counts = arrays[evaluation.counts]
        for why in check_scores(record, evaluation, counts):
            yield f"{name}: {why}"
        for why in check_images(record.dataset, counts):
            yield f"{name}: {why}"
        pixels = counts.sum(axis=2)
        if not np.array_equal(arrays.get(f"{evaluation.counts}{TOTAL}", total := counts.sum(axis=0)), total):
            yield f"{name}: the total is not that of the counts"
        if not np.array_equal(pixels, truth.setdefault(split, pixels)):
            yield f"{name}: the ground truth is not that of the other checkpoint"
        first = compared.setdefault((split, evaluation.iteration), evaluation)
        if not np.array_equal(arrays[first.counts], counts):
            yield f"{name}: the counts are not those of {first.checkpoint}, which is of the same iteration"
    yield from _names(record, arrays)
    yield from check_predictions(record, arrays)


def _form(record: Record, evaluation: Evaluation, arrays: Arrays) -> str | None:
    """Why the confusion matrices of an evaluation cannot be what they are said to be, or None."""
    bins, names = len(record.dataset.classes) + 1, f"names_{evaluation.split}"
    missing = [name for name in (evaluation.counts, names) if name not in arrays]
    if missing:
        return f"the counts file lacks {' and '.join(missing)}"
    counts = arrays[evaluation.counts]
    if counts.dtype != np.int64 or counts.shape != (evaluation.images, bins, bins):
        return f"counts are {counts.dtype}{list(counts.shape)}, not int64{[evaluation.images, bins, bins]}"
    if len(arrays[names]) != evaluation.images or len(set(arrays[names].tolist())) != evaluation.images:
        return f"there are {evaluation.images} images and {len(set(arrays[names].tolist()))} names"
    if record.dataset.images.get(evaluation.split) != evaluation.images:
        expected = record.dataset.images.get(evaluation.split, 0)
        return f"{evaluation.images} images were evaluated, and the split has {expected}"
    if (counts < 0).any():
        return "a count is negative"
    if (counts.sum(axis=(1, 2)) == 0).any():
        return "an image has no pixel"
    return None


def check_scores(record: Record, evaluation: Evaluation, counts: NDArray[np.int64]) -> Iterator[str]:
    """Compare the scores of an evaluation with those of its confusion matrices.

    Args:
        record: the result; says the classes and the void rule.
        evaluation: one of its evaluations.
        counts: confusion matrices, shape (images, K + 1, K + 1), or their sum.
    """
    classes = record.dataset.classes
    if counts.shape[-1] != len(classes) + 1:
        yield f"counts are of {counts.shape[-1] - 1} classes, the dataset has {len(classes)}"
        return
    expected = scores(counts, record.protocol.void)
    for name in ("miou", "macc", "aacc"):
        stored, computed = getattr(evaluation, name), getattr(expected, name)
        if not abs(stored - computed) <= TOLERANCE:
            yield f"{name} is {stored}, the counts give {computed}"
    for name in ("iou", "acc"):
        by_class: Mapping[str, float | None] = getattr(evaluation, name)
        if sorted(by_class) != sorted(classes):
            yield f"{name} is not given for exactly the classes of the dataset"
            continue
        for label, computed in zip(classes, getattr(expected, name).tolist(), strict=True):
            value = by_class[label]
            stored = float("nan") if value is None else value
            if not (abs(stored - computed) <= TOLERANCE or (stored != stored and computed != computed)):
                yield f"{name} of {label} is {value}, the counts give {computed}"


def _names(record: Record, arrays: Arrays) -> Iterator[str]:
    """Name the arrays that no evaluation has."""
    counts = {evaluation.counts for evaluation in record.evaluations}
    expected = {"predictions", "prediction_names", *(f"names_{each.split}" for each in record.evaluations)}
    for name in sorted(arrays.keys() - counts - expected - {f"{name}{TOTAL}" for name in counts}):
        yield f"the counts file has an array that no evaluation names: {printable(name)}"


def check_predictions(record: Record, arrays: Arrays) -> Iterator[str]:
    """Compare the predictions that are kept with the columns of the confusion matrix of their image."""
    kept, names = arrays.get("predictions"), arrays.get("prediction_names")
    last = record.evaluation("last", "test")
    if len(() if kept is None else kept) != len(() if names is None else names):
        yield "there is not one name for each prediction that is kept"
        return
    if kept is None or names is None or last is None or _form(record, last, arrays):
        return
    classes, counts = len(record.dataset.classes), arrays[last.counts]
    places = {name: index for index, name in enumerate(arrays["names_test"].tolist())}
    if len(set(names.tolist())) < len(names):
        yield "the predictions of one image are kept twice"
    one_size = len(set(counts.sum(axis=(1, 2)).tolist())) == 1
    for name, prediction in zip(names.tolist(), kept, strict=True):
        if name not in places:
            yield f"a prediction is kept of {name}, which was not evaluated"
            continue
        found = np.bincount(prediction.ravel(), minlength=256)
        expected = counts[places[name]].sum(axis=0)
        if found[classes + 1 : VOID].any():
            yield f"the prediction that is kept of {name} has a class that is none"
        # Around an image that is smaller than the largest one the array is filled with void.
        room = prediction.size - int(expected.sum())
        if not np.array_equal(found[:classes], expected[:classes]) or room < 0 or (one_size and room):
            yield f"the prediction that is kept of {name} is not the one that its confusion matrix counts"


def check_samples(record: Record, arrays: Arrays, samples: Arrays | Problem) -> Iterator[str]:
    """Compare the confusion matrices of the images whose predictions are kept with their labels.

    Args:
        record: the result.
        arrays: all of its arrays.
        samples: `labels`, shape (n, height, width), and `names` of these images; a problem where there are none.
    """
    last, kept = record.evaluation("last", "test"), arrays.get("predictions")
    if isinstance(samples, Problem) or last is None or kept is None or _form(record, last, arrays):
        return
    if misfit(Path(), samples) or kept.shape[1:] != samples["labels"].shape[1:]:
        return  # the file of the samples is damaged, or of other images
    labels = dict(zip(samples["names"].tolist(), samples["labels"], strict=False))
    counts = dict(zip(arrays["names_test"].tolist(), arrays[last.counts], strict=True))
    classes = len(record.dataset.classes)
    for name, prediction in zip(arrays.get("prediction_names", np.array([])).tolist(), kept, strict=False):
        if name in labels and name in counts:
            found, expected = count(prediction, labels[name], classes), counts[name].copy()
            expected[-1, -1] = found[-1, -1]  # around an image that is smaller than the largest both are void
            if not np.array_equal(found, expected):
                yield f"the prediction that is kept of {name} and its label give another confusion matrix"
