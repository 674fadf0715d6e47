"""Augmentation: geometry against resize-then-crop, draws against the distribution they are said to have."""

import cv2
import numpy as np
import pytest

from benchmark.confusion import VOID
from benchmark.datasets.augmentation import FILL, Draw, Policy, apply, draw

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
    return Draw(scale=scale, corners=np.tile(corner, (11, 1)), **(NEUTRAL | changes))


@pytest.mark.parametrize("scale", [0.5, 0.83, 1.0, 1.37, 2.0])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("corner", [(0.0, 0.0), (0.4, 0.7), (0.999, 0.999)])
def test_one_resampling_equals_resize_then_crop_then_flip(scale, flip, corner):
    image, label = _scene(72, 96)
    crop = (64, 64)
    policy = Policy(crop_size=crop, cat_max_ratio=1.0)
    picture, _ = apply(image, label, _decisions(scale, corner, flip=flip), policy)

    resized = cv2.resize(image, (int(96 * scale + 0.5), int(72 * scale + 0.5)), interpolation=cv2.INTER_LINEAR)
    top = int(corner[0] * (max(resized.shape[0] - crop[0], 0) + 1))
    left = int(corner[1] * (max(resized.shape[1] - crop[1], 0) + 1))
    expected = resized[top : top + crop[0], left : left + crop[1]]
    if flip:
        expected = expected[:, ::-1]
    seen = picture[: expected.shape[0], : expected.shape[1]]
    # warpAffine places samples on a grid of 1/32 pixel, resize does not.
    difference = np.abs(seen.astype(int) - expected.astype(int))
    assert np.percentile(difference, 99) <= 6
    assert difference.mean() < 1.0


def test_label_keeps_to_its_image():
    """An image whose colour is its class stays so, up to the pixels beside a border between classes."""
    _, label = _scene(72, 96)
    image = np.stack([label * 50] * 3, axis=2)
    rng = np.random.default_rng(0)
    policy = Policy(crop_size=(64, 64), scale=(0.5, 2.0), photometric=False)
    for decisions in draw(rng, 50, policy):
        picture, cropped = apply(image, label, decisions, policy)
        inside = cropped != VOID
        agree = np.abs(picture[..., 0][inside].astype(int) - 50 * cropped[inside].astype(int)) <= 25
        assert agree.mean() > 0.95  # a shift by one pixel would cost twice that


def test_outside_the_image_is_fill_and_void():
    image, label = _scene(72, 96)
    picture, cropped = apply(image, label, _decisions(0.5, (0.5, 0.5)), Policy(crop_size=(64, 64), cat_max_ratio=1.0))
    assert picture.shape == (64, 64, 3)
    assert (cropped[36:] == VOID).all()
    assert (cropped[:, 48:] == VOID).all()
    assert (picture[36:] == FILL).all()
    assert (cropped[:36, :48] != VOID).all()


def test_a_crop_of_one_class_is_drawn_again():
    label = np.zeros((100, 100), np.uint8)
    label[:, 80:] = 1
    image = np.zeros((100, 100, 3), np.uint8)
    corners = np.zeros((11, 2))
    corners[1:, 1] = 0.99  # the first crop lies in class 0 alone, the others reach class 1
    decisions = Draw(scale=1.0, corners=corners, **NEUTRAL)
    _, cropped = apply(image, label, decisions, Policy(crop_size=(40, 40), cat_max_ratio=0.75))
    assert set(np.unique(cropped)) == {0, 1}
    _, cropped = apply(image, label, decisions, Policy(crop_size=(40, 40), cat_max_ratio=1.0))
    assert set(np.unique(cropped)) == {0}


def test_draws_have_the_distribution_of_the_policy():
    draws = draw(np.random.default_rng(0), 20_000, Policy(crop_size=(8, 8), scale=(0.5, 2.0)))
    scale = np.array([d.scale for d in draws])
    assert scale.min() >= 0.5
    assert scale.max() <= 2.0
    assert scale.mean() == pytest.approx(1.25, abs=0.01)
    assert np.mean([d.flip for d in draws]) == pytest.approx(0.5, abs=0.02)
    brightness = np.array([d.brightness for d in draws])
    assert np.mean(brightness == 0) == pytest.approx(0.5, abs=0.02)
    assert np.abs(brightness).max() == pytest.approx(32, abs=0.1)
    hue = np.array([d.hue for d in draws])
    assert (hue.min(), hue.max()) == (-18, 17)
    contrast = np.array([d.contrast for d in draws])
    assert contrast[contrast != 1].mean() == pytest.approx(1.0, abs=0.02)


def test_photometric_distortion_leaves_labels_and_can_be_off():
    image, label = _scene(64, 64)
    strong = _decisions(1.0, (0, 0), brightness=20.0, contrast=1.4, saturation=0.6, hue=10)
    policy = Policy(crop_size=(64, 64), cat_max_ratio=1.0)
    picture, cropped = apply(image, label, strong, policy)
    assert (cropped == label).all()
    assert np.abs(picture.astype(int) - image.astype(int)).mean() > 5
    off = draw(np.random.default_rng(0), 200, Policy(crop_size=(8, 8), photometric=False))
    assert all((d.brightness, d.contrast, d.saturation, d.hue) == (0, 1, 1, 0) for d in off)


def test_brightness_is_added_and_clipped():
    image = np.full((8, 8, 3), 250, np.uint8)
    label = np.zeros((8, 8), np.uint8)
    picture, _ = apply(image, label, _decisions(1.0, (0, 0), brightness=20.0), Policy((8, 8), cat_max_ratio=1.0))
    assert (picture == 255).all()
