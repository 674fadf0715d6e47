"""The picture of a dataset."""

from io import BytesIO

import numpy as np
from PIL import Image

from benchmark.reporting.dataset_sheet import OPACITY, WIDTH, Example, draw, overlay

PALETTE = np.array([[200, 0, 0], [0, 200, 0]], np.uint8)


def example(height: int = 4, width: int = 6) -> Example:
    image = np.full((height, width, 3), 100, np.uint8)
    label = np.zeros((height, width), np.uint8)
    label[0, 0], label[0, 1] = 1, 255
    return Example("a/b", image, label)


def test_a_label_over_its_image_leaves_void_as_it_is():
    shown = overlay(example(), PALETTE)
    assert shown[0, 1].tolist() == [100, 100, 100]
    assert shown[0, 0].tolist() == [round((1 - OPACITY) * 100), round(OPACITY * 200 + (1 - OPACITY) * 100), 40]


def test_the_picture_has_every_image_and_every_class():
    few = Image.open(BytesIO(draw("t", [example()], ["a", "b"], PALETTE, np.array([23, 1, 0]))))
    more = Image.open(
        BytesIO(draw("t", [example(), example(9, 3), example()], ["a", "b"], PALETTE, np.array([9, 1, 0])))
    )
    assert few.width == more.width == WIDTH
    assert more.height > few.height
    colours = {colour for _, colour in few.getcolors(1 << 24) or []}
    assert {(200, 0, 0), (0, 200, 0)} <= colours


def test_a_dataset_without_pixels_and_with_long_names_is_drawn():
    assert draw("t" * 500, [example(50, 2)], ["c" * 300, "b"], PALETTE, np.zeros(3, np.int64))
