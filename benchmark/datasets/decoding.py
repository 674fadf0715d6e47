"""Decodes image files; whatever is wrong with one becomes an error that names it."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from benchmark.errors import UserError

FORMATS = ("PNG", "WEBP", "JPEG")

PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
"""What a PNG file begins and ends with."""


def decode(path: Path, mode: Literal["RGB", "L"]) -> NDArray[np.uint8]:
    """All pixels of a file.

    Args:
        path: the file.
        mode: "RGB", or "L" for class indices as they are, from a palette image too.

    Raises:
        UserError: the file cannot be decoded, or holds no class indices.
    """
    with _opened(path) as image:
        if mode == "L" and image.mode not in ("L", "P"):
            raise UserError(f"{path}: a label holds class indices in one channel of 8 bits; this is {image.mode}")
        return np.array(image if mode == "L" else image.convert(mode))


def decode_label(path: Path, image: Path) -> NDArray[np.uint8]:
    """The class indices in a file, as they are.

    Args:
        path: the file.
        image: the file of its image, which must be of its size.

    Raises:
        UserError: the file cannot be decoded, holds no class indices, or is of another size than its image.
    """
    label = decode(path, "L")
    if (wanted := size(image)) != label.shape:
        here, there = ("x".join(map(str, each)) for each in (label.shape, wanted))
        raise UserError(f"{path}: {here} pixels, but its image has {there}")
    return label


def size(path: Path) -> tuple[int, int]:
    """(height, width), from the header of a file.

    Raises:
        UserError: the file is no image.
    """
    with _opened(path) as image:
        return image.height, image.width


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        data = path.read_bytes()
        if data.startswith(PNG_START) and PNG_END not in data[-64:]:  # Pillow forgives a cut behind the pixels
            raise UserError(f"{path} is truncated")
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            yield image
    except UnidentifiedImageError as error:
        raise UserError(f"{path} is not a PNG, WebP or JPEG image") from error
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        struct.error,
        zlib.error,
        Image.DecompressionBombError,
    ) as error:
        raise UserError(f"{path} cannot be decoded: {error}") from error
