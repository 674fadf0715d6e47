"""Training augmentation: what is drawn for a batch, and what is done with it, apart from each other.

`draw` takes every random decision for a whole batch from one generator and returns plain arrays; `apply` is a pure
function of an image and its draw. So the same draws can be applied on another device, and a test can compare draws
without touching a pixel. The distribution is that of mmsegmentation's training pipeline (RandomResize with kept ratio,
RandomCrop with `cat_max_ratio`, RandomFlip, PhotoMetricDistortion).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmark.confusion import VOID

CROP_TRIES = 10
"""How often another crop is drawn when one class fills too much of it (mmsegmentation's RandomCrop)."""

FILL = (124, 116, 104)
"""Colour of pixels outside the image: the ImageNet mean, which normalisation turns into 0."""


@dataclass(frozen=True)
class Policy:
    """What may be drawn.

    Attributes:
        crop_size: (height, width) of what comes out.
        scale: smallest and largest factor of the resize, drawn uniformly.
        cat_max_ratio: a crop is drawn again while one class fills this part of its labelled pixels or more.
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
    """The random decisions for one image.

    Attributes:
        scale: factor of the resize.
        corners: shape (CROP_TRIES + 1, 2), where the crop goes, as fractions of the (vertical, horizontal) room.
        flip: whether left and right change places.
        brightness: added to every channel, in 0..255 units.
        contrast: factor of every channel.
        contrast_first: contrast before, not after, saturation and hue.
        saturation: factor of the saturation in HSV.
        hue: added to the hue, in OpenCV's units of two degrees.
    """

    scale: float
    corners: NDArray[np.float64]
    flip: bool
    brightness: float
    contrast: float
    contrast_first: bool
    saturation: float
    hue: int


def draw(rng: np.random.Generator, images: int, policy: Policy) -> list[Draw]:
    """Draw for a batch of that many images.

    The number of random values taken does not depend on the policy, so that protocols which differ in one setting
    share every other decision.
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
    return [
        Draw(
            scale=float(scale[i]),
            corners=corners[i],
            flip=bool(flip[i]),
            brightness=float(brightness[i]),
            contrast=float(contrast[i]),
            contrast_first=bool(contrast_first[i]),
            saturation=float(saturation[i]),
            hue=int(hue[i]),
        )
        for i in range(images)
    ]


def apply(
    image: NDArray[np.uint8], label: NDArray[np.uint8], draw: Draw, policy: Policy
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Augment one image and its label.

    Args:
        image: RGB, shape (height, width, 3).
        label: shape (height, width).
        draw: what was drawn for it.
        policy: the policy it was drawn under.

    Returns:
        Image and label of `policy.crop_size`. Where the resized image is smaller than the crop, it lies at the top left
        and the rest is FILL and VOID.
    """
    for corner in draw.corners:
        window = _window(label.shape, draw.scale, corner, policy.crop_size)
        cropped = _resample(label, window, draw.flip, cv2.INTER_NEAREST)
        if not _one_class_fills(cropped, policy.cat_max_ratio):
            break
    picture = _distort(_resample(image, window, draw.flip, cv2.INTER_LINEAR), draw)
    below, right = policy.crop_size[0] - window.height, policy.crop_size[1] - window.width
    if below or right:
        picture = cv2.copyMakeBorder(picture, 0, below, 0, right, cv2.BORDER_CONSTANT, value=FILL)
        cropped = cv2.copyMakeBorder(cropped, 0, below, 0, right, cv2.BORDER_CONSTANT, value=VOID)
    return picture, cropped


@dataclass(frozen=True)
class _Window:
    """A part of the resized image, in its pixels, and how the resized image relates to the original."""

    top: int
    left: int
    height: int
    width: int
    scale_y: float
    scale_x: float


def _window(shape: tuple[int, ...], scale: float, corner: NDArray[np.float64], crop: tuple[int, int]) -> _Window:
    height, width = shape[:2]
    resized = int(height * scale + 0.5), int(width * scale + 0.5)
    room = max(resized[0] - crop[0], 0), max(resized[1] - crop[1], 0)
    return _Window(
        top=int(corner[0] * (room[0] + 1)),
        left=int(corner[1] * (room[1] + 1)),
        height=min(crop[0], resized[0]),
        width=min(crop[1], resized[1]),
        scale_y=height / resized[0],
        scale_x=width / resized[1],
    )


def _resample(pixels: NDArray[np.uint8], window: _Window, flip: bool, interpolation: int) -> NDArray[np.uint8]:
    """Resize, crop and flip as one resampling, with pixel centres aligned as OpenCV's resize aligns them."""
    step = -window.scale_x if flip else window.scale_x
    first = window.left + (window.width - 1 if flip else 0)
    inverse = np.array(
        [
            [step, 0, (first + 0.5) * window.scale_x - 0.5],
            [0, window.scale_y, (window.top + 0.5) * window.scale_y - 0.5],
        ]
    )
    return cv2.warpAffine(
        pixels,
        inverse,
        (window.width, window.height),
        flags=interpolation | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _one_class_fills(label: NDArray[np.uint8], ratio: float) -> bool:
    """Whether a crop is to be drawn again: one class has `ratio` of the labelled pixels or more, or is alone in it."""
    if ratio >= 1.0:
        return False
    counts = np.bincount(label.ravel(), minlength=VOID + 1)[:VOID]
    return bool(np.count_nonzero(counts) <= 1 or counts.max() >= ratio * counts.sum())


def _distort(image: NDArray[np.uint8], draw: Draw) -> NDArray[np.uint8]:
    """Photometric distortion, in the order of SSD's (Liu et al., 1512.02325), as mmsegmentation has it."""
    if draw.brightness:
        image = _affine(image, 1.0, draw.brightness)
    if draw.contrast != 1.0 and draw.contrast_first:
        image = _affine(image, draw.contrast, 0.0)
    if draw.saturation != 1.0 or draw.hue:
        hue, saturation, value = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))
        saturation = _affine(saturation, draw.saturation, 0.0)
        hue = ((hue.astype(np.int16) + draw.hue) % 180).astype(np.uint8)
        image = cv2.cvtColor(cv2.merge([hue, saturation, value]), cv2.COLOR_HSV2RGB)
    if draw.contrast != 1.0 and not draw.contrast_first:
        image = _affine(image, draw.contrast, 0.0)
    return image


def _affine(pixels: NDArray[np.uint8], factor: float, offset: float) -> NDArray[np.uint8]:
    """factor x pixels + offset, clipped to 0..255 and truncated, through a table of the 256 values."""
    table = np.clip(np.arange(256, dtype=np.float32) * factor + offset, 0, 255).astype(np.uint8)
    return cv2.LUT(pixels, table)
