"""Images and label maps as data URIs, so that a page carries its own pictures."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WIDTH = 640
"""Pixels; wider pictures are scaled down to it."""

VOID_COLOUR = (0, 0, 0)
"""Of pixels without ground truth, and of predictions that are no class."""


@dataclass(frozen=True)
class Picture:
    """An encoded picture: its data URI and its size in pixels."""

    source: str
    width: int
    height: int


def photo(image: NDArray[np.uint8]) -> Picture:
    """An RGB image of shape (height, width, 3)."""
    return _encode(_fit(Image.fromarray(image), Image.Resampling.LANCZOS), "jpeg", quality=90)


def label_map(label: NDArray[np.uint8], palette: NDArray[np.uint8]) -> Picture:
    """A label map of shape (height, width) in the colours of its classes.

    Args:
        label: class indices; 255 where there is none.
        palette: RGB of each class, shape (K, 3).
    """
    colours = np.full((256, 3), VOID_COLOUR, np.uint8)
    colours[: len(palette)] = palette
    picture = Image.fromarray(label)
    picture.putpalette(colours.tobytes())
    return _encode(_fit(picture, Image.Resampling.NEAREST), "png", optimize=True)


def _fit(picture: Image.Image, resampling: Image.Resampling) -> Image.Image:
    if picture.width <= WIDTH:
        return picture
    return picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), resampling)


def _encode(picture: Image.Image, format: str, **options: int) -> Picture:
    buffer = BytesIO()
    picture.save(buffer, format, **options)
    source = f"data:image/{format};base64,{b64encode(buffer.getvalue()).decode()}"
    return Picture(source, picture.width, picture.height)
