from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from benchmark.reporting import prediction_grid
from benchmark.reporting.prediction_grid import WIDTH, Tile, draw, same

CLASSES = ["sky", "road", "car"]
PALETTE = np.array([[70, 130, 180], [128, 64, 128], [0, 0, 142]], np.uint8)


def tile(name="1  enet", value=1, score="mIoU 61.23 %", shape=(45, 60)):
    return Tile(name, score, [np.full(shape, value, np.uint8), np.full(shape, 255, np.uint8)])


def opened(png):
    return Image.open(BytesIO(png))


def painted(png, *, keep):
    """The picture with one pixel of another colour, with or without what it says of itself."""
    picture = opened(png)
    picture.load()
    info = PngInfo()
    for key, text in picture.text.items() if keep else ():
        info.add_text(key, text)
    picture.putpixel((300, 300), (1, 2, 3))
    buffer = BytesIO()
    picture.save(buffer, "png", pnginfo=info)
    return buffer.getvalue()


@pytest.mark.parametrize("tiles", [1, 2, 3, 7])
def test_every_prediction_is_there_in_its_colours(tiles):
    png = draw("a protocol", [tile(value=index % 3) for index in range(tiles)], CLASSES, PALETTE)
    pixels = np.asarray(opened(png))
    assert pixels.shape[1] <= WIDTH
    high, wide = 60 * 45 // 80, 60  # a prediction takes more room than any letter or sample of the legend
    for value in range(min(tiles, 3)):
        assert (pixels == PALETTE[value]).all(axis=2).sum() > high * wide
    assert (pixels == 0).all(axis=2).sum() > high * wide  # void


def test_a_wall_of_many_is_as_wide_as_one_of_few():
    sizes = [opened(draw("", [tile()] * count, CLASSES, PALETTE)).size for count in (3, 6, 46)]
    assert {width for width, _ in sizes} == {WIDTH}
    heights = [height for _, height in sizes]
    assert heights == sorted(set(heights))


def test_the_legend_of_many_classes_takes_more_lines():
    few = opened(draw("", [tile()], CLASSES, PALETTE))
    many = opened(draw("", [tile()], [f"class number {index}" for index in range(40)], np.zeros((40, 3), np.uint8)))
    assert many.height > few.height
    assert many.width == few.width


def test_drawn_twice_it_is_the_same():
    assert draw("a", [tile()], CLASSES, PALETTE) == draw("a", [tile()], CLASSES, PALETTE)


def test_another_font_makes_no_other_wall(monkeypatch):
    one = draw("a", [tile()], CLASSES, PALETTE)
    monkeypatch.setattr(prediction_grid, "_font", lambda size: prediction_grid.ImageFont.load_default(size + 3))
    other = draw("a", [tile()], CLASSES, PALETTE)
    assert one != other
    assert same(one, other)


@pytest.mark.parametrize(
    "change",
    [
        {"title": "b"},
        {"tiles": [tile(value=2)]},
        {"tiles": [tile(score="mIoU 61.24 %")]},
        {"tiles": [tile(name="1  unet")]},
        {"tiles": [tile(), tile("2  unet")]},
        {"tiles": [replace(tile(), labels=tile().labels[::-1])]},
        {"classes": ["sky", "road", "bus"]},
        {"palette": PALETTE[::-1]},
    ],
)
def test_everything_that_is_shown_counts(change):
    drawn = {"title": "a", "tiles": [tile()], "classes": CLASSES, "palette": PALETTE}
    assert not same(draw(**drawn), draw(**drawn | change))


def test_another_way_to_draw_counts(monkeypatch):
    one = draw("a", [tile()], CLASSES, PALETTE)
    monkeypatch.setattr(prediction_grid, "DRAWING", prediction_grid.DRAWING + 1)
    assert not same(one, draw("a", [tile()], CLASSES, PALETTE))


def test_a_picture_that_was_painted_over_is_another():
    png = draw("a", [tile()], CLASSES, PALETTE)
    assert not same(painted(png, keep=True), png)
    assert not same(painted(png, keep=False), png)
    assert not same(b"no picture", png)
    assert not same(b"", b"no picture")
