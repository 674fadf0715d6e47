"""Predictions of all architectures for the same test images, from the files stored with the results.

Dataset images and ground truth are omitted by default, as most datasets must not be redistributed. Those of the
embedded, generated dataset are always included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.confusion import scores
from benchmark.datasets.catalog import EMBEDDED
from benchmark.datasets.digest import published_digest
from benchmark.reporting.palette import palette
from benchmark.results.arrays import Arrays, read_arrays
from benchmark.results.reading import Problem, Stored
from benchmark.results.record import Record
from benchmark.results.store import Samples, Store


@dataclass(frozen=True)
class Prediction:
    """The prediction of an architecture for one image.

    Attributes:
        labels: class indices, uint8 of shape (height, width); 255 for no class.
        miou: mIoU of this image only, in percent; NaN if its confusion matrix is not stored.
    """

    labels: NDArray[np.uint8]
    miou: float


@dataclass(frozen=True)
class Truth:
    """An image and its ground truth.

    Attributes:
        image: RGB, uint8 of shape (height, width, 3).
        labels: uint8 of shape (height, width), 255 for no class.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]


@dataclass(frozen=True)
class Predictions:
    """The predictions of a group of results.

    Attributes:
        images: names of the images.
        classes: names of the K classes.
        palette: RGB of each class, uint8 of shape (K, 3).
        seen: the prediction of each image by architecture, the best first.
        truth: image and ground truth by name, as far as they may be shown.
    """

    images: Sequence[str]
    classes: Sequence[str]
    palette: NDArray[np.uint8]
    seen: Mapping[str, Mapping[str, Prediction]]
    truth: Mapping[str, Truth]


def predictions(
    store: Store, by_architecture: Mapping[str, Sequence[Stored]], photographs: bool
) -> tuple[Predictions, list[Problem]]:
    """Return the predictions of the last checkpoint of the first seed of each architecture.

    Args:
        store: the store of the results.
        by_architecture: results of one group, the best architecture first, its seeds in order.
        photographs: include images and ground truth of any dataset.

    Returns:
        The predictions, and the files that could not be used.
    """
    seen: dict[str, dict[str, Prediction]] = {}
    problems: list[Problem] = []
    for architecture, stored in by_architecture.items():
        first = next((each for each in stored if each.record.status == "ok"), None)
        arrays = read_arrays(first) if first is not None else {}
        if isinstance(arrays, Problem):
            problems.append(arrays)
        elif first is not None and "predictions" in arrays and "prediction_names" in arrays:
            seen[architecture] = _predictions(first.record, arrays)
    record = next(stored[0].record for stored in by_architecture.values())
    images = list(dict.fromkeys(name for each in seen.values() for name in each))
    truth = _truth(store, record, images, photographs) if images else {}
    if isinstance(truth, Problem):
        problems.append(truth)
        truth = {}
    classes = record.dataset.classes
    return Predictions(images, classes, palette(record.dataset.name, classes), seen, truth), problems


def _predictions(record: Record, arrays: Arrays) -> dict[str, Prediction]:
    names = arrays["prediction_names"].tolist()
    return {
        name: Prediction(labels, _image_miou(record, arrays, name))
        for name, labels in zip(names, arrays["predictions"], strict=True)
    }


def _image_miou(record: Record, arrays: Arrays, name: str) -> float:
    """Return the mIoU of one image; that of the leaderboard is over the dataset, not the mean of these."""
    last, names = record.evaluation(), arrays.get("names_test", np.array([])).tolist()
    if last is None or name not in names or last.counts not in arrays:
        return float("nan")
    return scores(arrays[last.counts][names.index(name)], record.protocol.void).miou


def _truth(store: Store, record: Record, images: Sequence[str], photographs: bool) -> dict[str, Truth] | Problem:
    drawn = EMBEDDED.get(record.dataset.name)
    if drawn is not None and published_digest(drawn) == record.dataset.digest:
        source = drawn("test")
        indices = {name: source.names.index(name) for name in images if name in source.names}
        return {name: Truth(source.image(index), source.label(index)) for name, index in indices.items()}
    if not photographs:
        return {}
    samples = store.samples(record.protocol.name, record.dataset.digest)
    if isinstance(samples, Samples):
        known = zip(samples.names.tolist(), samples.images, samples.labels, strict=True)
        return {name: Truth(image, labels) for name, image, labels in known if name in images}
    if samples is None:
        place = store.root / record.protocol.name
        return Problem(place, "no dataset images: they are stored by the run, but not exported with results")
    return samples
