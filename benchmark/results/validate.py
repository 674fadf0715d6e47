"""Does a stored result say the truth? Everything in it that follows from something else in it is computed again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.confusion import scores
from benchmark.datasets.digest import published_digest
from benchmark.results import weights
from benchmark.results.arrays import COUNTS, TOTAL, Arrays, file_sha256, read_arrays, read_totals
from benchmark.results.reading import Problem, Stored, folder, read
from benchmark.results.record import Artifact, Dataset, Evaluation, Record, fingerprint, run_id

TOLERANCE = 1e-9
"""Percent by which a stored score may differ from the recomputed one: the rounding of the last bits, nothing else."""


def validate(path: Path) -> tuple[int, list[Problem]]:
    """Check a result file, or every result file under a folder.

    Returns:
        The number of files looked at, and what is wrong with them.
    """
    files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    return len(files), [problem for file in files for problem in check(file)]


def check(path: Path) -> list[Problem]:
    """What is wrong with one result file and the files beside it; nothing, if all is well."""
    if weights.is_evaluation(path):
        return weights.check(path)
    stored = read(path)
    if isinstance(stored, Problem):
        return [stored]
    record = stored.record
    found = [*_identity(record), *_place(stored), *_status(record)]
    if record.protocol.axes.get("data", {}).get("digest") not in (None, record.dataset.digest):
        found.append("the digest of the dataset is not that of the axes")
    damaged = list(files(stored))
    found += damaged
    whole = not any(why.startswith(f"artifact {COUNTS}:") for why in damaged)
    if record.evaluations and COUNTS not in {artifact.name for artifact in record.artifacts}:
        found.append("has scores but no counts that they follow from")
        whole = False
    problems = [Problem(path, why) for why in found]
    if record.evaluations and whole:
        arrays = read_arrays(stored)
        if isinstance(arrays, Problem):
            problems.append(arrays)
        else:
            problems += [Problem(path, why) for why in _accuracy(record, arrays)]
    return problems


def doubt(stored: Stored) -> Problem | None:
    """Why a result must not enter a table: it calls itself something else, or its counts give other scores.

    The first reason alone, and only what a table or a ranking rests on: cheap enough for every result that is new.
    """
    record = stored.record
    for why in _identity(record):
        return Problem(stored.path, why)
    totals = read_totals(stored)
    if isinstance(totals, Problem):
        return totals
    for evaluation in record.evaluations:
        for why in _scores(record, evaluation, totals[evaluation.counts]):
            return Problem(stored.path, f"{evaluation.checkpoint} on {evaluation.split}: {why}")
    return None


def _identity(record: Record) -> Iterator[str]:
    protocol = record.protocol
    if protocol.fingerprint != fingerprint(protocol.axes):
        yield f"fingerprint {protocol.fingerprint} is not the hash of the axes, {fingerprint(protocol.axes)}"
    expected = run_id(
        protocol.fingerprint, record.architecture, record.config_sha256, record.seed, record.environment.code.identity
    )
    if why := _classes(record.dataset):
        yield why
    if record.run_id != expected:
        yield f"run id {record.run_id} does not follow from what was run, which gives {expected}"


def _classes(dataset: Dataset) -> str | None:
    """Why the classes of a dataset cannot be those that its digest covers; None where they may be."""
    if len(set(dataset.classes)) != len(dataset.classes):
        return "a class of the dataset is named twice"
    from benchmark.datasets.catalog import EMBEDDED, ON_DISK

    known = (EMBEDDED | ON_DISK).get(dataset.name)
    if known is None or dataset.digest != published_digest(known) or list(known.classes) == dataset.classes:
        return None
    first = next(pair for pair in zip_longest(dataset.classes, known.classes) if pair[0] != pair[1])
    return f"the classes are not those of the digest: {first[0]} stands where {dataset.name} has {first[1]}"


def _place(stored: Stored) -> Iterator[str]:
    path, record = stored.path.resolve(), stored.record
    if path.stem != record.run_id:
        yield f"the file should be named {record.run_id}.json"
    home = f"{record.protocol.name}/{folder(record.architecture)}"
    if f"{path.parent.parent.name}/{path.parent.name}" != home:
        yield f"the file belongs into {home}/"


def _status(record: Record) -> Iterator[str]:
    if record.status == "ok" and record.error is not None:
        yield f"status is ok, and yet there is an error: {record.error}"
    if record.status == "ok" and not record.evaluations:
        yield "status is ok, and yet nothing was evaluated"
    if record.status != "ok" and not record.error:
        yield f"status is {record.status}, and there is no error that says why"


def files(stored: Stored) -> Iterator[str]:
    """What is wrong with the files beside a result: each is there, and as the run wrote it."""
    for artifact in stored.record.artifacts:
        if why := _artifact(stored.path.parent, artifact):
            yield f"artifact {artifact.name}: {why}"


def _artifact(home: Path, artifact: Artifact) -> str | None:
    """What is wrong with a file that the run wrote; None if nothing, or if it is kept elsewhere."""
    if artifact.file is None:
        return None
    if Path(artifact.file).name != artifact.file:
        return f"{artifact.file} is not beside the result"
    path = home / artifact.file
    try:
        if path.stat().st_size != artifact.bytes:
            return f"{path.name} has {path.stat().st_size} bytes, not {artifact.bytes}"
        if file_sha256(path) != artifact.sha256:
            return f"{path.name} is not the file that the run wrote: its SHA-256 differs"
    except OSError as error:
        return f"{path.name}: {error.strerror}"
    return None


def _accuracy(record: Record, arrays: Arrays) -> Iterator[str]:
    truth: dict[str, NDArray[np.int64]] = {}  # by split: pixels of each class in each image
    for evaluation in record.evaluations:
        name, split = f"{evaluation.checkpoint} on {evaluation.split}", evaluation.split
        why = _counts(record, evaluation, arrays)
        if why:
            yield f"{name}: {why}"
            continue
        counts = arrays[evaluation.counts]
        for why in _scores(record, evaluation, counts):
            yield f"{name}: {why}"
        pixels = counts.sum(axis=2)
        if len(arrays.get("predictions", ())) != len(arrays.get("prediction_names", ())):
            yield f"{name}: there is not one name for each prediction that is kept"
        if not np.array_equal(arrays.get(f"{evaluation.counts}{TOTAL}", total := counts.sum(axis=0)), total):
            yield f"{name}: the total is not that of the counts"
        if not np.array_equal(pixels, truth.setdefault(split, pixels)):
            yield f"{name}: the ground truth is not that of the other checkpoint"


def _counts(record: Record, evaluation: Evaluation, arrays: Arrays) -> str | None:
    """Why the counts of an evaluation cannot be what they are said to be, or None."""
    bins, names = len(record.dataset.classes) + 1, f"names_{evaluation.split}"
    missing = [name for name in (evaluation.counts, names) if name not in arrays]
    if missing:
        return f"the counts file lacks {' and '.join(missing)}"
    counts = arrays[evaluation.counts]
    if counts.dtype != np.int64 or counts.shape != (evaluation.images, bins, bins):
        return f"counts are {counts.dtype}{list(counts.shape)}, not int64{[evaluation.images, bins, bins]}"
    if len(set(arrays[names].tolist())) != evaluation.images:
        return f"there are {evaluation.images} images and {len(set(arrays[names].tolist()))} names"
    if record.dataset.images.get(evaluation.split) != evaluation.images:
        expected = record.dataset.images.get(evaluation.split, 0)
        return f"{evaluation.images} images were evaluated, and the split has {expected}"
    if (counts < 0).any():
        return "a count is negative"
    if (counts.sum(axis=(1, 2)) == 0).any():
        return "an image has no pixel"
    return None


def _scores(record: Record, evaluation: Evaluation, counts: NDArray[np.int64]) -> Iterator[str]:
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
