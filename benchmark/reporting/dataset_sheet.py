"""A picture of a dataset: images, their labels drawn over them, and the share of every class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from benchmark.confusion import VOID
from benchmark.reporting.palette import coloured, legend

WIDTH, MARGIN, GAP = 1200, 24, 12
"""Width of the picture, its margin and the gaps in it, in pixels."""

ACROSS = 2
"""Images in a row, each with its label beside it."""

COLUMNS = 2
"""Columns of the histogram."""

TITLE, TEXT = 26, 16
"""Height of text in pixels."""

OPACITY = 0.6
"""Of the label over its image."""

PAPER, INK, SOFT, RULE = "#ffffff", "#171b21", "#5a6472", "#c8ced6"


@dataclass(frozen=True)
class Example:
    """An image of the dataset.

    Attributes:
        name: its name.
        image: RGB, shape (height, width, 3).
        label: class indices, 255 for void, shape (height, width).
    """

    name: str
    image: NDArray[np.uint8]
    label: NDArray[np.uint8]


def draw(
    title: str,
    examples: Sequence[Example],
    classes: Sequence[str],
    palette: NDArray[np.uint8],
    pixels: NDArray[np.int64],
) -> bytes:
    """Draw a dataset; return the picture as PNG.

    Args:
        title: title above it.
        examples: images with their labels.
        classes: names of the K classes.
        palette: RGB of each class, shape (K, 3).
        pixels: number of pixels of each class, void last, shape (K + 1,).
    """
    cell = (WIDTH - 2 * MARGIN - (ACROSS - 1) * GAP) // ACROSS
    rows = [examples[start : start + ACROSS] for start in range(0, len(examples), ACROSS)]
    heights = [max(_height(each, cell) for each in row) for row in rows]
    lines = -(-(len(classes) + 1) // COLUMNS)
    top = MARGIN + TITLE + GAP
    below = top + sum(height + TEXT + 2 * GAP for height in heights) + GAP
    picture = Image.new("RGB", (WIDTH, below + lines * (TEXT + GAP) + MARGIN), PAPER)
    pen = ImageDraw.Draw(picture)
    pen.text((MARGIN, MARGIN), title, INK, _font(TITLE))
    for row, height in zip(rows, heights, strict=True):
        for number, each in enumerate(row):
            left = MARGIN + number * (cell + GAP)
            for part, pixels_of in enumerate((each.image, overlay(each, palette))):
                size = (cell // 2 - GAP // 2, _height(each, cell))
                shown = Image.fromarray(pixels_of).resize(size, Image.Resampling.BOX)
                picture.paste(shown, (left + part * (cell // 2), top))
            pen.text((left, top + height + 4), _shortened(each.name, cell), SOFT, _font(TEXT))
        top += height + TEXT + 2 * GAP
    _histogram(pen, below, lines, legend(classes, palette), pixels)
    buffer = BytesIO()
    picture.save(buffer, "png", optimize=True)
    return buffer.getvalue()


def overlay(example: Example, palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image with its label over it, RGB of shape (height, width, 3); void stays as it is."""
    mixed = OPACITY * coloured(example.label, palette) + (1 - OPACITY) * example.image
    shown: NDArray[np.uint8] = np.where((example.label == VOID)[..., None], example.image, np.rint(mixed)).astype(
        np.uint8
    )
    return shown


def _histogram(
    pen: ImageDraw.ImageDraw,
    top: int,
    lines: int,
    named: Sequence[tuple[str, tuple[int, int, int]]],
    pixels: NDArray[np.int64],
) -> None:
    """Draw a bar for each class, as long as its share of all pixels."""
    shares = pixels / max(int(pixels.sum()), 1)
    column = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * 3 * GAP) // COLUMNS
    words = column * 2 // 5
    room = column - words - TEXT - 5 * TEXT
    for index, ((name, colour), share) in enumerate(zip(named, shares.tolist(), strict=True)):
        x = MARGIN + index // lines * (column + 3 * GAP)
        y = top + index % lines * (TEXT + GAP)
        pen.rectangle((x, y, x + TEXT, y + TEXT), colour, RULE)
        pen.text((x + TEXT + 8, y - 2), _shortened(name, words - TEXT), INK, _font(TEXT))
        end = x + TEXT + words + round(room * share / max(float(shares.max()), 1e-9))
        pen.rectangle((x + TEXT + words, y, end, y + TEXT), colour, RULE)
        pen.text((end + 6, y - 2), f"{100 * share:.2f} %", SOFT, _font(TEXT))


def _height(example: Example, cell: int) -> int:
    height, width = example.label.shape
    scaled: int = round((cell // 2 - GAP // 2) * height / width)
    return max(1, min(scaled, 3 * cell))


def _shortened(text: str, room: int) -> str:
    """Return a text that fits a width in pixels."""
    while len(text) > 4 and _font(TEXT).getlength(text) > room:
        text = f"{text[:-4]}..."
    return text


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
