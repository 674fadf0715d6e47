"""Images and label maps as data URIs that are embedded in a page.

The format is PNG, which is lossless, so that pictures of two pages can be compared by pixels.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmark.confusion import VOID
from benchmark.reporting.palette import coloured

WIDTH = 640
"""Maximum width in pixels; wider pictures are scaled down to it."""


WRONG = (214, 0, 84)
"""The colour of wrong pixels, which no usual palette has."""

ERRORS = np.array([(255, 255, 255), WRONG, (128, 128, 128)], np.uint8)
"""Colours of right and wrong pixels, and of those without ground truth, in an error map."""

OPACITIES = bytes([200, 255, 230])
"""Opacities of the same from 0 to 255: the map lies on the prediction, whose right pixels are seen faintly."""

HEAT = (0.0, 0.1, 0.5, 2.0, 10.0, 30.0, 60.0)
"""Shares in percent above which a cell of a heat map has the next opacity; a cell without pixels has none."""

HEAT_OPACITIES = bytes([0, 20, 45, 80, 120, 165, 210, 255])
"""Opacities of a cell without pixels and of those of `HEAT`, from 0 to 255; the page shows through, light or dark."""

DIAGONAL, BESIDE = (24, 118, 190), (214, 84, 20)
"""Colours of right and of wrong pixels in a heat map, on light and on dark pages."""


@dataclass(frozen=True)
class Picture:
    """An encoded picture: its data URI and its size in pixels."""

    source: str
    width: int
    height: int


def photo(image: NDArray[np.uint8]) -> Picture:
    """Encode an RGB image of shape (height, width, 3)."""
    return _encode(_fit(Image.fromarray(image), Image.Resampling.LANCZOS))


def label_map(labels: NDArray[np.uint8], palette: NDArray[np.uint8]) -> Picture:
    """Encode a label map of shape (height, width) in the colours of its classes.

    Args:
        labels: class indices; 255 for no class.
        palette: RGB of each class, shape (K, 3).
    """
    used = np.append(
        np.arange(len(palette), dtype=np.uint8), np.uint8(255)
    )  # a palette of 256 takes most of a small file
    picture = Image.fromarray(np.where(labels < len(palette), labels, len(palette)).astype(np.uint8))
    picture.putpalette(coloured(used, palette).tobytes())
    return _encode(_fit(picture, Image.Resampling.NEAREST))


def error_map(labels: NDArray[np.uint8], truth: NDArray[np.uint8]) -> Picture:
    """Encode the errors of a prediction as a picture with transparency, to be laid on the prediction.

    Args:
        labels: class indices of the prediction, shape (height, width); 255 for no class.
        truth: ground truth of the same shape; 255 for void.
    """
    kinds = np.where(truth == VOID, 2, labels != truth).astype(np.uint8)
    picture = Image.fromarray(kinds)
    picture.putpalette(ERRORS.tobytes())
    return _encode(_fit(picture, Image.Resampling.NEAREST), transparency=OPACITIES)


def heat_map(percent: NDArray[np.float64]) -> Picture:
    """Encode a confusion matrix with a pixel for each cell, whose opacity shows the share in a few steps.

    Args:
        percent: shares of the pixels of the true class, shape (rows, columns).
    """
    levels = np.searchsorted(HEAT, percent, side="left").astype(np.uint8)
    steps = len(HEAT)
    rows, columns = np.indices(levels.shape)
    is_right = (rows == columns) & (levels > 0)
    picture = Image.fromarray(np.where(is_right, levels + steps, levels).astype(np.uint8))
    picture.putpalette(bytes([*BESIDE] * (1 + steps) + [*DIAGONAL] * steps))
    return _encode(picture, transparency=HEAT_OPACITIES + HEAT_OPACITIES[1:])


def _fit(picture: Image.Image, resampling: Image.Resampling) -> Image.Image:
    if picture.width <= WIDTH:
        return picture
    return picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), resampling)


def _encode(picture: Image.Image, **options: Any) -> Picture:
    buffer = BytesIO()
    picture.save(buffer, "png", optimize=True, **options)
    source = f"data:image/png;base64,{b64encode(buffer.getvalue()).decode()}"
    return Picture(source, picture.width, picture.height)
