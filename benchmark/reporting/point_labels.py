"""The names of points of a matplotlib plot, written where they hide nothing and are not taken for another point's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING

from benchmark.reporting.plot import Point

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

Place = tuple[float, float]
Line = tuple[Place, Place]

COLOURS = {True: "#000000", False: "#555555"}
"""Colours of names, by whether the point is on the front."""

AWAY = (4, 10, 18, 28, 40, 55)
"""Distances of a name from its point, in points of 1/72 inch."""

DIRECTIONS = ((1, 0), (-1, 0), (1, 1), (-1, 1), (0, 1), (1, -1), (-1, -1), (0, -1))
"""Directions in which a name is from its point, the most legible first."""


MOST_LEADERS = 12
"""Most points whose names may all be away from them, with a line: of more, only those on the front."""


TRIES = 6
"""Orders in which the names of a front are written: one without a place is the first of the next order."""


def label_points(figure: Figure, axes: Axes, points: Sequence[Point], front: Sequence[Point]) -> bool:
    """Write the names of the points of the front, and of the others where there is room.

    Args:
        figure: that has the axes.
        axes: on which the points are drawn, with final limits.
        points: all points.
        front: those of the front, from the cheapest.

    Returns:
        Whether all points of the front have names.
    """
    figure.draw_without_rendering()
    order = sorted(points, key=lambda point: (not point.front, -point.y))
    for tries in range(TRIES):
        drawn, failed = _write(figure, axes, order, front)
        if failed is None:
            return True
        if tries < TRIES - 1:
            for artist in drawn:
                artist.remove()
            order = [failed, *(point for point in order if point is not failed)]
    return False


def _write(
    figure: Figure, axes: Axes, points: Sequence[Point], front: Sequence[Point]
) -> tuple[list[Artist], Point | None]:
    """Write the names in this order; return them with their lines, and the first point of the front without one."""
    from matplotlib.transforms import Bbox

    drawn: list[Artist] = []
    failed: Point | None = None
    unit = figure.dpi / 72
    frame = axes.get_window_extent()
    room = Bbox.from_extents(frame.x0, frame.y0, figure.bbox.x1, figure.bbox.y1)
    at = {point: _at(axes, point.x, point.y) for point in points}
    marks = {point: _mark(axes, point, unit) for point in points}
    steps = list(_stairs([at[point] for point in front], frame.x1, unit))
    placed: list[Bbox] = []
    leaders: list[Line] = []
    for point in points:
        text = axes.text(0, 0, point.name, color=COLOURS[point.front], verticalalignment="bottom")
        size = text.get_window_extent()
        places = [place for place in _places(*at[point], size.width, size.height, unit) if _within(place[0], room)]
        if len(points) > MOST_LEADERS and not point.front:
            places = [place for place in places if place[1]]
        places = [place for place in places if not any(_crosses(leader, place[0]) for leader in leaders)]
        others = [(at[other], mark) for other, mark in marks.items() if other is not point]
        taken = [*placed, *(mark for _, mark in others)]
        free = _free(places, [*taken, *steps]) or _free(places, taken)
        if not free and point.front:  # these have a name unless it hides another
            free = _free(places, placed)
        if not free:
            text.remove()
            failed = failed or (point if point.front else None)
            continue
        doubts = [
            _doubt(*place, at[point], others, placed, unit) + sum(place[0].overlaps(other) for other in taken)
            for place in free
        ]
        box, is_near = free[doubts.index(min(doubts))]
        placed.append(box)
        drawn.append(text)
        back = axes.transData.inverted().transform
        text.set_position(tuple(back((box.x0, box.y0))))
        if not is_near:
            leader = _leader(box, at[point])
            leaders.append(leader)
            (x0, y0), (x1, y1) = map(back, leader)
            drawn += axes.plot([x0, x1], [y0, y1], color=COLOURS[False], linewidth=0.4, zorder=1)
    return drawn, failed


def _leader(box: Bbox, at: Place) -> Line:
    """Return the line from a point to its name, in pixels."""
    x, y = at
    return at, (min(max(x, box.x0), box.x1), box.y0 if box.y0 > y else box.y1)


def _crosses(line: Line, box: Bbox) -> bool:
    from matplotlib.path import Path

    return bool(Path(line).intersects_bbox(box))


def _doubt(
    box: Bbox, is_near: bool, at: Place, others: Sequence[tuple[Place, Bbox]], placed: Sequence[Bbox], unit: float
) -> int:
    """Return how easily a name is taken for that of another point.

    Next to its point, that is the number of points that are closer to it. Away from it, that is the number of names,
    points and error bars that its line crosses; points count twice.

    Args:
        box: of the name.
        is_near: whether it is next to its point.
        at: place of its point.
        others: places of the other points, and their boxes.
        placed: boxes of other names.
        unit: 1/72 inch in pixels.
    """
    if is_near:
        return sum(_distance(box, other) <= _distance(box, at) for other, _ in others)
    from matplotlib.transforms import Bbox

    (x, y), (to_x, to_y) = _leader(box, at)
    start = min(1, 3 * unit / math.hypot(to_x - x, to_y - y))  # outside of the own mark
    line = ((x + start * (to_x - x), y + start * (to_y - y)), (to_x, to_y))
    reach = 2.5 * unit
    marks = [Bbox.from_extents(x - reach, y - reach, x + reach, y + reach) for (x, y), _ in others]
    return sum(_crosses(line, each) for each in [*placed, *marks, *(bars for _, bars in others)])


def _distance(box: Bbox, at: Place) -> float:
    x, y = at
    return math.hypot(max(box.x0 - x, 0, x - box.x1), max(box.y0 - y, 0, y - box.y1))


def _at(axes: Axes, x: float, y: float) -> Place:
    """Return the place of data in pixels."""
    found = axes.transData.transform((x, y))
    return float(found[0]), float(found[1])


def _mark(axes: Axes, point: Point, unit: float) -> Bbox:
    """Return the box of a point with its error bar, in pixels."""
    from matplotlib.transforms import Bbox

    reach = point.spread or 0
    (x, low), (_, high) = (_at(axes, point.x, point.y + sign * reach) for sign in (-1, 1))
    return Bbox.from_extents(x - 2.5 * unit, low - 2 * unit, x + 2.5 * unit, high + 2 * unit)


def _stairs(points: Sequence[Place], end: float, unit: float) -> Iterator[Bbox]:
    """Yield boxes along the front, in pixels."""
    from matplotlib.transforms import Bbox

    for index, (x, y) in enumerate(points):
        to_x, to_y = points[index + 1] if index + 1 < len(points) else (end, y)
        yield Bbox.from_extents(x, y - unit, to_x, y + unit)
        yield Bbox.from_extents(to_x - unit, min(y, to_y), to_x + unit, max(y, to_y))


def _places(x: float, y: float, wide: float, high: float, unit: float) -> Iterator[tuple[Bbox, bool]]:
    """Yield places of a name, the best first, and whether each is next to its point."""
    from matplotlib.transforms import Bbox

    for away, (right, up) in product(AWAY, DIRECTIONS):
        if up == 0 and away > AWAY[0]:
            continue
        gap = (away if up == 0 else 3) * unit  # diagonally, the corner is near the point
        left = x - wide / 2 if right == 0 else x + gap if right > 0 else x - gap - wide
        bottom = y - high / 2 if up == 0 else y + away * unit if up > 0 else y - away * unit - high
        yield Bbox.from_bounds(left, bottom, wide, high), away == AWAY[0]


def _within(box: Bbox, room: Bbox) -> bool:
    return bool(box.x0 >= room.x0 and box.x1 <= room.x1 and box.y0 >= room.y0 and box.y1 <= room.y1)


def _free(places: Sequence[tuple[Bbox, bool]], taken: Sequence[Bbox]) -> list[tuple[Bbox, bool]]:
    return [place for place in places if not any(place[0].overlaps(other) for other in taken)]
