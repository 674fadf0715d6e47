"""Distinct colours for classes that have none."""

from __future__ import annotations

from colorsys import hsv_to_rgb

import numpy as np
from numpy.typing import NDArray


def distinct_colours(count: int) -> NDArray[np.uint8]:
    """Return RGB colours of distinct hues, uint8 of shape (count, 3)."""
    hues = [hsv_to_rgb(index * 0.618034 % 1, 0.65, 0.9) for index in range(count)]  # steps of the golden ratio
    colours: NDArray[np.uint8] = np.rint(255 * np.array(hues)).astype(np.uint8).reshape(-1, 3)
    return colours
