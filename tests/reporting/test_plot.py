import re
from xml.etree import ElementTree

import pytest

from benchmark.reporting.plot import Point, _linear_ticks, _log_range, _log_ticks, curves, scatter


def parse(markup):
    return ElementTree.fromstring(str(markup))


def circles(svg):
    return [(float(each.get("cx")), float(each.get("cy"))) for each in svg.iter("circle")]


def labels(svg):
    return [each for each in svg.iter("text") if "label" in each.get("class").split()]


POINTS = [
    Point("enet", 1.4, 49.2, 0.2, True),
    Point("pspnet", 118.0, 74.4, 2.4, True),
    Point("unet", 134.0, 54.4, None, False),
]


def test_every_point_is_drawn_inside_and_in_order():
    svg = parse(scatter(POINTS, "MACs (G)", "mIoU (%)"))
    _, _, width, height = map(float, svg.get("viewBox").split())
    places = circles(svg)
    assert len(places) == 3
    assert all(0 < x < width and 0 < y < height for x, y in places)
    (x1, y1), (x2, y2), (x3, y3) = places
    assert x1 < x2 < x3
    assert y2 < y3 < y1  # up is more accurate
    assert sorted(label.text for label in labels(svg)) == ["enet", "pspnet", "unet"]


def test_the_cost_is_logarithmic():
    (x1, _), (x2, _), (x3, _) = circles(
        parse(scatter([Point(str(c), c, 50, None, False) for c in (1, 10, 100)], "", ""))
    )
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.1)


def test_the_front_is_marked_by_more_than_colour():
    text = str(scatter(POINTS, "MACs (G)", "mIoU (%)"))
    assert text.count('class="mark front"') == 2
    assert "front-line" in text
    assert "On the Pareto front, from the cheapest: enet, pspnet." in parse(text).get("aria-label")


def test_figures_are_in_the_tooltip():
    titles = [each.text for each in parse(scatter(POINTS, "MACs (G)", "mIoU (%)")).iter("title")]
    assert titles[1] == "pspnet\nmIoU (%): 74.40 (sd 2.40)\nMACs (G): 118"


def test_names_are_escaped_and_long_ones_cut():
    long = "mmseg:" + "x" * 60
    text = str(scatter([Point("<b>&", 1, 50, None, True), Point(long, 5, 60, None, True)], "<i>", "mIoU (%)"))
    svg = parse(text)
    assert "<b>" not in text
    assert "<i>" not in text
    shown = {label.text for label in labels(svg)}
    assert "<b>&" in shown
    assert any(label.startswith("xxx") and "…" in label and len(label) == 28 for label in shown)
    assert any(long in title.text for title in svg.iter("title"))


def test_labels_do_not_overlap():
    points = [Point(f"network_{i}", 10 + i % 7, 60 + (i * 37 % 11) / 2, None, i % 5 == 0) for i in range(30)]
    svg = parse(scatter(points, "MACs (G)", "mIoU (%)"))
    boxes = []
    for label in labels(svg):
        wide = len(label.text) * 6.6
        x, y = float(label.get("x")), float(label.get("y"))
        left = x - wide if label.get("text-anchor") == "end" else x
        boxes.append((left, y - 11, left + wide, y + 3))
    assert len(boxes) >= 12
    for i, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[:i]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
        for cx, cy in circles(svg):
            assert not (left < cx < right and top < cy < bottom)


@pytest.mark.parametrize(
    "points",
    [
        [Point("a", 1.0, 50.0, None, True)],
        [Point("a", 1.0, 50.0, None, True), Point("b", 1.0, 50.0, None, True)],
        [Point("a", 1e-4, 0.0, None, True), Point("b", 1e7, 100.0, 3.0, True)],
        [Point("a", 2.1, 50.0, None, False), Point("b", 2.2, 50.1, None, False)],
    ],
)
def test_degenerate_ranges(points):
    svg = parse(scatter(points, "MACs (G)", "mIoU (%)"))
    assert len(circles(svg)) == len(points)
    assert "nan" not in str(scatter(points, "MACs (G)", "mIoU (%)"))
    assert len([each for each in svg.iter("text") if each.get("class") == "tick"]) >= 4


@pytest.mark.parametrize("values", [[0, 1], [49.2, 77.2], [0.001, 99.9], [50, 50], [-3, 4]])
def test_linear_ticks_enclose_the_values(values):
    ticks = _linear_ticks(values)
    assert ticks[0] <= min(values)
    assert ticks[-1] >= max(values)
    assert 3 <= len(ticks) <= 8


@pytest.mark.parametrize("values", [[1], [2.1, 2.2], [1, 1e6], [0.26, 7.2], [3e-5, 4e-5]])
def test_log_ticks_lie_in_the_range(values):
    low, high = _log_range(values)
    assert low < min(values)
    assert high > max(values)
    ticks = _log_ticks(low, high)
    assert 1 <= len(ticks) <= 12
    assert all(low <= tick <= high for tick in ticks)


def test_curves_are_thinned_and_end_where_they_end():
    line = [(i, 1 + 1 / i) for i in range(1, 5001)]
    svg = parse(curves([line, [(10, 2.0), (5000, 1.0)], []], "training loss", end=5000, low=0.9, high=2.1, log=True))
    drawn = [each.get("points").split() for each in svg.iter("polyline")]
    assert len(drawn) == 2
    assert len(drawn[0]) <= 241
    assert drawn[0][-1].split(",")[0] == drawn[1][-1].split(",")[0]


def test_curves_are_cut_at_the_frame():
    svg = parse(curves([[(1, 5.0), (2, 1e9)]], "training loss", end=2, low=1, high=10, log=True))
    heights = [float(y) for y in re.findall(r",([\d.]+)", next(svg.iter("polyline")).get("points"))]
    assert min(heights) >= 0
