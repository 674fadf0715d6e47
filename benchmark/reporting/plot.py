"""Plots as SVG without a plotting library: they use the page's light or dark colours, and are fast to render.

No information is encoded by colour only, and every mark has a tooltip with its values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from benchmark.reporting.short_name import short_names

CHARACTER = {False: 6.6, True: 7.3}
"""Mean width of a character of a label, plain or bold, in the units of the drawing."""

LINE = 14
"""Height of a label."""

RADIUS = 4.5


@dataclass(frozen=True)
class Point:
    """The point of an architecture.

    Attributes:
        name: its label.
        x: the cost, above 0.
        y: the score.
        spread: standard deviation of the score, or None.
        front: whether it is on the Pareto front.
    """

    name: str
    x: float
    y: float
    spread: float | None
    front: bool


@dataclass(frozen=True)
class _Box:
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: _Box) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def within(self, other: _Box) -> bool:
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.top >= other.top
            and self.bottom <= other.bottom
        )


@dataclass(frozen=True)
class _Place:
    """A candidate position of a label: position and anchor of the text, its box, and the leader from the point."""

    x: float
    y: float
    anchor: str
    box: _Box
    leader: Sequence[tuple[float, float]]

    def covers(self) -> list[_Box]:
        """Return the occupied boxes: that of the text, and the leader as a row of dots."""
        return [self.box, *(_Box(x - 1, y - 1, x + 1, y + 1) for x, y in self.leader)]


class _Axis:
    """A map from values to positions, linear or logarithmic."""

    def __init__(self, low: float, high: float, start: float, end: float, log: bool = False) -> None:
        self.low, self.high, self.start, self.end, self.log = low, high, start, end, log

    def __call__(self, value: float) -> float:
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def scatter(points: Sequence[Point], cost: str, score: str) -> Markup:
    """Plot score against cost on a logarithmic scale, with the Pareto front.

    Args:
        points: at least one.
        cost: title of the horizontal axis, with its unit.
        score: title of the vertical axis, with its unit.
    """
    width, height = 500, 360
    frame = _Box(46, 14, width - 12, height - 46)
    y_ticks = _linear_ticks([p.y - (p.spread or 0) for p in points] + [p.y + (p.spread or 0) for p in points])
    x_low, x_high = _log_range([p.x for p in points])
    x = _Axis(x_low, x_high, frame.left, frame.right, log=True)
    y = _Axis(y_ticks[0], y_ticks[-1], frame.bottom, frame.top)
    front = sorted((p for p in points if p.front), key=lambda p: p.x)
    names = ", ".join(p.name for p in front) or "none"
    return _svg(
        width,
        height,
        f"{score} against {cost}",
        f"{len(points)} architectures. On the Pareto front, from the cheapest: {names}.",
        *_grid(frame, x, [(tick, _number(tick)) for tick in _log_ticks(x_low, x_high)], y, y_ticks),
        _text(frame.right, height - 10, cost + ", log scale", "axis-title", "end"),
        _text(frame.left, height - 10, "↑ " + score, "axis-title"),
        _staircase(front, x, y, frame),
        *(_mark(point, x(point.x), y(point.y), y, cost, score) for point in points),
        *_labels(points, front, x, y, _Box(frame.left, 0, width, frame.bottom)),
    )


def curves(
    lines: Sequence[Sequence[tuple[int, float]]], what: str, *, end: int, low: float, high: float, log: bool = False
) -> Markup:
    """Plot one quantity over the iterations, a line for each run, on axes with a given range.

    Args:
        lines: (iteration, value) pairs of each run.
        what: the quantity.
        end: last iteration of the axis.
        low: lower end of the vertical axis.
        high: upper end.
        log: logarithmic vertical axis.
    """
    width, height = 220, 120
    frame = _Box(34, 8, width - 6, height - 20)
    ticks = _log_ticks(low, high) if log else _linear_ticks([low, high])
    if not log:
        low, high = ticks[0], ticks[-1]
    x, y = _Axis(0, end, frame.left, frame.right), _Axis(low, high, frame.bottom, frame.top, log)
    last = ", ".join(_number(line[-1][1]) for line in lines if line)
    return _svg(
        width,
        height,
        what,
        f"{what} over {end} iterations; at the end {last}.",
        *_grid(frame, x, [(0, "0"), (end, f"{end:,}".replace(",", "\N{THIN SPACE}"))], y, ticks),
        *(_line([(x(i), y(min(max(value, low), high))) for i, value in _thinned(line)]) for line in lines if line),
    )


def versions(values: Sequence[tuple[int, Sequence[float]]], count: int, steps: Mapping[int, str], what: str) -> Markup:
    """Plot a figure over versions: a dot for each value, a line through the means, and a mark at each step.

    Args:
        values: index of a version, from 0 on, and the values of the figure there; at least one.
        count: number of versions of the axis.
        steps: by version, whether the figure is `better` or `worse` from there on.
        what: the figure, with its unit.
    """
    width, height = 220, 120
    frame = _Box(40, 8, width - 10, height - 20)
    everything = [value for _, each in values for value in each]
    ticks = _linear_ticks(everything, least=0.05 * max(map(abs, everything)) or 1)
    x = _Axis(0, max(count - 1, 1), frame.left + 6, frame.right - 6)
    y = _Axis(ticks[0], ticks[-1], frame.bottom, frame.top)
    means = [(index, sum(each) / len(each)) for index, each in values]
    found = ", ".join(f"{kind} at version {index + 1}" for index, kind in steps.items())
    numbers = [(x(index), str(index + 1)) for index in range(count) if not index % math.ceil(count / 6)]
    return _svg(
        width,
        height,
        what,
        f"From {_number(means[0][1])} to {_number(means[-1][1])} over {count} versions; {found or 'no step'}.",
        *_grid(frame, lambda at: at, numbers, y, [ticks[0], ticks[len(ticks) // 2], ticks[-1]]),
        *(
            Markup('<path class="step {}" d="M{:.1f} {}V{}"/>').format(kind, x(at), frame.top, frame.bottom)
            for at, kind in steps.items()
        ),
        *(
            Markup('<circle class="seed" cx="{}" cy="{}" r="2"/>').format(_short(x(index)), _short(y(value)))
            for index, each in values
            for value in each
            if len(each) > 1
        ),
        _line([(x(index), y(mean)) for index, mean in means]),
    )


def interval(change: float, bounds: tuple[float, float], margin: float, reach: float) -> Markup:
    """Plot the confidence interval of a change, with lines at 0 and at the margin of a loss.

    Args:
        change: the change.
        bounds: its confidence interval.
        margin: the margin.
        reach: largest absolute value of the axis.
    """
    width, height = 180, 22
    x = _Axis(-reach, reach, 6, width - 6)
    low, high = (max(min(each, reach), -reach) for each in bounds)
    return _svg(
        width,
        height,
        "Change of mIoU",
        f"{change:+.2f}, interval {bounds[0]:+.2f} to {bounds[1]:+.2f}; margin {-margin:g}",
        Markup('<path class="zero" d="M{:.1f} 0V{}"/>').format(x(0), height),
        Markup('<path class="margin" d="M{:.1f} 0V{}"/>').format(x(-margin), height),
        Markup('<path class="range" d="M{:.1f} 11H{:.1f}"/>').format(x(low), x(high)),
        Markup('<circle class="end" cx="{:.1f}" cy="11" r="4"/>').format(x(max(min(change, reach), -reach))),
    )


def _svg(width: float, height: float, title: str, description: str, *parts: Markup) -> Markup:
    return Markup('<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}"><desc>{}</desc>{}</svg>').format(
        width, height, f"{title}. {description}", description, Markup("").join(parts)
    )


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> Markup:
    place = _short(x), _short(y)
    return Markup('<text x="{}" y="{}" class="{}" text-anchor="{}">{}</text>').format(*place, kind, anchor, text)


def _short(value: float) -> str:
    """Format a coordinate to a tenth, without a trailing zero."""
    return f"{value:.1f}".removesuffix(".0")


def _grid(
    frame: _Box, x: Callable[[float], float], x_ticks: Sequence[tuple[float, str]], y: _Axis, y_ticks: Sequence[float]
) -> Iterator[Markup]:
    lines = [f"M{_short(frame.left)} {_short(y(tick))}H{_short(frame.right)}" for tick in y_ticks]
    lines += [f"M{_short(x(tick))} {_short(frame.bottom)}v4" for tick, _ in x_ticks]
    yield Markup('<path class="grid" d="{}"/>').format("".join(lines))
    for tick in y_ticks:
        yield _text(frame.left - 6, y(tick) + 4, _number(tick), "tick", "end")
    for tick, text in x_ticks:
        at = x(tick)
        yield _text(at, frame.bottom + 16, text, "tick", "end" if at > frame.right - 8 else "middle")


def _staircase(front: Sequence[Point], x: _Axis, y: _Axis, frame: _Box) -> Markup:
    """Return the Pareto front as a staircase."""
    if not front:
        return Markup("")
    path = f"M{x(front[0].x):.1f} {y(front[0].y):.1f}"
    path += "".join(f"H{x(point.x):.1f}V{y(point.y):.1f}" for point in front[1:])
    return Markup('<path class="front-line" d="{}H{:.1f}"/>').format(path, frame.right)


def _mark(point: Point, x: float, y: float, axis: _Axis, cost: str, score: str) -> Markup:
    bar = Markup("")
    if point.spread:
        low, high = axis(point.y - point.spread), axis(point.y + point.spread)
        bar = Markup('<path class="spread" d="M{:.1f} {:.1f}V{:.1f}"/>').format(x, low, high)
    spread = f" (sd {point.spread:.2f})" if point.spread else ""
    return Markup('<g class="{}">{}<circle cx="{:.1f}" cy="{:.1f}" r="{}"/><title>{}</title></g>').format(
        "mark front" if point.front else "mark",
        bar,
        x,
        y,
        RADIUS,
        f"{point.name}\n{score}: {point.y:.2f}{spread}\n{cost}: {point.x:.4g}",
    )


def _labels(points: Sequence[Point], front: Sequence[Point], x: _Axis, y: _Axis, room: _Box) -> Iterator[Markup]:
    """Yield a label next to each point where it fits; each point has a tooltip anyway."""
    marks = {
        point: _Box(x(point.x) - RADIUS, y(high) - RADIUS, x(point.x) + RADIUS, y(low) + RADIUS)
        for point in points
        for low, high in [(point.y - (point.spread or 0), point.y + (point.spread or 0))]
    }
    steps = list(_strokes(front, x, y, room.right))
    texts = short_names(point.name for point in points)  # complete in the tooltip
    placed: list[_Box] = []
    for point in sorted(points, key=lambda p: (not p.front, -p.y)):
        text = texts[point.name]
        places = [
            place
            for place in _places(x(point.x), y(point.y), len(text) * CHARACTER[point.front])
            if place.box.within(room)
        ]
        taken = [*placed, *(mark for other, mark in marks.items() if other is not point)]
        for place in (_free(places, [*taken, *steps]) or _free(places, taken))[:1]:
            placed += place.covers()
            if place.leader:
                ends = (*place.leader[0], *place.leader[-1])
                yield Markup('<path class="leader" d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>').format(*ends)
            yield _text(place.x, place.y, text, "label front" if point.front else "label", place.anchor)


def _strokes(front: Sequence[Point], x: _Axis, y: _Axis, end: float) -> Iterator[_Box]:
    """Yield boxes along the staircase, which labels should not cross."""
    for index, point in enumerate(front):
        after = front[index + 1 : index + 2]
        to_x, to_y = (x(after[0].x), y(after[0].y)) if after else (end, y(point.y))
        yield _Box(x(point.x), y(point.y) - 1, to_x, y(point.y) + 1)
        yield _Box(to_x - 1, to_y, to_x + 1, y(point.y))


def _free(places: Sequence[_Place], taken: Sequence[_Box]) -> list[_Place]:
    return [place for place in places if not any(box.overlaps(other) for box in place.covers() for other in taken)]


def _places(x: float, y: float, wide: float) -> Iterator[_Place]:
    """Yield positions for the label of a point, the most readable first: adjacent, then further away with a leader."""
    near, half = RADIUS + 4, LINE / 2
    offsets = [(near, 0), (near, -13), (near, 13)]
    offsets += [(gap, rise) for rise in (20, 32, 44, 58, 72) for gap in (near, 26) for rise in (-rise, rise)]
    for gap, rise in offsets:
        for anchor in ("end", "start"):
            edge = x - gap if anchor == "end" else x + gap
            left = edge - wide if anchor == "end" else edge
            box = _Box(left, y + rise - half, left + wide, y + rise + half)
            yield _Place(edge, y + rise + 4, anchor, box, _leader(x, y, edge, y + rise) if abs(rise) > 13 else ())


def _leader(x: float, y: float, to_x: float, to_y: float) -> list[tuple[float, float]]:
    """Return points between the border of a mark and a label."""
    length = math.hypot(to_x - x, to_y - y)
    first, last = (RADIUS + 2) / length, 1 - 5 / length
    shares = [first + (last - first) * step / 8 for step in range(9)]
    return [(x + (to_x - x) * share, y + (to_y - y) * share) for share in shares]


def _line(points: Sequence[tuple[float, float]]) -> Markup:
    """Return a line that ends in a dot; a single point is only the dot."""
    places = [(_short(x), _short(y)) for x, y in points]
    path = " ".join(f"{x},{y}" for x, y in places)
    return Markup('<polyline class="curve" points="{}"/><circle class="end" cx="{}" cy="{}" r="2"/>').format(
        path, *places[-1]
    )


def _thinned(line: Sequence[tuple[int, float]], most: int = 120) -> Sequence[tuple[int, float]]:
    """Reduce points to as many as the plot can show, including the last one."""
    step = math.ceil(len(line) / most)
    return [*line[:-1:step], line[-1]]


def _linear_ticks(values: Sequence[float], least: float = 1) -> list[float]:
    """Return three to seven round numbers, at least a range apart, whose first and last enclose the values."""
    low, high = min(values), max(values)
    if high - low < least:
        low, high = low - least / 2, high + least / 2
    size = 10 ** math.floor(math.log10((high - low) / 4))
    step = next(size * factor for factor in (1, 2, 5, 10) if (high - low) / (size * factor) <= 5)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [index * step for index in range(first, last + 1)]


def _log_range(values: Sequence[float]) -> tuple[float, float]:
    """Return the range of the values with padding, at least wide enough for a tick."""
    low, high = min(values), max(values)
    room = max((high / low) ** 0.12, 1.6)
    return low / room, high * room


def _log_ticks(low: float, high: float) -> list[float]:
    """Return powers of ten in the range, with 2 and 5 times them if that does not yield too many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [factor * 10.0**power for power in powers for factor in factors if low <= factor * 10.0**power <= high]
        if len(ticks) <= 7:
            break
    return ticks


def _number(value: float) -> str:
    """Format a tick or a value with at most four digits."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
