"""The test images for which each run of a protocol stores its predictions, for the report."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from benchmark.confusion import VOID
from benchmark.datasets.source import DatasetSplit
from benchmark.results.store import Samples

NUMBER = 4


def select(source: DatasetSplit) -> Samples:
    """Select images, evenly spaced over a split."""
    count = min(NUMBER, len(source))
    chosen = [round((i + 0.5) * len(source) / count - 0.5) for i in range(count)]
    return Samples(
        images=stack((source.image(i) for i in chosen), 0),
        labels=stack((source.label(i) for i in chosen), VOID),
        names=np.array([source.names[i] for i in chosen]),
        classes=np.array(source.classes),
        palette=np.array(source.palette, np.uint8),
    )


def stack(images: Iterable[NDArray[np.uint8]], fill: int) -> NDArray[np.uint8]:
    """Stack images into one array, each at the top left, padded to the largest height and width.

    Args:
        images: each of shape (height, width, ...), of any size.
        fill: the padding value.
    """
    found = list(images)
    largest = np.max([image.shape for image in found], axis=0)
    return np.stack(
        [
            np.pad(
                image, [(0, most - size) for most, size in zip(largest, image.shape, strict=True)], constant_values=fill
            )
            for image in found
        ]
    )
