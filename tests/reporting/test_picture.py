from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from benchmark.reporting.picture import (
    BESIDE,
    DIAGONAL,
    ERRORS,
    HEAT_OPACITIES,
    OPACITIES,
    WIDTH,
    error_map,
    heat_map,
    label_map,
    photo,
)


def decode(picture):
    head, data = picture.source.split(",")
    assert head == "data:image/png;base64"
    return Image.open(BytesIO(b64decode(data)))


def test_a_label_map_shows_exactly_the_colours_of_its_classes():
    palette = np.array([[10, 20, 30], [200, 0, 100], [0, 255, 0]], np.uint8)
    label = np.array([[0, 1, 2], [2, 255, 0]], np.uint8)
    shown = np.array(decode(label_map(label, palette)).convert("RGB"))
    np.testing.assert_array_equal(shown, np.vstack([palette, np.zeros((253, 3), np.uint8)])[label])


def test_a_photo_is_the_image():
    y, x = np.mgrid[:60, :80]
    image = np.stack([x * 3, y * 4, 120 + 0 * x], axis=-1).astype(np.uint8)
    picture = photo(image)
    assert (picture.width, picture.height) == (80, 60)
    np.testing.assert_array_equal(np.array(decode(picture).convert("RGB")), image)


@pytest.mark.parametrize("width", [WIDTH - 1, WIDTH, 2 * WIDTH])
def test_wide_pictures_are_scaled_down(width):
    label = np.zeros((100, width), np.uint8)
    label[:, width // 2 :] = 1
    picture = label_map(label, np.array([[0, 0, 0], [255, 255, 255]], np.uint8))
    shown = np.array(decode(picture).convert("L"))
    assert (picture.height, picture.width) == shown.shape
    assert picture.width == min(width, WIDTH)
    assert set(np.unique(shown)) == {0, 255}  # no colour between two classes is made up
    assert (shown[:, : picture.width // 2 - 1] == 0).all()


def test_an_error_map_tells_right_wrong_and_void_apart():
    labels = np.array([[0, 1, 2], [2, 255, 0]], np.uint8)
    truth = np.array([[0, 2, 2], [255, 1, 0]], np.uint8)
    shown = np.array(decode(error_map(labels, truth)).convert("RGBA"))
    kinds = np.array([[0, 1, 0], [2, 1, 0]])
    np.testing.assert_array_equal(shown[..., :3], ERRORS[kinds])
    np.testing.assert_array_equal(shown[..., 3], np.frombuffer(OPACITIES, np.uint8)[kinds])


def test_a_heat_map_shows_shares_by_opacity():
    percent = np.array([[100.0, 0.0, 0.05, 0.2], [9.0, 60.0, 30.0, 1.0]])
    pixels = np.asarray(decode(heat_map(percent)).convert("RGBA"))
    assert pixels.shape == (2, 4, 4)
    steps = list(HEAT_OPACITIES)
    assert pixels[..., 3].tolist() == [[steps[level] for level in row] for row in ((7, 0, 1, 2), (4, 6, 5, 3))]
    assert tuple(pixels[0, 0, :3]) == tuple(pixels[1, 1, :3]) == DIAGONAL
    assert tuple(pixels[1, 0, :3]) == tuple(pixels[0, 3, :3]) == BESIDE
