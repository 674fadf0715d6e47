"""Figures for papers."""

import re

import numpy as np
import pytest

from benchmark.analysis import view
from benchmark.errors import UserError
from benchmark.reporting import canvas, figure
from benchmark.reporting.plot import Point
from benchmark.reporting.point_labels import label_points
from benchmark.results.store import Store


@pytest.fixture
def shown(store, make_record):
    """Three networks, two of them with two seeds, in a store."""
    for name, quality, macs, ms in (("enet", 0.5, 5e8, 5.0), ("unet", 0.7, 9e9, 80.0), ("fcn_r50-d8", 0.6, 5e10, 90.0)):
        for seed in range(1 if name == "fcn_r50-d8" else 2):
            record, arrays = make_record(name, seed, quality + seed / 50, macs=int(macs), latency_ms=ms)
            store.add(record, arrays)
    (group,) = view.groups_of(store.summaries()[0])
    return store, group, view.was_run(group.table)


def drawn(shown, kind, format, **options):
    store, group, rows = shown
    content, problems = figure.draw(kind, store.root, group, rows, format, **options)
    assert problems == []
    return content


@pytest.mark.parametrize("kind", ["pareto", "curves", "iou", "predictions"])
def test_equal_data_give_equal_bytes_without_a_date(shown, kind):
    for format, start in (("pdf", b"%PDF"), ("svg", b"<?xml"), ("png", b"\x89PNG")):
        content = drawn(shown, kind, format)
        assert content.startswith(start)
        assert content == drawn(shown, kind, format)
        assert not re.search(rb"CreationDate|dc:date|matplotlib\.org, |20\d\d-\d\d-\d\dT", content)


@pytest.mark.parametrize("kind", ["pareto", "curves", "iou", "predictions"])
def test_fonts_are_embedded_as_truetype(shown, kind):
    content = drawn(shown, kind, "pdf")
    assert b"/FontFile2" in content
    assert b"/Type3" not in content


def test_the_width_is_that_of_a_column(shown):
    (box,) = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) ", drawn(shown, "iou", "pdf"))
    assert float(box) == pytest.approx(229 * 72 / 72.27, abs=0.01)
    (box,) = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) ", drawn(shown, "pareto", "pdf", width=6.5))
    assert float(box) == pytest.approx(6.5 * 72)


@pytest.fixture
def saved(monkeypatch):
    """The figures that are drawn."""
    found = []
    monkeypatch.setattr(figure, "saved", lambda each, format: found.append(each) or b"")
    return found


@pytest.mark.parametrize("width", [1.5, canvas.COLUMN, 7])
@pytest.mark.parametrize("kind", ["pareto", "curves", "iou", "predictions"])
def test_all_text_has_7_points_or_more_and_is_within_the_figure(shown, kind, width, saved):
    drawn(shown, kind, "pdf", width=width)
    (found,) = saved
    assert_text_is_legible(found)


def assert_text_is_legible(found):
    from matplotlib.text import Text

    found.draw_without_rendering()
    texts = [text for text in found.findobj(Text) if text.get_text() and text.get_visible()]
    assert len(texts) > 5
    assert min(text.get_fontsize() for text in texts) >= 7
    box = found.get_tightbbox()
    assert (box.x0 > -0.01, box.x1 < found.get_figwidth() + 0.01) == (True, True)
    assert (box.y0 > -0.01, box.y1 < found.get_figheight() + 0.01) == (True, True)


class Trained:
    """A run whose figures need wide labels, or have no power of ten between them."""

    def __init__(self, loss, miou):
        self.loss, self.val_miou = list(enumerate(loss, 1)), list(enumerate(miou, 1))


@pytest.mark.parametrize("width", [1.5, canvas.COLUMN, 7])
@pytest.mark.parametrize(
    "loss", [[1.4, 0.8, 0.79], [0.0123, 0.0121], [2.3, 1.1, 0.6, 0.4], [900, 3, 0.001], [1, 1]], ids=str
)
def test_curves_have_room_for_their_labels_and_two_ticks_of_the_loss(saved, width, loss):
    figure.curves({"enet": [Trained(loss, [17.94, 18.61])]}, "pdf", width)
    assert_text_is_legible(saved[0])
    above, below = saved[0].axes
    low, high = above.get_ylim()
    assert sum(low <= tick <= high for tick in above.get_yticks()) >= 2
    labels = [axes.yaxis.label.get_window_extent() for axes in (above, below)]
    assert not labels[0].overlaps(labels[1])


@pytest.mark.parametrize("width", [1.5, canvas.COLUMN])
def test_names_of_classes_have_the_room_they_need(saved, width):
    class Scored:
        def __init__(self):
            self.iou = {"MMMMMMMM wide": 50.0, r"$\frac{$": 60.0, "screen, silver screen, projection screen": 70.0}

        def evaluation(self):
            return self

    figure.class_iou({"a": [Scored()]}, "pdf", width)
    assert_text_is_legible(saved[0])
    assert saved[0].axes[0].get_position().width > 0.2


def test_settings_of_the_user_have_no_effect(shown):
    import matplotlib

    before = drawn(shown, "pareto", "svg")
    with matplotlib.rc_context({"font.size": 20, "axes.grid": False, "svg.fonttype": "none"}):
        assert drawn(shown, "pareto", "svg") == before


def boxes_of(points):
    """The names that are shown, with their boxes."""
    with canvas.style():
        found, (axes,) = canvas.axes_below(canvas.COLUMN, [2.4])
        axes.set_xscale("log")
        for point in points:
            axes.errorbar(point.x, point.y, yerr=point.spread or 0)
        front = sorted((point for point in points if point.front), key=lambda point: point.x)
        label_points(found, axes, points, front)
        return {text.get_text(): text.get_window_extent() for text in axes.texts}


def test_all_of_the_front_are_named_and_no_name_hides_another():
    rng = np.random.default_rng(0)
    points = [
        Point(f"network_{index:02}-r50", float(cost), float(score), 0.5, index % 8 == 0)
        for index, (cost, score) in enumerate(zip(10 ** rng.uniform(-1, 2, 46), rng.uniform(30, 70, 46), strict=True))
    ]
    boxes = boxes_of(points)
    assert {point.name for point in points if point.front} <= boxes.keys()
    assert 10 < len(boxes) < 46
    names = sorted(boxes)
    assert not [(a, b) for a in names for b in names if a < b and boxes[a].overlaps(boxes[b])]


def test_a_name_is_not_taken_for_that_of_a_neighbour():
    """Three points are at nearly the same place: the line to a name crosses neither of the others."""
    points = [Point("espnet-a", 0.28, 32.5, 1.0, True), Point("espnet-c", 0.29, 32.8, 0.3, True)]
    points += [Point("espnet-b", 0.29, 32.3, 1.8, False), Point("segnet-basic", 15.0, 29.1, 0.1, False)]
    with canvas.style():
        found, (axes,) = canvas.axes_below(canvas.COLUMN, [2.4])
        axes.set_xscale("log")
        axes.set_xlim(0.1, 20)
        axes.set_ylim(26, 36)
        label_points(found, axes, points, points[:2])
        at = {point.name: axes.transData.transform((point.x, point.y)) for point in points}
        boxes = {text.get_text(): text.get_window_extent() for text in axes.texts}
        lines = [axes.transData.transform(line.get_xydata()) for line in axes.lines]
    assert {"espnet-a", "espnet-c"} <= boxes.keys()
    for start, end in lines:
        (own,) = [name for name in at if np.allclose(at[name], start)]
        for name in at.keys() - {own}:
            along = (at[name] - start) @ (end - start) / ((end - start) @ (end - start))
            nearest = start + min(max(along, 0), 1) * (end - start)
            assert np.linalg.norm(at[name] - nearest) > 2 * found.dpi / 72 or along <= 0
    has_line = {name for name in at for start, _ in lines if np.allclose(at[name], start)}
    for name in boxes.keys() - has_line:
        distances = {
            other: np.linalg.norm(np.clip(at[other], boxes[name].min, boxes[name].max) - at[other]) for other in at
        }
        assert min(distances, key=distances.__getitem__) == name


def test_what_cannot_be_drawn_is_a_line(shown):
    store, _, rows = shown
    with pytest.raises(UserError, match="1 of the chosen networks has mIoU and MACs: a figure needs two"):
        figure.pareto(rows[:1], "macs", "pdf")
    with pytest.raises(UserError, match="none of the chosen networks was trained"):
        figure.curves({}, "pdf")
    with pytest.raises(UserError, match="8 networks are too many to tell apart: name at most 7"):
        figure.class_iou({str(index): _records(store) for index in range(8)}, "pdf")


def _records(store: Store):
    return [each.record for each in store.scan()[0] if each.record.architecture == "enet"]


def test_of_many_classes_those_that_differ_are_shown(saved):
    """150 classes would need a page and a half."""

    class Scored:
        def __init__(self, offset):
            self.iou = {f"class {index}": 50.0 + offset * index for index in range(150)} | {"none": None}

        def evaluation(self):
            return self

    figure.class_iou({"a": [Scored(0)], "b": [Scored(0.1)]}, "pdf")
    axes = saved[0].axes[0]
    assert axes.get_xlabel() == "IoU (%), 40 of 151 classes"
    assert [label.get_text() for label in axes.get_yticklabels()] == [f"class {index}" for index in range(110, 150)]
    assert saved[0].get_figheight() < 9
