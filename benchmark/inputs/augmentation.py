"""Training augmentation in two steps: draw random decisions for a batch, and apply them.

`draw` draws all random decisions of a batch from one generator and returns plain arrays; `apply` is a pure function of
an image and its draw. So the same draws can be applied on another device, a batch at a time, and tests can compare
draws without pixels. The distribution is that of mmsegmentation's training pipeline (RandomResize
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmark.confusion import VOID

CROP_TRIES = 10
"""Maximum number of redrawn crops if one class fills too much of a crop (mmsegmentation's RandomCrop)."""

FILL = (124, 116, 104)
"""Colour of padding: the ImageNet mean, which normalization turns into 0."""


@dataclass(frozen=True)
class Policy:
    """Ranges and probabilities of the augmentation.

    Attributes:
        crop_size: (height, width) of the output.
        scale: smallest and largest factor of the resize, drawn uniformly.
        cat_max_ratio: a crop is redrawn while one class fills this fraction of its labelled pixels or more.
        flip: probability of a horizontal flip.
        photometric: whether brightness, contrast, saturation and hue vary.
    """

    crop_size: tuple[int, int]
    scale: tuple[float, float] = (0.5, 2.0)
    cat_max_ratio: float = 0.75
    flip: float = 0.5
    photometric: bool = True


@dataclass(frozen=True)
class Draw:
    """Random decisions for one image.

    Attributes:
        scale: factor of the resize.
        corners: positions of CROP_TRIES + 1 crops, as fractions of the (vertical, horizontal) free space.
        flip: whether the image is flipped horizontally.
        brightness: added to every channel, in 0..255 units.
        contrast: factor of every channel.
        contrast_first: contrast before, not after, saturation and hue.
        saturation: factor of the saturation in HSV.
        hue: added to the hue, in OpenCV's units of two degrees.
    """

    scale: float
    corners: Sequence[tuple[float, float]]
    flip: bool
    brightness: float
    contrast: float
    contrast_first: bool
    saturation: float
    hue: int


class Draws(NamedTuple):
    """Random decisions for a batch: the attributes of `Draw` as arrays, whose first axis is the image."""

    scale: NDArray[np.float64]
    corners: NDArray[np.float64]
    flip: NDArray[np.bool_]
    brightness: NDArray[np.float64]
    contrast: NDArray[np.float64]
    contrast_first: NDArray[np.bool_]
    saturation: NDArray[np.float64]
    hue: NDArray[np.int64]

    def of(self, images: slice) -> Draws:
        """Select the decisions for some of the images."""
        return Draws._make(values[images] for values in self)

    def each(self) -> list[Draw]:
        """Yield the decisions image by image."""
        return [Draw(*values) for values in zip(*(values.tolist() for values in self), strict=True)]


def draw(rng: np.random.Generator, images: int, policy: Policy) -> Draws:
    """Draw the decisions for a batch of images.

    The number of random values drawn does not depend on the policy, so that protocols with one different setting share
    all other decisions.
    """
    scale = rng.uniform(*policy.scale, size=images)
    corners = rng.random((images, CROP_TRIES + 1, 2))
    flip = rng.random(images) < policy.flip
    happens = rng.random((4, images)) < (0.5 if policy.photometric else 0.0)
    brightness = np.where(happens[0], rng.uniform(-32, 32, images), 0.0)
    contrast = np.where(happens[1], rng.uniform(0.5, 1.5, images), 1.0)
    contrast_first = rng.integers(2, size=images).astype(bool)
    saturation = np.where(happens[2], rng.uniform(0.5, 1.5, images), 1.0)
    hue = np.where(happens[3], rng.integers(-18, 18, images), 0)
    return Draws(scale, corners, flip, brightness, contrast, contrast_first, saturation, hue)


def apply(
    image: NDArray[np.uint8],
    label: NDArray[np.uint8],
    draw: Draw,
    policy: Policy,
    picture: NDArray[np.uint8],
    classes: NDArray[Any],
    void: int = VOID,
) -> None:
    """Augment one image and its label.

    A resized image that is smaller than the crop is placed at the top left, and padded with FILL and void.

    Args:
        image: RGB, shape (3, height, width).
        label: shape (height, width), VOID for void.
        draw: decisions for this image.
        policy: policy of the decisions.
        picture: output array of the image, shape (3, *policy.crop_size).
        classes: output array of the label, shape policy.crop_size.
        void: output value of VOID.
    """
    window, cropped = crop(label, draw, policy)
    size = window.width, window.height
    originals = [window.crop(plane) for plane in image]
    planes = list(_top_left(picture, window, np.array(FILL, np.uint8)[:, None, None]))  # other types take 10 x the time
    # Colours are distorted before or after the resize, whichever has fewer pixels.
    if window.rows < window.height:
        originals = [cv2.flip(original, 1) if draw.flip else original.copy() for original in originals]
        distort(originals, draw)
        for original, plane in zip(originals, planes, strict=True):
            cv2.resize(original, size, plane)
    else:
        for original, plane in zip(originals, planes, strict=True):
            cv2.resize(original, size, plane)
            if draw.flip:
                cv2.flip(plane, 1, plane)
        distort(planes, draw)
    _top_left(classes, window, void)[...] = cropped if void == VOID else np.where(cropped == VOID, void, cropped)


def _top_left(pixels: NDArray[Any], window: Window, fill: int | NDArray[Any]) -> NDArray[Any]:
    """Return the view of the output that the window covers; the rest is padding."""
    pixels[..., window.height :, :] = fill
    pixels[..., : window.height, window.width :] = fill
    return pixels[..., : window.height, : window.width]


@dataclass(frozen=True)
class Window:
    """A crop: the pixels of the original that it contains, and the size to which they are resized.

    Cropping before resizing costs a fraction of the other order. The window of the resized image is rounded
    to whole pixels of the original, by less than one of them.

    Attributes:
        top, left, rows, columns: the part of the original.
        height, width: its size in the output.
    """

    top: int
    left: int
    rows: int
    columns: int
    height: int
    width: int

    def crop(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the part of an original as a view."""
        return pixels[self.top : self.top + self.rows, self.left : self.left + self.columns]


def windows(shape: tuple[int, ...], draw: Draw, policy: Policy) -> Iterator[Window]:
    """Yield the crops drawn for an image of the given (height, width), in the order in which they are tried."""
    for down, across in draw.corners:
        top, rows, height = _extent(shape[0], draw.scale, down, policy.crop_size[0])
        left, columns, width = _extent(shape[1], draw.scale, across, policy.crop_size[1])
        yield Window(top, left, rows, columns, height, width)


def _extent(length: int, scale: float, corner: float, crop: int) -> tuple[int, int, int]:
    """Return the start and length of a crop along a side of the original, and its length in the output."""
    resized = int(length * scale + 0.5)
    out = min(crop, resized)
    start = int(corner * (resized - out + 1))
    first, end = (int(place * length / resized + 0.5) for place in (start, start + out))
    first = min(first, length - 1)
    return first, max(end - first, 1), out


def tabulated(shape: tuple[int, ...], draws: Draws, policy: Policy) -> list[NDArray[np.float64]]:
    """Return `windows` of all images of a batch, which have the given (height, width), as arrays for a device.

    For one image it is ten times as slow as `windows`, of which usually only the first window is used.

    Returns:
        The attributes of `Window` in their order, each an integer-valued array of shape (images, tries) or
        broadcastable to it. Where the first crop is always accepted, there is one try.
    """
    corners = draws.corners if policy.cat_max_ratio < 1.0 else draws.corners[:, :1]
    lengths, crop = np.array([shape, policy.crop_size], np.float64)[..., None, None]
    resized = np.floor(lengths * draws.scale[:, None] + 0.5)  # the first axis is the side
    out = np.minimum(crop, resized)
    start = np.floor(np.ascontiguousarray(corners.transpose(2, 0, 1)) * (resized - out + 1))
    first, end = (np.floor(places * lengths / resized + 0.5) for places in (start, start + out))
    first = np.minimum(first, lengths - 1)
    return [*first, *np.maximum(end - first, 1), *out]


def crop(label: NDArray[np.uint8], draw: Draw, policy: Policy) -> tuple[Window, NDArray[np.uint8]]:
    """Return the first crop that no class fills, else the last one, with its label, resized and flipped."""
    for window in windows(label.shape, draw, policy):
        part = window.crop(label)
        rows, columns = nearest(part.shape[0], window.height), nearest(part.shape[1], window.width)
        # Whole rows are copied, first those of the image, then those of its transpose: single pixels take four times as
        # long.
        cropped = cv2.transpose(cv2.transpose(part)[columns[::-1] if draw.flip else columns])[rows]
        if part.shape == label.shape or not one_class_fills(cropped, policy.cat_max_ratio):
            break  # a crop of the whole image has no alternative
    return window, cropped


def nearest(pixels: int, out: int) -> NDArray[np.int64]:
    """Return the nearest pixel of the original for each of `out` places along a side; for ties, the later one."""
    return (2 * np.arange(out) + 1) * pixels // (2 * out)


def one_class_fills(label: NDArray[np.uint8], ratio: float) -> bool:
    """Return whether a crop must be redrawn: one class has at least `ratio` of its labelled pixels, or is the only one.

    Counts classes only until the result is known, in the order of their frequency in a sample of the pixels.
    """
    if ratio >= 1.0:
        return False
    labelled = rest = label.size - np.count_nonzero(label == VOID)
    sample = np.bincount(label[::16, ::16].ravel(), minlength=VOID + 1)[:VOID]
    for _ in sample:
        value = int(sample.argmax())  # comparison with a Python int keeps uint8
        sample[value] = -1
        count = np.count_nonzero(label == value)
        rest -= count
        if count >= ratio * labelled:
            return True
        if rest < ratio * labelled:
            return False
    return True


TRUNCATION = -0.49
"""Offset added before OpenCV rounds, so that it truncates, as mmsegmentation does."""

Planes = Sequence[NDArray[np.uint8]]
"""Red, green and blue channel, each of shape (height, width)."""


def distort(planes: Planes, draw: Draw) -> None:
    """Distort colours in place, in the order of SSD (Liu et al., 1512.02325), as mmsegmentation does."""
    if draw.brightness:
        shift = cv2.add if draw.brightness > 0 else cv2.subtract  # adding a negative number takes four times as long
        for plane in planes:
            shift(plane, abs(math.floor(draw.brightness)), plane)
    if draw.contrast_first:
        _contrast(planes, draw.contrast)
    if draw.saturation != 1.0:
        _saturate(planes, draw.saturation)
    if draw.hue:
        _shift_hue(planes, draw.hue / 30)
    if not draw.contrast_first:
        _contrast(planes, draw.contrast)


def _contrast(planes: Planes, factor: float) -> None:
    if factor != 1.0:
        for plane in planes:
            cv2.convertScaleAbs(plane, plane, factor, TRUNCATION)


def _saturate(planes: Planes, factor: float) -> None:
    """Multiply the saturation in HSV, up to 1: each channel moves away from the largest of its pixel.

    If the smallest channel would fall below 0, the factor is reduced so that it becomes 0.
    """
    smallest, largest = _extremes(planes)
    if factor > 1.0:  # parts of the factor, at most 1, that keep the smallest channel at 0 or above
        parts = cv2.divide(largest, cv2.subtract(largest, smallest), scale=255 / factor)
    for plane in planes:
        distance = cv2.subtract(largest, plane)
        if factor > 1.0:
            cv2.multiply(distance, parts, distance, factor / 255)
        else:
            cv2.convertScaleAbs(distance, distance, factor)
        cv2.subtract(largest, distance, plane)


def _shift_hue(planes: Planes, sixths: float) -> None:
    """Shift the hue in HSV by less than a sixth of the circle in either direction.

    On the hue circle, each channel rises within a sixth from the smallest to the largest value, stays there for two,
    falls, and stays for two. So a small shift changes a channel by that part of the difference, less the rest of the
    constant range, which follows from the next channel on the circle: no division is needed. A channel falls, or is
    about to, if the next one is larger than the previous one.
    """
    smallest, largest = _extremes(planes)
    step = cv2.convertScaleAbs(cv2.subtract(largest, smallest), alpha=abs(sixths))
    order = planes if sixths > 0 else planes[::-1]  # the other direction of the circle
    after = [order[1].copy(), order[2].copy(), order[0].copy()]
    for plane, following, before in zip(order, after, [after[1], after[2], after[0]], strict=True):
        falls = cv2.compare(following, before, cv2.CMP_GE)
        down = cv2.subtract(step, cv2.subtract(largest, following))
        up = cv2.subtract(step, cv2.subtract(following, smallest))
        cv2.max(cv2.subtract(plane, cv2.bitwise_and(down, falls)), smallest, plane)
        cv2.min(cv2.add(plane, cv2.subtract(up, falls)), largest, plane)


def _extremes(planes: Planes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    red, green, blue = planes
    return cv2.min(cv2.min(red, green), blue), cv2.max(cv2.max(red, green), blue)
