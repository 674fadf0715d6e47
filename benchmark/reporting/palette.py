"""The colours of classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets import catalog
from benchmark.datasets.colours import distinct_colours
from benchmark.errors import UserError

VOID = (0, 0, 0)
"""The colour of void pixels, and of predictions that are not a class."""


def palette(dataset: str, classes: Sequence[str]) -> NDArray[np.uint8]:
    """Return the usual colours of a dataset, or distinct hues for an unknown one.

    Args:
        dataset: its name.
        classes: names of its K classes, as in the results.

    Returns:
        RGB, uint8 of shape (K, 3).
    """
    try:
        known = catalog.dataset(dataset)
    except UserError:
        known = None
    if known is not None and list(known.classes) == list(classes):
        return np.array(known.palette, np.uint8)
    return distinct_colours(len(classes))


def coloured(labels: NDArray[np.uint8], colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a label map of shape (height, width) in the colours of its classes: RGB of shape (height, width, 3)."""
    table = np.full((256, 3), VOID, np.uint8)
    table[: len(colours)] = colours
    return table[labels]


def legend(classes: Sequence[str], colours: NDArray[np.uint8]) -> list[tuple[str, tuple[int, int, int]]]:
    """Return each class with its RGB colour, void last."""
    return [*((name, (r, g, b)) for name, (r, g, b) in zip(classes, colours.tolist(), strict=True)), ("void", VOID)]
