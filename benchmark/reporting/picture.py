"""Images and label maps as data URIs that are embedded in a page.

The format is PNG, which is lossless, so that pictures of two pages can be compared by pixels.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmark.reporting.palette import coloured

WIDTH = 640
"""Maximum width in pixels; wider pictures are scaled down to it."""


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


def _fit(picture: Image.Image, resampling: Image.Resampling) -> Image.Image:
    if picture.width <= WIDTH:
        return picture
    return picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), resampling)


def _encode(picture: Image.Image) -> Picture:
    buffer = BytesIO()
    picture.save(buffer, "png", optimize=True)
    source = f"data:image/png;base64,{b64encode(buffer.getvalue()).decode()}"
    return Picture(source, picture.width, picture.height)
