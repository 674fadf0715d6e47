"""Decode image and label files; used by verification, digests, caches, training and evaluation.

An image is a PNG, WebP or JPEG file with at most 8 bits/channel: colour, palette, grey (three equal channels) or CMYK.
Alpha is dropped. A label is a PNG file of one channel of at most 8 bits, grey or palette, whose stored values are the
class indices. An EXIF orientation is not applied: image and label have to match as they are stored. Everything else is
an error that names the file. Images of the user's may also be TIFF or BMP files, and be turned upright.
`docs/data.md` lists the differences from mmsegmentation's own loaders.

OpenCV decodes images, as in mmsegmentation, for the same pixels; Pillow reads headers and labels.
"""

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
from PIL import Image, ImageOps, UnidentifiedImageError

from benchmark.confusion import VOID
from benchmark.errors import UserError

FORMATS = ("PNG", "WEBP", "JPEG")
"""Formats of the published datasets, as Pillow names them."""

ANY_FORMAT = (*FORMATS, "TIFF", "BMP")
"""Formats of a user's own images and labels."""

WIDE = ("I", "F")
"""How Pillow's names of modes of more than 8 bits a channel begin."""

PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
"""First and last bytes of a PNG file."""

JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
"""First and last bytes of a JPEG file."""

ORIENTATION = 0x0112
"""EXIF tag of the orientation for display; 1 is upright."""

BITS_PER_SAMPLE = 258
"""TIFF tag of the bits of each channel."""

INVERSE = {6: 8, 8: 6}
"""EXIF orientations that undo another one; the others undo themselves."""

SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations in which rows are displayed as columns."""

SCALE = {2: 85, 4: 17}
"""Factors by which Pillow multiplies grey values of 2 and 4 bits."""


def decode_image(
    path: Path, order: Literal["RGB", "BGR"] = "RGB", formats: tuple[str, ...] = FORMATS, upright: bool = False
) -> NDArray[np.uint8]:
    """Decode an image.

    Args:
        path: the file.
        order: order of the channels.
        formats: the formats that it may have.
        upright: apply its EXIF orientation.

    Returns:
        Shape (height, width, 3).

    Raises:
        UserError: the file cannot be decoded, or has more than 8 bits per channel.
    """
    import cv2  # imported here, because `segbench data` starts faster without it

    with opened(path, formats) as (data, image):
        if (bits := _bits(data, image)) > 8:
            raise UserError(
                f"{path}: images have 8 bits per channel, but this has {bits}: convert it, for example by ImageMagick "
                f"with `magick {path.name} -depth 8 {path.stem}-8bit.png`"
            )
        tag = orientation(path, formats) if upright or image.format == "TIFF" else 1
        if image.format == "TIFF" and tag != 1:  # OpenCV applies some of the orientations of TIFF in any case
            displayed = np.array(ImageOps.exif_transpose(image).convert("RGB"))[..., :: 1 if order == "RGB" else -1]
            return np.ascontiguousarray(displayed) if upright else turned(displayed, INVERSE.get(tag, tag))
        if data.startswith(JPEG_START) and JPEG_END not in data[-64:]:
            image.load()  # Pillow distinguishes truncated files from trailing bytes
    try:
        pixels: NDArray[np.uint8] | None = cv2.imdecode(
            np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        )
    except cv2.error as error:
        raise UserError(f"{path} cannot be decoded: {error.err}") from error
    if pixels is None:
        raise UserError(f"{path} cannot be decoded: its pixels are damaged")
    if order == "RGB":
        cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels)
    return turned(pixels, tag) if upright else pixels


def turned(pixels: NDArray[np.uint8], tag: int) -> NDArray[np.uint8]:
    """Return an image as it is to be displayed.

    Args:
        pixels: as stored, shape (height, width, ...).
        tag: its EXIF orientation, 1 to 8 (CIPA DC-008, section 4.6.4, tag 0x0112).
    """
    if tag in SIDEWAYS:
        pixels = pixels.swapaxes(0, 1)
    down, right = (-1 if tag in (3, 4, 7, 8) else 1), (-1 if tag in (2, 3, 6, 7) else 1)
    return np.ascontiguousarray(pixels[::down, ::right])


def decode_values(path: Path) -> NDArray[np.uint8]:
    """Decode the values of a label as they are stored.

    Returns:
        Shape (height, width).

    Raises:
        UserError: the file cannot be decoded, or is not a PNG with one channel of at most 8 bits.
    """
    with opened(path) as (data, image):
        if image.format == "JPEG":
            raise UserError(f"{path}: labels are PNG files, but this is JPEG, which is lossy: save the original as PNG")
        if image.mode not in ("1", "L", "P"):
            raise UserError(
                f"{path}: labels have class indices in one channel of 8 bits; this is {image.mode}{_wide(image)}"
            )
        return stored_values(data, image)


def stored_values(data: bytes, image: Image.Image) -> NDArray[np.uint8]:
    """Return the values of an image of one channel of at most 8 bits, as they are stored.

    Args:
        data: the content of the file.
        image: the same, opened.
    """
    values = np.array(image, dtype=np.uint8)
    scale = SCALE.get(depth(data), 1) if image.mode == "L" else 1
    return values if scale == 1 else values // np.uint8(scale)


def decode_label(
    path: Path, image: Path, classes: int, first: int = 0, void: int = VOID, shape: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """Decode the class indices of a label.

    Args:
        path: the file.
        image: the file of its image, which must have the same size.
        classes: number of classes.
        first: value of class 0 in the file; smaller values are void.
        void: value of void in the file.
        shape: (height, width) of the image if known.

    Returns:
        Shape (height, width); 255 is void.

    Raises:
        UserError: the file cannot be decoded, is not of the size of its image, or has a value that is neither a class
            nor void.
    """
    label = decode_values(path)
    if (wanted := shape or size(image)) != label.shape:
        here, there = ("x".join(map(str, each)) for each in (label.shape, wanted))
        turned = f" ({image} has an EXIF orientation, which is not applied)" if orientation(image) != 1 else ""
        raise UserError(f"{path}: {here} pixels, but its image has {there}{turned}")
    if not first and void == VOID and (label + np.uint8(1)).max() <= classes:  # 255 becomes 0: a fast path
        return label
    nothing = label == void
    if first:
        nothing |= label < first
        label -= np.uint8(first)
    wrong = (label >= classes) & ~nothing
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        voids = f"{void} is void" if not first else f"{', '.join(map(str, range(first)))} and {void} are void"
        raise UserError(
            f"{path}: label value {label[row, column] + first} at row {row}, column {column}; classes are {first} to "
            f"{classes - 1 + first}, and {voids}"
        )
    label[nothing] = VOID
    return label


def size(path: Path, formats: tuple[str, ...] = FORMATS) -> tuple[int, int]:
    """Read (height, width) from the header of a file, as its pixels are stored.

    Raises:
        UserError: the file is not an image.
    """
    with _errors(path, formats), Image.open(path, formats=formats) as image:
        return image.height, image.width


def orientation(path: Path, formats: tuple[str, ...] = FORMATS) -> int:
    """Read the EXIF orientation of an image or label, 1 to 8; 1 where it has none or cannot be read."""
    exif = Image.Exif()
    try:
        with Image.open(path, formats=formats) as image:
            if image.format == "TIFF":
                return int(image.getexif().get(ORIENTATION, 1))
            exif.load(image.info.get("exif", b""))  # not `getexif`, which decodes a whole PNG
        return int(exif.get(ORIENTATION, 1))
    except Exception:  # unused metadata may be damaged in any way
        return 1


@contextmanager
def opened(path: Path, formats: tuple[str, ...] = FORMATS) -> Iterator[tuple[bytes, Image.Image]]:
    """Yield the content of a file, and its image, of which only the header is decoded.

    Raises:
        UserError: the file cannot be read, is truncated, or has another format; or the block failed to decode it.
    """
    with _errors(path, formats):
        data = path.read_bytes()
        if data.startswith(PNG_START) and PNG_END not in data[-64:] and PNG_END not in data:
            raise UserError(f"{path} is truncated")  # Pillow accepts a file truncated after the pixels
        with Image.open(io.BytesIO(data), formats=formats) as image:
            yield data, image


@contextmanager
def _errors(path: Path, formats: tuple[str, ...]) -> Iterator[None]:
    try:
        yield
    except UnidentifiedImageError as error:
        *first, last = ("WebP" if name == "WEBP" else name for name in sorted(formats, key=ANY_FORMAT.index))
        raise UserError(f"{path} cannot be decoded: it is not a {', '.join(first)} or {last} image") from error
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


def depth(data: bytes) -> int:
    """Return the bits per channel: of a PNG from its header, which is its first chunk; 8 of others."""
    return data[24] if data.startswith(PNG_START) else 8


def _bits(data: bytes, image: Image.Image) -> int:
    """Return the bits per channel of an image: 8 also where it has less."""
    if image.mode.startswith(WIDE):
        return max(depth(data), 32 if image.mode in WIDE else 16)
    if image.format == "TIFF":  # Pillow opens 16 bits of three channels as 8
        return int(np.max(image.getexif().get(BITS_PER_SAMPLE, 1)))
    return depth(data)


def _wide(image: Image.Image) -> str:
    """Return the part of a message on the values of a 16-bit label; empty for other labels."""
    if not image.mode.startswith("I"):
        return ""
    values = np.array(image)
    if values.max() <= VOID:
        return ": save it in 8 bits, which its values fit"
    row, column = np.argwhere(values > VOID)[0]
    return f", with the value {values[row, column]} at row {row}, column {column}"
