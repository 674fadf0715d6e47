"""Label files of any common kind, as integers: their stored values, or the colours that they show.

Grey, indexed, RGB and RGBA of 8 bits, and grey of 16 and 32, as PNG, TIFF, BMP or lossless WebP. Alpha is dropped. A
colour is packed into one integer, red first: 0xRRGGBB.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmark.datasets.decoding import ANY_FORMAT, depth, opened, stored_values
from benchmark.errors import UserError

Encoding = Literal["index", "colour"]
"""What tells the class of a pixel: the stored value, or the colour."""


@dataclass(frozen=True)
class Annotation:
    """A label file as it is stored.

    Attributes:
        values: the stored values, int32 of shape (height, width); None of a file of colours whose channels differ.
        colours: the packed colours, int32 of shape (height, width); None of a file of more than 8 bits.
        is_palette: the file has a palette, so that both are meant to be seen.
    """

    values: NDArray[np.int32] | None
    colours: NDArray[np.int32] | None
    is_palette: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Return (height, width)."""
        found = self.values if self.values is not None else self.colours
        assert found is not None
        return found.shape[0], found.shape[1]

    def codes(self, encoding: Encoding) -> NDArray[np.int32] | None:
        """Return the integers that tell the classes; None where the file has none of that kind."""
        return self.values if encoding == "index" else self.colours


def decode_annotation(path: Path) -> Annotation:
    """Decode a label file.

    Raises:
        UserError: the file cannot be decoded, or is of a kind that no label can have: lossy, of several pages, of
            fractions, of colours of 16 bits.
    """
    with opened(path, ANY_FORMAT) as (data, image):
        if image.format == "JPEG" or (image.format == "WEBP" and b"VP8L" not in data[:4096]):
            name = "JPEG" if image.format == "JPEG" else "lossy WebP"
            raise UserError(f"{path}: a label is stored without loss; this is {name}: save the original as PNG")
        if getattr(image, "n_frames", 1) > 1:
            raise UserError(f"{path}: a label is one picture; this file has {getattr(image, 'n_frames', 1)}")
        if image.mode in ("1", "L", "P"):
            shown = _palette(image)[np.array(image, np.uint8)]  # before the grey values of few bits are scaled back
            return Annotation(stored_values(data, image).astype(np.int32), shown, image.mode == "P")
        if image.mode.startswith("I") or image.mode == "F":
            pixels = np.array(image)
            if image.mode == "F" and (pixels != np.rint(pixels)).any():
                raise UserError(f"{path}: a label holds whole numbers; this holds fractions")
            return Annotation(pixels.astype(np.int32), None)
        if depth(data) > 8:
            raise UserError(f"{path}: a colour has 8 bits a channel; this has {depth(data)}: convert it")
        if image.mode not in ("RGB", "RGBA", "LA", "PA", "RGBX"):
            raise UserError(f"{path}: a label is grey, indexed or RGB; this is {image.mode}: convert it")
        pixels = np.array(image.convert("RGBA"))[..., :3].astype(np.int32)
    colours = pack(pixels)
    grey = bool((pixels == pixels[..., :1]).all())
    return Annotation(pixels[..., 0] if grey else None, colours)


def pack(colours: NDArray[np.int32]) -> NDArray[np.int32]:
    """Pack colours of shape (..., 3) into integers of shape (...)."""
    packed: NDArray[np.int32] = colours @ np.array([1 << 16, 1 << 8, 1], np.int32)
    return packed


def packed(colour: tuple[int, int, int]) -> int:
    """Pack one colour into an integer."""
    red, green, blue = colour
    return red << 16 | green << 8 | blue


def unpacked(code: int) -> tuple[int, int, int]:
    """Return the colour that an integer packs."""
    return code >> 16 & 255, code >> 8 & 255, code & 255


def _palette(image: Image.Image) -> NDArray[np.int32]:
    """Return the packed colour of each value of an image of one channel: its palette, else grey. Shape (256,)."""
    greys = np.arange(256, dtype=np.int32)
    if image.mode == "1":
        return np.where(greys > 0, 0xFFFFFF, 0).astype(np.int32)
    if image.mode == "L":
        return greys * 0x010101
    table = np.zeros((256, 3), np.int32)
    found = np.array(image.getpalette("RGB") or [], np.int32).reshape(-1, 3)[:256]
    table[: len(found)] = found
    return pack(table)
