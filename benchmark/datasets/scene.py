"""Draw one scene of the embedded dataset: an image and its exact labels.

A scene consists of sky, ground, and flat objects in front of them that occlude one another and cast shadows. Hue,
texture and light vary within every class and overlap between classes, so that a pixel's colour does not determine its
class. In some scenes a smudge covers a part, which is then void.

The pixels are the same on every platform: they come from integer arithmetic and the raw output of a counter-based
generator (Philox; Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, SC 2011). NumPy guarantees its stream,
but not that of its distributions (NEP 19).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmark.confusion import VOID

CLASSES = ("sky", "ground", "disc", "ring", "square", "triangle", "cross", "pole")
OBJECTS = CLASSES[2:]

SUBPIXEL = 16
"""Length unit of integers: sixteenths of a pixel."""

TURN = 64
"""Angle unit of integers: 1/64 of a turn."""

COSINE = [round(4096 * math.cos(2 * math.pi * step / TURN)) for step in range(TURN)]
"""Cosine of each angle in 1/4096, rounded, so that it does not depend on the last bit of the platform's `cos`."""

HUES = 1536
"""Length of the circle of integer hues: six edges of the colour cube, 256 steps each."""

Integers = NDArray[np.int32]


class Stream:
    """Random numbers of one scene.

    Args:
        key: two integers that identify the set of scenes, 0 to 2^64 - 1 each.
        index: index of the scene in the set.
    """

    def __init__(self, key: tuple[int, int], index: int) -> None:
        self._bits = np.random.Philox(key=np.array(key, np.uint64), counter=np.array([0, 0, 0, index], np.uint64))
        self._words = self._generate_words()

    def _generate_words(self) -> Iterator[int]:
        while True:
            yield from self._bits.random_raw(64).tolist()

    def between(self, low: int, high: int) -> int:
        """Draw an integer from low to high, both included."""
        return low + ((next(self._words) >> 32) * (high - low + 1) >> 32)

    def chance(self, percent: int) -> bool:
        """Draw a boolean that is true with the given probability in percent."""
        return self.between(1, 100) <= percent

    def noise(self, height: int, width: int) -> Integers:
        """Draw white noise, 0 to 255."""
        words = np.asarray(self._bits.random_raw(-(-height * width // 8)), dtype="<u8")
        return words.view(np.uint8)[: height * width].reshape(height, width).astype(np.int32)

    def clouds(self, height: int, width: int, cell: int) -> Integers:
        """Draw smooth noise, 0 to 255: white noise every `cell` pixels, linearly interpolated."""
        cell = max(cell, 1)
        knots = self.noise(height // cell + 2, width // cell + 2)
        row, y = np.divmod(np.arange(height, dtype=np.int32), cell)
        column, x = np.divmod(np.arange(width, dtype=np.int32), cell)
        lines = knots[row] * (cell - y)[:, None] + knots[row + 1] * y[:, None]
        smooth: Integers = (lines[:, column] * (cell - x) + lines[:, column + 1] * x) // (cell * cell)
        return smooth

    def colour(self, hue: int, spread: int, purity: tuple[int, int], value: tuple[int, int]) -> Integers:
        """Draw an RGB colour (3,) with a hue within `spread` of `hue`, and purity and value in ranges of 0..255."""
        hue = (hue + self.between(-spread, spread)) % HUES
        pure, full = self.between(*purity), self.between(*value)
        edges = (abs(hue - 768) - 256, 512 - abs(hue - 512), 512 - abs(hue - 1024))
        return np.array([full * (255 * (255 - pure) + pure * min(max(c, 0), 255)) // 65025 for c in edges], np.int32)


def draw(stream: Stream, height: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw a scene.

    Args:
        stream: its random numbers.
        height: in pixels.
        width: in pixels.

    Returns:
        The RGB image, shape (height, width, 3), and the index in `CLASSES` of the visible object at every pixel, shape
        (height, width), 255 under a smudge.
    """
    canvas = _Canvas(stream, height, width)
    kinds = [OBJECTS[stream.between(0, len(OBJECTS) - 1)] for _ in range(stream.between(3, 7))]
    if stream.chance(25):
        kinds.insert(stream.between(0, len(kinds)), "smudge")
    rows = sorted(stream.between(height // 6, height) for _ in kinds)  # lower objects are nearer
    for kind, row in zip(kinds, rows, strict=True):
        canvas.draw_object(kind, row, stream.between(0, width))
    return canvas.expose(), canvas.label


class _Canvas:
    """A scene that is drawn back to front.

    Attributes:
        colour: colour of every pixel, shape (height, width, 3).
        shade: light on every pixel, in 1/256, shape (height, width).
        label: class of every pixel, shape (height, width).
        unit: a sixty-fourth of the shorter side; sizes of objects are multiples of it.
        shift: offset of shadows, to the right and down.
    """

    def __init__(self, stream: Stream, height: int, width: int) -> None:
        self.stream, self.height, self.width = stream, height, width
        self.unit = min(height, width) * SUBPIXEL // 64
        self.shift = self.unit * stream.between(-3, 3), self.unit * stream.between(1, 3)
        row = np.arange(height, dtype=np.int32)[:, None]
        below = row >= self._horizon()
        self.colour = np.where(below[..., None], self._ground(row[..., None]), self._sky(row[..., None]))
        self.shade = np.full((height, width), 256, np.int32)
        self.label = below.astype(np.uint8)

    def _horizon(self) -> Integers:
        """Draw the first row of the ground in every column."""
        bumps = self.stream.clouds(1, self.width, self.width // 4)[0]
        horizon: Integers = self.height * self.stream.between(28, 62) // 100 + bumps * self.height // (5 * 255)
        return horizon

    def _sky(self, row: Integers) -> Integers:
        """Draw a gradient with haze."""
        spread = 200 if self.stream.chance(75) else HUES // 2
        top, bottom = (self.stream.colour(900, spread, (20, 160), (120, 250)) for _ in range(2))
        sky: Integers = (top * (self.height - row) + bottom * row) // self.height
        clouds = self.stream.clouds(self.height, self.width, self.height // 4) - self.stream.between(60, 180)
        sky = sky + (235 - sky) * np.maximum(clouds, 0)[..., None] // 255
        return sky

    def _ground(self, row: Integers) -> Integers:
        """Draw a gradient with fine and coarse grain."""
        spread = 260 if self.stream.chance(75) else HUES // 2
        far, near = (self.stream.colour(320, spread, (30, 160), (70, 210)) for _ in range(2))
        ground: Integers = (far * (self.height - row) + near * row) // self.height
        fine, coarse = (self.stream.clouds(self.height, self.width, self.height // cells) for cells in (32, 6))
        ground = ground * (320 + fine + coarse)[..., None] // 576
        return ground

    def draw_object(self, kind: str, row: int, column: int) -> None:
        """Draw an object of the kind, centred at a pixel, over its shadow."""
        stream, unit = self.stream, self.unit
        upright = kind == "pole"
        radius = unit * (stream.between(18, 32) if upright else stream.between(7, 14))
        angle = stream.between(-2, 2) % TURN if upright else stream.between(0, TURN - 1)
        reach = (radius + 6 * unit) // SUBPIXEL + 1  # 6 for the tip of a triangle and for the shadow
        rows = slice(max(row - reach, 0), min(row + reach, self.height))
        columns = slice(max(column - reach, 0), min(column + reach, self.width))
        y = (np.arange(rows.start, rows.stop, dtype=np.int32)[:, None] - row) * SUBPIXEL
        x = (np.arange(columns.start, columns.stop, dtype=np.int32) - column) * SUBPIXEL

        u, v = _rotate(x, y, angle)
        inside = _covers(kind, u, v, radius)
        shaded = _covers(kind, *_rotate(x - self.shift[0], y - self.shift[1], angle), radius)
        shade = self.shade[rows, columns]
        shade[shaded] = shade[shaded] * 5 // 8
        shade[inside] = 256
        self.colour[rows, columns][inside] = _surface(stream, kind, u[inside], v[inside], radius)
        self.label[rows, columns][inside] = VOID if kind == "smudge" else CLASSES.index(kind)

    def expose(self) -> NDArray[np.uint8]:
        """Return the image as a camera records it: in a light from one side, with noise in every channel."""
        stream, height, width = self.stream, self.height, self.width
        y = np.arange(height, dtype=np.int32)[:, None] * 256 // height - 128
        x = np.arange(width, dtype=np.int32) * 256 // width - 128
        light = stream.between(216, 296) + (stream.between(-60, 60) * y + stream.between(-60, 60) * x) // 128
        noise = stream.noise(height, 3 * width).reshape(height, width, 3) - 128
        image = self.colour * (self.shade * light // 256)[..., None] // 256 + noise * stream.between(2, 12) // 128
        exposed: NDArray[np.uint8] = np.clip(image, 0, 255).astype(np.uint8)
        return exposed


def _rotate(x: Integers, y: Integers, angle: int) -> tuple[Integers, Integers]:
    """Return the points in axes that are rotated by an angle."""
    cosine, sine = COSINE[angle], COSINE[angle - TURN // 4]
    return (x * cosine + y * sine) >> 12, (y * cosine - x * sine) >> 12


def _covers(kind: str, u: Integers, v: Integers, radius: int) -> NDArray[np.bool_]:
    """Return which points (u, v) of its own axes an object covers."""
    a, b = np.abs(u), np.abs(v)
    if kind == "disc":
        return u * u + v * v <= radius * radius
    if kind == "ring":
        square = u * u + v * v
        return (square <= radius * radius) & (4 * square >= radius * radius)
    if kind == "square":
        return np.maximum(a, b) <= radius * 4 // 5
    if kind == "triangle":  # equilateral: 1.732 is the root of 3
        return (v <= radius * 3 // 5) & (1732 * a - 1000 * v <= 1200 * radius)
    if kind == "cross":
        return (np.maximum(a, b) <= radius) & (np.minimum(a, b) <= radius // 3)
    if kind == "pole":
        return (a <= radius // 14) & (b <= radius)
    return u * u + 3 * v * v <= radius * radius  # a smudge


def _surface(stream: Stream, kind: str, u: Integers, v: Integers, radius: int) -> Integers:
    """Draw the surface at n points of an object, shape (n, 3): a colour, a pattern in a second one, and light."""
    if kind == "smudge":
        return stream.noise(len(u), 1) // 2 + stream.colour(0, HUES // 2, (0, 255), (0, 127))
    home = OBJECTS.index(kind) * HUES // len(OBJECTS)
    spread = 256 if stream.chance(70) else HUES // 2
    first = stream.colour(home, spread, (80, 230), (110, 250))
    second = stream.colour(home, HUES // 2 if stream.chance(30) else spread, (80, 230), (70, 250))
    period = radius // stream.between(2, 4)
    pattern = ("stripes", "checks", "grain", "plain", "plain")[stream.between(0, 4)]
    if pattern == "stripes":
        surface = np.where((u // period & 1)[:, None], second, first)
    elif pattern == "checks":
        surface = np.where((u // period + v // period & 1)[:, None], second, first)
    elif pattern == "grain":
        surface = first + (second - first) * stream.noise(len(u), 1) // 512
    else:
        surface = first[None]
    light, _ = _rotate(u, v, stream.between(0, TURN - 1))
    return surface * (256 + 80 * light // radius)[:, None] // 256
