"""Check results of one store against each other: shared facts, and values that are unique to a run.

A result yields facts as plain data: a subject and a value. Facts of one subject must agree; otherwise those that differ
from the majority are reported, or all of them without a majority.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmark.catalog.own import METHOD
from benchmark.results.arrays import Arrays
from benchmark.results.checks.axes import axis
from benchmark.results.checks.catalog import DATASETS
from benchmark.results.reading import Problem, Stored
from benchmark.results.record import Record
from benchmark.results.weights import Evaluated


class Fact(NamedTuple):
    """A value that several files of a store state."""

    path: Path
    what: str
    """a message about the files with the same subject"""
    subject: Hashable
    value: Hashable


class SharedFact(NamedTuple):
    """A measurement that should be similar for all results of its subject."""

    path: Path
    what: str
    subject: Hashable
    value: float
    least: float
    """the minimum, as a factor of the smallest of the others"""
    most: float
    """the maximum, as a factor of the largest of the others"""


def outliers(figures: Iterable[SharedFact]) -> Iterator[Problem]:
    """Find the measurements that are far from the others of their subject, if there are at least two others."""
    groups: dict[Hashable, list[SharedFact]] = defaultdict(list)
    for figure in figures:
        groups[figure.what, figure.subject].append(figure)
    for group in groups.values():
        for figure in group if len(group) > 2 else []:
            others = [other.value for other in group if other is not figure]
            if not figure.least * min(others) <= figure.value <= figure.most * max(others):
                span = f"{min(others):.3g} to {max(others):.3g}"
                yield Problem(figure.path, f"{figure.what} is {figure.value:.3g}, of similar results {span}")


def figures(stored: Stored) -> Iterator[SharedFact]:
    """Yield the measurements of a result that are comparable with those of other results on the same device."""
    record, environment = stored.record, stored.record.environment
    device, torch = environment.gpu or environment.cpu, environment.packages.get("torch")
    for each in record.latency:
        if each.unsteady is None and each.anchor_ratio is not None:
            setting = (each.regime, each.size, each.batch, each.precision, each.compiled, each.threads, each.anchor)
            subject = (record.config_sha256, device, torch, *setting)
            yield SharedFact(stored.path, "the latency ratio to the anchor", subject, each.anchor_ratio, 1 / 1.5, 1.5)
    training = record.training
    if record.status == "ok" and training is not None and training.iterations:
        like = (record.config_sha256, record.protocol.fingerprint, device, torch, environment.threads)
        seconds = training.seconds / training.iterations
        # Other load on a machine makes a step slower, never faster.
        yield SharedFact(stored.path, "the time of a training step in seconds", like, seconds, 1 / 4, math.inf)


def contradictions(facts: Iterable[Fact]) -> Iterator[Problem]:
    """Find the facts that disagree with the others of their subject."""
    groups: dict[Hashable, list[Fact]] = defaultdict(list)
    for fact in facts:
        groups[fact.what, fact.subject].append(fact)
    for group in groups.values():
        values = Counter(fact.value for fact in group)
        if len(values) == 1:
            continue
        (_, most), (_, second) = values.most_common(2)
        usual = {value for value, count in values.items() if count == most} if most > second else set()
        for fact in group:
            if fact.value not in usual:
                other = next(each for each in group if each.value != fact.value and (not usual or each.value in usual))
                yield Problem(fact.path, f"{fact.what}: compare {other.path.name}")


def facts(stored: Stored, arrays: Arrays | None) -> Iterator[Fact]:
    """Yield the facts of a result that other results state too.

    Args:
        stored: the result.
        arrays: its arrays, if they were read and are valid.
    """
    for what, subject, value in (*_shared(stored.record), *_own(stored.record), *_counted(stored.record, arrays or {})):
        yield Fact(stored.path, what, subject, value)


def weights_facts(path: Path, evaluated: Evaluated) -> Iterator[Fact]:
    """Yield the facts of an evaluation of published weights that other results state too."""
    protocol, dataset = evaluated.protocol, evaluated.dataset
    for what, subject, value in _dataset(dataset.digest, dataset.name, dataset.classes, dataset.images):
        yield Fact(path, what, subject, value)
    if evaluated.counts:
        yield Fact(path, TRUTH, (dataset.digest, evaluated.split), tuple(evaluated.matrix.sum(axis=1).tolist()))
        yield Fact(path, COUNTS, (dataset.digest, evaluated.split, str(evaluated.counts)), evaluated.weights_sha256)
    yield Fact(
        path, "the architecture is not that of the same weights", evaluated.weights_sha256, evaluated.architecture
    )
    yield Fact(path, AXES, _origin(protocol.name, protocol.overrides, evaluated.environment), _plain(protocol.axes))


Claim = tuple[str, Hashable, Hashable]

TRUTH = "the ground truth has other numbers of pixels by class than that of the same data"
AXES = "the axes are not those of the same protocol of the same commit"
COUNTS = "the confusion matrix is the same as that of other weights"


def _dataset(digest: str, name: str, classes: list[str], images: dict[str, int]) -> Iterator[Claim]:
    known = name if name in DATASETS else None  # users may call one dataset by several names
    value = (known, tuple(classes), tuple(sorted(images.items())))
    yield "name, classes or number of images are not those of the same digest", digest, value


def _shared(record: Record) -> Iterator[Claim]:
    """Yield the facts of a result that others of the same config, code or packages share."""
    protocol, environment, found = record.protocol, record.environment, record.complexity
    dataset, code, packages = record.dataset, environment.code, environment.packages
    yield from _dataset(dataset.digest, dataset.name, dataset.classes, dataset.images)
    yield "the method is not that of the same architecture", (record.architecture, code.version), record.method
    yield "the architecture is not that of the same config", record.config_sha256, record.architecture
    if code.commit is not None:
        yield "the version is not that of the same commit", code.commit, code.version
    yield "the packages are not those of the same hash", environment.packages_sha256, _plain(packages)
    if environment.gpu is not None:
        machine = (environment.packages_sha256, environment.gpu)
        yield "cuda or cudnn are not those of the same packages", machine, (environment.cuda, environment.cudnn)
    if code.commit is not None and code.dirty is False:
        yield AXES, (_origin(protocol.name, protocol.overrides, environment), dataset.digest), _plain(protocol.axes)
        if not _is_own(record):  # which has sources of its own
            subject = (record.architecture, protocol.fingerprint, code.commit, packages.get("mmsegmentation"))
            yield "the config is not that of the same architecture and commit", subject, record.config_sha256
        installed = (environment.packages_sha256, code.commit, environment.platform)
        yield "the adaptations are not those of the same packages", installed, tuple(environment.adaptations)
    if found is not None:
        config = (record.config_sha256, code.version)
        sizes = (found.params, found.params_total, found.params_start)
        yield "the parameters are not those of the same config", config, sizes
        counted = (*config, found.size, packages.get("torch"))
        yield "the MACs are not those of the same config", counted, (found.macs, found.macs_torch)
        yield "the uncounted operators are not those of the same config", counted, tuple(found.uncounted)
        yield "the size is not that of the same protocol", (protocol.fingerprint, protocol.name), found.size
        for artifact in record.artifacts:
            if artifact.name.startswith("checkpoint"):
                saved = (*config, packages.get("torch"))
                yield "a checkpoint has another size than those of the same config", saved, artifact.bytes
    for each in record.latency:
        timed = (protocol.fingerprint, code.version, each.regime, each.device)
        value = (each.clock, each.batch, each.precision, each.layout, each.compiled, each.threads, each.anchor)
        yield "the timed settings differ from those of other results", timed, value


def _own(record: Record) -> Iterator[Claim]:
    """Yield values that are bitwise unique to a training, with the training as the value of the fact."""
    training = record.training
    if record.status != "ok" or training is None:
        return
    owner = _owner(record)
    for artifact in record.artifacts:
        if artifact.name.startswith("checkpoint"):
            yield "the weights are those of another training", artifact.sha256, owner
        elif artifact.name == "counts":
            yield "the confusion matrices are those of another training", artifact.sha256, owner
    if len(training.loss) > 1:
        yield "the losses are those of another training", tuple(training.loss), owner
    for each in record.evaluations:
        if sum(bool(value) for value in each.iou.values()) > 1:  # constant predictions have equal scores
            scores = (record.dataset.digest, each.split, record.protocol.void, _plain(each.iou))
            yield "the scores are those of another training", scores, owner


def _owner(record: Record) -> Hashable:
    """Return what names a training. Two names of the user's may be of one network, and an edit need not change it."""
    network = ("own",) if _is_own(record) else (record.architecture, record.config_sha256)
    return *network, record.seed, _conditions(record.protocol.axes)


def _is_own(record: Record) -> bool:
    return record.source is not None or record.method == METHOD


def _counted(record: Record, arrays: Arrays) -> Iterator[Claim]:
    """Yield the facts of the arrays: ground truth and images."""
    digest, void = record.dataset.digest, len(record.dataset.classes)
    for each in record.evaluations:
        names, counts = arrays.get(f"names_{each.split}"), arrays.get(each.counts)
        if names is None or counts is None or counts.ndim != 3 or len(names) != len(counts):
            continue
        pixels = counts.sum(axis=2)[np.argsort(names)]
        yield TRUTH, (digest, each.split), tuple(pixels.sum(axis=0).tolist())
        whole = _hash(*sorted(names.tolist()), pixels.tobytes())
        yield "the ground truth of an image is not that of the same data", (digest, each.split), whole
    if arrays and record.evaluations:
        images = tuple(arrays["prediction_names"].tolist()) if "prediction_names" in arrays else ()
        yield (
            "predictions are stored for other images than in the same protocol",
            (record.protocol.fingerprint, record.protocol.name),
            images,
        )
    kept = arrays.get("predictions")
    if kept is not None and len(np.unique(kept[kept < void])) > 1:
        owner = _owner(record)
        yield "the stored predictions are those of another training", _hash(kept.tobytes()), owner


def _origin(protocol: str, overrides: Any, environment: Any) -> Hashable:
    return protocol, _plain(overrides), environment.code.commit, environment.packages.get("mmsegmentation")


def _conditions(axes: dict[str, Any]) -> str:
    """Return the axes that affect the training, without those of the evaluation."""
    kept = {name: value for name, value in axes.items() if name not in ("evaluation", "void", "splits")}
    schedule = axis(axes, "schedule")
    if isinstance(schedule, dict):
        kept["schedule"] = {name: value for name, value in schedule.items() if name != "validation_interval"}
    return _plain(kept)


def _plain(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _hash(*parts: str | bytes) -> str:
    sha256 = hashlib.sha256()
    for part in parts:
        sha256.update((part.encode() if isinstance(part, str) else part) + b"\0")
    return sha256.hexdigest()
