"""The prediction grid: one picture with the predictions of every architecture for the same images, for a README.

Its text is rendered by the installed FreeType, so that pixels of two machines differ. So the file contains a hash of
its inputs, and `same` compares hashes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from benchmark.reporting.palette import coloured, legend

DRAWING = 1
"""The version of the layout: increase it with every change; it is part of the hash."""

WIDTH = 1600
"""Width of the picture in pixels, twice that of a README, so that text is sharp on any screen."""

ACROSS = 3
"""Number of columns of architectures."""

MARGIN, GAP, INNER = 24, 28, 8
"""Margins in pixels: around the grid, between architectures, and between the images of one."""

TITLE, NAME, NOTE = 34, 25, 22
"""Height of text in pixels."""

PAPER, INK, SOFT, RULE = "#ffffff", "#171b21", "#5a6472", "#c8ced6"


@dataclass(frozen=True)
class Tile:
    """The predictions of an architecture.

    Attributes:
        name: name of the architecture, with its rank.
        score: its score, as text.
        labels: class indices of each image, uint8 of shape (height, width).
    """

    name: str
    score: str
    labels: Sequence[NDArray[np.uint8]]


def draw(title: str, tiles: Sequence[Tile], classes: Sequence[str], palette: NDArray[np.uint8]) -> bytes:
    """Draw the grid; return it as PNG.

    Args:
        title: title above the grid.
        tiles: predictions, the best architecture first; all of the same images, at least one.
        classes: names of the K classes.
        palette: RGB of each class, shape (K, 3).
    """
    across = min(ACROSS, len(tiles))
    cell = (WIDTH - 2 * MARGIN - (ACROSS - 1) * GAP) // ACROSS
    images = len(tiles[0].labels)
    wide = (cell - (images - 1) * INNER) // images
    high = max(round(wide * labels.shape[0] / labels.shape[1]) for labels in tiles[0].labels)
    width = WIDTH if across == ACROSS else max(2 * MARGIN + across * cell + (across - 1) * GAP, WIDTH // 2)
    swatches, top = _legend(classes, palette, width)
    row = high + NAME + NOTE + GAP
    rows = -(-len(tiles) // across)
    picture = Image.new("RGB", (width, top + rows * (row + GAP)), PAPER)
    pen = ImageDraw.Draw(picture)
    pen.text((MARGIN, MARGIN), title, INK, _font(TITLE))
    for x, y, name, colour in swatches:
        pen.rectangle((x, y, x + NOTE, y + NOTE), colour, RULE)
        pen.text((x + NOTE + INNER, y), name, INK, _font(NOTE))
    for index, tile in enumerate(tiles):
        left, up = MARGIN + index % across * (cell + GAP), top + index // across * (row + GAP)
        for number, labels in enumerate(tile.labels):
            image = Image.fromarray(coloured(labels, palette)).resize((wide, high), Image.Resampling.BOX)
            picture.paste(image, (left + number * (wide + INNER), up))
        pen.text((left, up + high + INNER), tile.name, INK, _font(NAME))
        pen.text((left, up + high + INNER + NAME + INNER), tile.score, SOFT, _font(NOTE))
    return _sealed(picture, _digest(title, tiles, classes, palette))


def same(one: bytes, other: bytes) -> bool:
    """Return whether two grids have the same inputs, and neither was edited."""
    if one == other:
        return True
    seals = [_seal(each) for each in (one, other)]
    return None not in seals and seals[0] == seals[1]


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _legend(
    classes: Sequence[str], palette: NDArray[np.uint8], width: int
) -> tuple[list[tuple[int, int, str, tuple[int, int, int]]], int]:
    """Return position, name and colour of each class, in lines, and the top of the grid below them."""
    placed: list[tuple[int, int, str, tuple[int, int, int]]] = []
    x, y = MARGIN, MARGIN + TITLE + GAP // 2
    for name, colour in legend(classes, palette):
        wide = NOTE + INNER + round(_font(NOTE).getlength(name)) + GAP
        if placed and x + wide - GAP > width - MARGIN:
            x, y = MARGIN, y + NOTE + INNER
        placed.append((x, y, name, colour))
        x += wide
    return placed, y + NOTE + GAP


def _digest(title: str, tiles: Sequence[Tile], classes: Sequence[str], palette: NDArray[np.uint8]) -> str:
    shown = [[each.name, each.score, [_sha256(labels) for labels in each.labels]] for each in tiles]
    text = json.dumps([DRAWING, title, list(classes), palette.tolist(), shown])
    return hashlib.sha256(text.encode()).hexdigest()


def _sha256(pixels: NDArray[np.uint8]) -> str:
    return hashlib.sha256(str(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def _sealed(picture: Image.Image, digest: str) -> bytes:
    """Encode the picture as PNG, with the hash of its inputs and that of its pixels."""
    info = PngInfo()
    info.add_text("drawn from", digest)
    info.add_text("pixels", _sha256(np.asarray(picture)))
    buffer = BytesIO()
    picture.save(buffer, "png", optimize=True, pnginfo=info)
    return buffer.getvalue()


def _seal(png: bytes) -> str | None:
    """Return the hash of the inputs of a picture; None if it has none or its pixels were changed."""
    try:
        with Image.open(BytesIO(png)) as picture:
            pixels = _sha256(np.asarray(picture.convert("RGB")))
            texts = picture.info
    except (OSError, SyntaxError, ValueError):  # not a picture
        return None
    return texts.get("drawn from") if texts.get("pixels") == pixels else None
