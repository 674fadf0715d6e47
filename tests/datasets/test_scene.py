import numpy as np
import pytest

from benchmark.datasets import scene


def test_stream_is_the_raw_philox_stream():
    stream = scene.Stream((5, 2), 7)
    words = np.random.Philox(key=np.array([5, 2], np.uint64), counter=np.array([0, 0, 0, 7], np.uint64)).random_raw(64)
    assert [stream.between(0, 2**32 - 1) for _ in range(64)] == [int(word) >> 32 for word in words]


def test_streams_of_two_scenes_do_not_overlap():
    streams = [scene.Stream((0, split), index) for split in (0, 1) for index in (0, 1)]
    words = [stream.between(0, 2**32 - 1) for stream in streams for _ in range(500)]
    assert len(set(words)) > 1995  # 2000, but for a chance equal pair


def test_between_is_uniform_and_includes_both_ends():
    stream = scene.Stream((0, 0), 0)
    counts = np.bincount([stream.between(3, 7) for _ in range(5000)], minlength=8)
    assert counts[:3].sum() == 0
    assert counts[3:].min() > 900  # 1000 each, 28 standard deviation
    assert counts[3:].max() < 1100


def test_clouds_interpolate_the_noise_linearly(monkeypatch):
    knots = np.array([[0, 100, 200], [40, 60, 80], [0, 0, 255]], np.int32)
    stream = scene.Stream((0, 0), 0)
    monkeypatch.setattr(stream, "noise", lambda height, width: knots[:height, :width])
    clouds = stream.clouds(8, 8, 4)
    for y, x in np.ndindex(8, 8):
        (i, fy), (j, fx) = divmod(y, 4), divmod(x, 4)
        top = knots[i, j] * (4 - fx) + knots[i, j + 1] * fx
        bottom = knots[i + 1, j] * (4 - fx) + knots[i + 1, j + 1] * fx
        assert clouds[y, x] == (top * (4 - fy) + bottom * fy) // 16


@pytest.mark.parametrize(
    ("hue", "rgb"),
    [
        (0, (255, 0, 0)),
        (256, (255, 255, 0)),
        (512, (0, 255, 0)),
        (768, (0, 255, 255)),
        (1024, (0, 0, 255)),
        (1280, (255, 0, 255)),
        (1280 + 1536, (255, 0, 255)),
    ],
)
def test_hues_are_the_corners_of_the_colour_cube(hue, rgb):
    assert tuple(scene.Stream((0, 0), 0).colour(hue, 0, (255, 255), (255, 255))) == rgb


def test_colour_without_purity_is_grey():
    assert tuple(scene.Stream((0, 0), 0).colour(100, 700, (0, 0), (90, 90))) == (90, 90, 90)


@pytest.mark.parametrize(
    ("kind", "area"),
    [
        ("disc", np.pi),
        ("ring", np.pi * 3 / 4),
        ("square", 1.6**2),
        ("triangle", 1.2**2 * 3 * np.sqrt(3) / 4),
        ("cross", 2 * 2 * (2 / 3) - (2 / 3) ** 2),
        ("pole", 2 * 2 / 14),
        ("smudge", np.pi / np.sqrt(3)),
    ],
)
@pytest.mark.parametrize("angle", [0, 5, 16, 33])
def test_area_of_an_outline_is_that_of_its_geometry(kind, area, angle):
    radius = 4000
    grid = np.arange(-6000, 6000, 20, dtype=np.int32)
    inside = scene._covers(kind, *scene._rotate(grid, grid[:, None], angle), radius)
    assert inside.sum() * 20**2 / radius**2 == pytest.approx(area, rel=0.02)


def test_rotation_turns_by_the_angle():
    u, v = scene._rotate(np.int32(1000), np.int32(0), scene.TURN // 4)
    assert (u, v) == (0, -1000)
    u, v = scene._rotate(np.int32(1000), np.int32(500), scene.TURN // 8)
    assert (u, v) == pytest.approx((1500 / np.sqrt(2), -500 / np.sqrt(2)), abs=2)


def test_label_is_exactly_where_the_object_is_painted():
    canvas = scene._Canvas(scene.Stream((0, 0), 3), 64, 64)
    colour, label = canvas.colour.copy(), canvas.label.copy()
    canvas.draw_object("cross", 30, 31)
    painted = canvas.label == scene.CLASSES.index("cross")
    assert 100 < painted.sum() < 900
    assert (canvas.label[~painted] == label[~painted]).all()
    assert (canvas.colour[~painted] == colour[~painted]).all()
    assert (canvas.colour[painted] != colour[painted]).any(axis=1).mean() > 0.99
    assert (canvas.shade[painted] == 256).all()  # its own shadow falls behind it
    assert (canvas.shade < 256).any()


def test_nearer_object_hides_the_farther():
    canvas = scene._Canvas(scene.Stream((0, 0), 4), 64, 64)
    canvas.draw_object("square", 30, 30)
    canvas.draw_object("disc", 30, 30)
    assert canvas.label[30, 30] == scene.CLASSES.index("disc")


@pytest.mark.parametrize("size", [(16, 16), (64, 64), (17, 90), (128, 96)])
def test_objects_may_stand_at_the_border_or_outside(size):
    for index, kind in enumerate((*scene.OBJECTS, "smudge")):
        canvas = scene._Canvas(scene.Stream((0, 0), index), *size)
        for row, column in ((0, 0), size, (size[0] // 2, size[1])):
            canvas.draw_object(kind, row, column)
        assert canvas.expose().shape == (*size, 3)
