"""Pack the augmentation parameters of a batch into one array, for one copy to the device."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmark.inputs.augmentation import Draws, Policy, tabulated

FIELDS = 7
"""Number of parameters of an image before those of its crops."""


def tabulate(indices: NDArray[np.int64], draws: Draws, shape: tuple[int, ...], policy: Policy) -> NDArray[np.float32]:
    """Pack the augmentation parameters of a batch into one array.

    Args:
        indices: dataset indices of the images, shape (batch,).
        draws: random decisions for the images.
        shape: (height, width) of the images.
        policy: policy of the decisions.

    Returns:
        Shape (batch, FIELDS + 6 tries). For each image: its index, flip, brightness, the factor of an early
        contrast, saturation, sixths of the hue circle, the factor of a late contrast; and for each of its crops the
        attributes of `Window` in their order. A float32 represents integers of this size exactly.
    """
    windows = tabulated(shape, draws, policy)
    table = np.empty((len(indices), FIELDS + len(windows) * windows[0].shape[1]), np.float32)
    table[:, 0] = indices
    table[:, 1] = draws.flip
    table[:, 2] = np.floor(draws.brightness)
    table[:, 3] = np.where(draws.contrast_first, draws.contrast, 1.0)
    table[:, 4] = draws.saturation
    table[:, 5] = draws.hue / 30
    table[:, 6] = np.where(draws.contrast_first, 1.0, draws.contrast)
    for place, values in enumerate(windows):
        table[:, FIELDS + place :: len(windows)] = values
    return table
