"""Check the arrays of a result: confusion matrices, the scores derived from them, and stored predictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.confusion import VOID, count, scores
from benchmark.results.arrays import TOTAL, Arrays, shape_mismatch
from benchmark.results.checks.catalog import check_images
from benchmark.results.reading import Problem
from benchmark.results.record import Evaluation, Record, printable

TOLERANCE = 1e-9
"""Maximum difference between a stored and a recomputed score in percent, for rounding errors."""


def check_arrays(record: Record, arrays: Arrays) -> Iterator[str]:
    """Compare the evaluations with their confusion matrices, and these with each other and with stored predictions.

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
            yield f"{name}: the stored sum differs from the sum of the confusion matrices"
        if not np.array_equal(pixels, truth.setdefault(split, pixels)):
            yield f"{name}: the ground truth differs from that of the other checkpoint"
        first = compared.setdefault((split, evaluation.iteration), evaluation)
        if not np.array_equal(arrays[first.counts], counts):
            yield f"{name}: the confusion matrices differ from those of {first.checkpoint}, at the same iteration"
    yield from _names(record, arrays)
    yield from check_predictions(record, arrays)


def _form(record: Record, evaluation: Evaluation, arrays: Arrays) -> str | None:
    """Return why an array cannot be the confusion matrices of an evaluation, or None."""
    bins, names = len(record.dataset.classes) + 1, f"names_{evaluation.split}"
    missing = [name for name in (evaluation.counts, names) if name not in arrays]
    if missing:
        return f"the file of confusion matrices lacks {' and '.join(missing)}"
    counts = arrays[evaluation.counts]
    if counts.dtype != np.int64 or counts.shape != (evaluation.images, bins, bins):
        shape = [evaluation.images, bins, bins]
        return f"the confusion matrices are {counts.dtype}{list(counts.shape)}, not int64{shape}"
    if len(arrays[names]) != evaluation.images or len(set(arrays[names].tolist())) != evaluation.images:
        return f"there are {evaluation.images} images and {len(set(arrays[names].tolist()))} names"
    if record.dataset.images.get(evaluation.split) != evaluation.images:
        expected = record.dataset.images.get(evaluation.split, 0)
        return f"{evaluation.images} images were evaluated, but the split has {expected}"
    if (counts < 0).any():
        return "a confusion matrix has a negative entry"
    if (counts.sum(axis=(1, 2)) == 0).any():
        return "a confusion matrix is all zero"
    return None


def check_scores(record: Record, evaluation: Evaluation, counts: NDArray[np.int64]) -> Iterator[str]:
    """Compare the scores of an evaluation with those of its confusion matrices.

    Args:
        record: the result, with its classes and void rule.
        evaluation: one of its evaluations.
        counts: confusion matrices, shape (images, K + 1, K + 1), or their sum.
    """
    classes = record.dataset.classes
    if counts.shape[-1] != len(classes) + 1:
        yield f"the confusion matrices have {counts.shape[-1] - 1} classes, but the dataset has {len(classes)}"
        return
    expected = scores(counts, record.protocol.void)
    for name in ("miou", "macc", "aacc"):
        stored, computed = getattr(evaluation, name), getattr(expected, name)
        if not abs(stored - computed) <= TOLERANCE:
            yield f"{name} is {stored}, but the confusion matrices give {computed}"
    for name in ("iou", "acc"):
        by_class: Mapping[str, float | None] = getattr(evaluation, name)
        if sorted(by_class) != sorted(classes):
            yield f"the classes of {name} are not those of the dataset"
            continue
        for label, computed in zip(classes, getattr(expected, name).tolist(), strict=True):
            value = by_class[label]
            stored = float("nan") if value is None else value
            if not (abs(stored - computed) <= TOLERANCE or (stored != stored and computed != computed)):
                yield f"{name} of {label} is {value}, but the confusion matrices give {computed}"


def _names(record: Record, arrays: Arrays) -> Iterator[str]:
    """Report the arrays that no evaluation names."""
    counts = {evaluation.counts for evaluation in record.evaluations}
    expected = {"predictions", "prediction_names", *(f"names_{each.split}" for each in record.evaluations)}
    for name in sorted(arrays.keys() - counts - expected - {f"{name}{TOTAL}" for name in counts}):
        yield f"the file of confusion matrices has an array that no evaluation names: {printable(name)}"


def check_predictions(record: Record, arrays: Arrays) -> Iterator[str]:
    """Compare stored predictions with the column sums of the confusion matrix of their image."""
    kept, names = arrays.get("predictions"), arrays.get("prediction_names")
    last = record.evaluation("last", "test")
    if len(() if kept is None else kept) != len(() if names is None else names):
        yield "the numbers of stored predictions and of their names differ"
        return
    if kept is None or names is None or last is None or _form(record, last, arrays):
        return
    classes, counts = len(record.dataset.classes), arrays[last.counts]
    places = {name: index for index, name in enumerate(arrays["names_test"].tolist())}
    if len(set(names.tolist())) < len(names):
        yield "the prediction of an image is stored twice"
    one_size = len(set(counts.sum(axis=(1, 2)).tolist())) == 1
    for name, prediction in zip(names.tolist(), kept, strict=True):
        if name not in places:
            yield f"a prediction of {name} is stored, which was not evaluated"
            continue
        found = np.bincount(prediction.ravel(), minlength=256)
        expected = counts[places[name]].sum(axis=0)
        if found[classes + 1 : VOID].any():
            yield f"the stored prediction of {name} has an unknown class"
        # Around an image that is smaller than the largest one the array is filled with void.
        padding = prediction.size - int(expected.sum())
        if not np.array_equal(found[:classes], expected[:classes]) or padding < 0 or (one_size and padding):
            yield f"the stored prediction of {name} does not match its confusion matrix"


def check_samples(record: Record, arrays: Arrays, samples: Arrays | Problem) -> Iterator[str]:
    """Compare the confusion matrices of sample images with their labels and stored predictions.

    Args:
        record: the result.
        arrays: all of its arrays.
        samples: `labels`, shape (n, height, width), and `names` of these images; a problem if they are missing.
    """
    last, kept = record.evaluation("last", "test"), arrays.get("predictions")
    if isinstance(samples, Problem) or last is None or kept is None or _form(record, last, arrays):
        return
    if shape_mismatch(Path(), samples) or kept.shape[1:] != samples["labels"].shape[1:]:
        return  # the file of the samples is damaged or has other images
    labels = dict(zip(samples["names"].tolist(), samples["labels"], strict=False))
    counts = dict(zip(arrays["names_test"].tolist(), arrays[last.counts], strict=True))
    classes = len(record.dataset.classes)
    for name, prediction in zip(arrays.get("prediction_names", np.array([])).tolist(), kept, strict=False):
        if name in labels and name in counts:
            found, expected = count(prediction, labels[name], classes), counts[name].copy()
            expected[-1, -1] = found[-1, -1]  # the padding of smaller images is void in both
            if not np.array_equal(found, expected):
                yield f"the confusion matrix of {name} differs from that of its stored prediction and label"
