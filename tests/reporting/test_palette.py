import numpy as np

from benchmark.datasets.camvid import CamVid
from benchmark.reporting.palette import VOID, coloured, legend, palette


def test_a_known_dataset_has_its_colours():
    assert palette("camvid", CamVid.classes).tolist() == [list(colour) for colour in CamVid.palette]


def test_others_have_colours_that_are_told_apart():
    for dataset in ("of_elsewhere", "camvid"):
        colours = palette(dataset, [f"class {index}" for index in range(20)]).astype(int)
        assert colours.shape == (20, 3)
        apart = np.abs(colours[:, None] - colours[None]).max(axis=2) + 999 * np.eye(20, dtype=int)
        assert apart.min() > 15
    assert palette("camvid", CamVid.classes[::-1]).tolist() != [list(colour) for colour in CamVid.palette][::-1]


def test_pixels_of_no_class_are_void():
    colours = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
    shown = coloured(np.array([[0, 1, 2, 255]], np.uint8), colours)
    assert shown.tolist() == [[[1, 2, 3], [4, 5, 6], list(VOID), list(VOID)]]


def test_the_legend_ends_with_void():
    assert legend(["a", "b"], np.array([[1, 2, 3], [4, 5, 6]], np.uint8)) == [
        ("a", (1, 2, 3)),
        ("b", (4, 5, 6)),
        ("void", VOID),
    ]
