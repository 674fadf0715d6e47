"""Augmentation: geometry against resize-then-crop, draws against the distribution they are said to have."""

import colorsys
from dataclasses import astuple

import cv2
import numpy as np
import pytest

from benchmark.confusion import VOID
from benchmark.inputs.augmentation import FILL, Draw, Policy, apply, distort, draw, one_class_fills, tabulated, windows

NEUTRAL = {
    "flip": False,
    "brightness": 0.0,
    "contrast": 1.0,
    "contrast_first": False,
    "saturation": 1.0,
    "hue": 0,
}


def _scene(height, width):
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    blocks = rng.integers(0, 5, (height // 24 + 1, width // 24 + 1), dtype=np.uint8)
    return image, blocks.repeat(24, 0).repeat(24, 1)[:height, :width]


def _decisions(scale, corner, **changes):
    return Draw(scale=scale, corners=[corner] * 11, **(NEUTRAL | changes))


def _apply(image, label, decisions, policy, void=VOID):
    """`apply` for images whose last axis is the channel."""
    picture = np.empty((3, *policy.crop_size), np.uint8)
    classes = np.empty(policy.crop_size, np.int64)
    apply(np.ascontiguousarray(image.transpose(2, 0, 1)), label, decisions, policy, picture, classes, void)
    return picture.transpose(1, 2, 0), classes


def _resize_then_crop_then_flip(image, scale, corner, flip, crop):
    height, width = image.shape[:2]
    resized = cv2.resize(image, (int(width * scale + 0.5), int(height * scale + 0.5)))
    top = int(corner[0] * (max(resized.shape[0] - crop[0], 0) + 1))
    left = int(corner[1] * (max(resized.shape[1] - crop[1], 0) + 1))
    cropped = resized[top : top + crop[0], left : left + crop[1]]
    return cropped[:, ::-1] if flip else cropped


@pytest.mark.parametrize("scale", [0.5, 0.83, 1.0, 1.37, 2.0])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("corner", [(0.0, 0.0), (0.4, 0.7), (0.999, 0.999)])
def test_pixels_come_from_where_resize_then_crop_then_flip_takes_them(scale, flip, corner):
    """An image that tells of every pixel where it is: the two orders agree within a pixel of it."""
    row, column = np.indices((72, 96))
    image = np.stack([3 * row, 2 * column, row + column], axis=2).astype(np.uint8)
    crop = (64, 64)
    policy = Policy(crop_size=crop, cat_max_ratio=1.0)
    picture, _ = _apply(image, np.zeros((72, 96), np.uint8), _decisions(scale, corner, flip=flip), policy)
    expected = _resize_then_crop_then_flip(image, scale, corner, flip, crop)
    off = np.abs(picture[: expected.shape[0], : expected.shape[1]].astype(int) - expected) / [3, 2, 2]
    assert off.max() <= 1.0
    assert off.mean() <= 0.5
    if scale == 1.0:
        assert off.max() == 0


def test_label_keeps_to_its_image():
    """An image whose colour is its class stays so, up to the pixels beside a border between classes."""
    _, label = _scene(72, 96)
    image = np.stack([label * 50] * 3, axis=2)
    rng = np.random.default_rng(0)
    policy = Policy(crop_size=(64, 64), scale=(0.5, 2.0), photometric=False)
    for decisions in draw(rng, 50, policy).each():
        picture, cropped = _apply(image, label, decisions, policy)
        inside = cropped != VOID
        agree = np.abs(picture[..., 0][inside].astype(int) - 50 * cropped[inside].astype(int)) <= 25
        assert agree.mean() > 0.94  # a shift by one pixel would cost as much again


def test_outside_the_image_is_fill_and_void():
    image, label = _scene(72, 96)
    picture, cropped = _apply(image, label, _decisions(0.5, (0.5, 0.5)), Policy(crop_size=(64, 64), cat_max_ratio=1.0))
    assert picture.shape == (64, 64, 3)
    assert (cropped[36:] == VOID).all()
    assert (cropped[:, 48:] == VOID).all()
    assert (picture[36:] == FILL).all()
    assert (cropped[:36, :48] != VOID).all()


def test_a_crop_of_one_class_is_drawn_again():
    label = np.zeros((100, 100), np.uint8)
    label[:, 80:] = 1
    image = np.zeros((100, 100, 3), np.uint8)
    corners = [(0.0, 0.0)] + [(0.0, 0.99)] * 10  # the first crop lies in class 0 alone, the others reach class 1
    decisions = Draw(scale=1.0, corners=corners, **NEUTRAL)
    _, cropped = _apply(image, label, decisions, Policy(crop_size=(40, 40), cat_max_ratio=0.75))
    assert set(np.unique(cropped)) == {0, 1}
    _, cropped = _apply(image, label, decisions, Policy(crop_size=(40, 40), cat_max_ratio=1.0))
    assert set(np.unique(cropped)) == {0}


def test_draws_have_the_distribution_of_the_policy():
    draws = draw(np.random.default_rng(0), 20_000, Policy(crop_size=(8, 8), scale=(0.5, 2.0)))
    assert draws.scale.min() >= 0.5
    assert draws.scale.max() <= 2.0
    assert draws.scale.mean() == pytest.approx(1.25, abs=0.01)
    assert draws.flip.mean() == pytest.approx(0.5, abs=0.02)
    assert (draws.brightness == 0).mean() == pytest.approx(0.5, abs=0.02)
    assert np.abs(draws.brightness).max() == pytest.approx(32, abs=0.1)
    assert (draws.hue.min(), draws.hue.max()) == (-18, 17)
    assert draws.contrast[draws.contrast != 1].mean() == pytest.approx(1.0, abs=0.02)


def test_part_of_the_draws_is_that_of_some_images():
    draws = draw(np.random.default_rng(0), 6, Policy(crop_size=(8, 8)))
    assert draws.of(slice(1, None, 2)).each() == draws.each()[1::2]


@pytest.mark.parametrize("shape", [(360, 480), (61, 300), (1, 2)])
@pytest.mark.parametrize(("ratio", "tries"), [(0.75, 11), (1.0, 1)])
def test_tabulated_windows_are_those_of_each_image(shape, ratio, tries):
    policy = Policy(crop_size=(64, 300), cat_max_ratio=ratio)
    draws = draw(np.random.default_rng(5), 50, policy)
    expected = [[astuple(window) for window in windows(shape, each, policy)][:tries] for each in draws.each()]
    found = np.stack(np.broadcast_arrays(*tabulated(shape, draws, policy)), axis=2)
    assert np.array_equal(found, expected)


def test_photometric_distortion_leaves_labels_and_can_be_off():
    image, label = _scene(64, 64)
    strong = _decisions(1.0, (0, 0), brightness=20.0, contrast=1.4, saturation=0.6, hue=10)
    policy = Policy(crop_size=(64, 64), cat_max_ratio=1.0)
    picture, cropped = _apply(image, label, strong, policy)
    assert (cropped == label).all()
    assert np.abs(picture.astype(int) - image.astype(int)).mean() > 5
    off = draw(np.random.default_rng(0), 200, Policy(crop_size=(8, 8), photometric=False))
    assert all((d.brightness, d.contrast, d.saturation, d.hue) == (0, 1, 1, 0) for d in off.each())


def test_brightness_is_added_and_clipped():
    image = np.full((8, 8, 3), 250, np.uint8)
    label = np.zeros((8, 8), np.uint8)
    picture, _ = _apply(image, label, _decisions(1.0, (0, 0), brightness=20.0), Policy((8, 8), cat_max_ratio=1.0))
    assert (picture == 255).all()


def test_void_may_become_another_label():
    image, label = _scene(72, 96)
    label[:10, :10] = VOID
    decisions, policy = _decisions(0.5, (0.5, 0.5)), Policy(crop_size=(64, 64), cat_max_ratio=1.0)
    _, with_void = _apply(image, label, decisions, policy)
    _, like_a_class = _apply(image, label, decisions, policy, void=11)
    assert np.array_equal(like_a_class, np.where(with_void == VOID, 11, with_void))


def test_originals_are_only_read():
    image, label = _scene(72, 96)
    planes = np.ascontiguousarray(image.transpose(2, 0, 1))
    planes.flags.writeable = label.flags.writeable = False
    policy = Policy(crop_size=(64, 64))
    for decisions in draw(np.random.default_rng(2), 20, policy).each():
        apply(planes, label, decisions, policy, np.empty((3, 64, 64), np.uint8), np.empty((64, 64), np.uint8))


@pytest.mark.parametrize("seed", range(40))
def test_one_class_fills_equals_its_definition(seed):
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(5, 0.3))
    label = rng.choice(np.array([0, 1, 2, 7, VOID], np.uint8), size=(37, 53), p=shares)
    counts = [np.sum(label == value) for value in range(VOID)]
    for ratio in (0.3, 0.75, max(counts) / max(sum(counts), 1), 1.0):
        expected = ratio < 1 and (np.count_nonzero(counts) <= 1 or max(counts) >= ratio * sum(counts))
        assert one_class_fills(label, ratio) == expected


def test_one_class_fills_where_the_sample_tells_nothing():
    label = np.full((40, 40), VOID, np.uint8)
    assert one_class_fills(label, 0.75)
    label[1, 1:4] = 3  # the sample takes each sixteenth row and column
    assert one_class_fills(label, 0.75)
    label[1, 4:7] = 5
    assert not one_class_fills(label, 0.75)


@pytest.mark.parametrize("saturation", [0.5, 0.9, 1.0, 1.1, 1.5])
@pytest.mark.parametrize("hue", [-18, -7, 0, 1, 17])
def test_saturation_and_hue_are_those_of_hsv(saturation, hue):
    rng = np.random.default_rng(4)
    colours = rng.integers(0, 256, (3, 20, 20), dtype=np.uint8)
    colours[:, :4] = rng.choice(np.array([0, 40, 255], np.uint8), (3, 4, 20))  # greys, pure colours, ties
    expected = np.empty(colours.shape)
    for place in np.ndindex(20, 20):
        h, s, v = colorsys.rgb_to_hsv(*colours[(slice(None), *place)] / 255)
        expected[(slice(None), *place)] = colorsys.hsv_to_rgb((h + hue / 180) % 1, min(s * saturation, 1), v)
    planes = [plane.copy() for plane in colours]
    distort(planes, _decisions(1.0, (0, 0), saturation=saturation, hue=hue))
    assert np.abs(np.stack(planes) - 255 * expected).max() < 2.5


@pytest.mark.parametrize("first", [False, True])
def test_brightness_and_contrast_clip_and_truncate_after_each_step(first):
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    planes = [values.copy() for _ in range(3)]
    distort(planes, _decisions(1.0, (0, 0), brightness=-20.5, contrast=1.3, contrast_first=first))
    expected = (np.clip(values - 20.5, 0, 255).astype(np.uint8) * np.float32(1.3)).clip(0, 255).astype(np.uint8)
    for plane in planes:
        assert np.abs(plane.astype(int) - expected).max() <= 1
        assert (plane != expected).mean() < 0.02
