"""Figures for papers: as wide as a column, in fonts of 7 pt or more that are embedded, equal bytes for equal data.

Colours are those of Okabe and Ito ("Color universal design", 2008), which people with any colour vision tell apart;
no information is in the colour alone. matplotlib is imported where a figure is drawn, without a screen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from benchmark import arguments
from benchmark.analysis.marks import COSTS
from benchmark.analysis.ranking import Group, Standing
from benchmark.errors import UserError
from benchmark.files.atomic import replacing
from benchmark.reporting.canvas import (
    COLUMN,
    FONT,
    FORMATS,
    SOFT,
    axes_below,
    draw_legend,
    fit_left,
    plain_log_ticks,
    saved,
    style,
)
from benchmark.reporting.palette import coloured, legend
from benchmark.reporting.plot import Point
from benchmark.reporting.point_labels import label_points
from benchmark.reporting.predictions import Predictions
from benchmark.reporting.predictions import predictions as kept_predictions
from benchmark.reporting.table import Column, columns
from benchmark.results.reading import Problem, Stored
from benchmark.results.record import Record, Training
from benchmark.results.store import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARETO_HEIGHTS = (0.72, 0.9, 1.1, 1.3)
"""Heights of a plot against a cost, relative to its width: the first at which all names of the front have a place."""

SERIES = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000")
"""The colours of Okabe and Ito, without the yellow, which is too light for lines on white."""

MARKERS = "osD^vPX"
DASHES = ("-", "--", ":", "-.")

MOST = len(SERIES) * len(DASHES)
"""Most networks of a figure with a line for each."""

Kind = Literal["pareto", "curves", "iou", "predictions"]

CLASSES = 40
"""Most classes of a figure of IoU: of more, those in which the networks differ the most are shown."""


def write(
    kind: Kind,
    results: Path,
    group: Group,
    rows: Sequence[Standing],
    output: Path,
    *,
    width: float = COLUMN,
    cost: str = "macs",
    photographs: bool = False,
) -> list[Problem]:
    """Draw a figure of results in a store, and write its file.

    Args:
        kind: which.
        results: folder of the store.
        group: results of it.
        rows: rows of the group, in their order.
        output: the file, whose suffix is one of `FORMATS`.
        width: in inches.
        cost: of `pareto`, one of `COSTS`.
        photographs: show images and ground truth of any dataset above predictions; most must not be redistributed.

    Returns:
        Stored files that could not be used.

    Raises:
        UserError: the results lack what the figure shows, or the file cannot be written.
    """
    format = output.suffix.removeprefix(".").lower()
    if format not in FORMATS:
        raise UserError(f"{output}: name a file that ends in .{', .'.join(FORMATS)}")
    arguments.choice("kind", kind, get_args(Kind))
    arguments.choice("cost", cost, COSTS)
    width = arguments.real("width", width, *arguments.WIDTHS)
    content, problems = draw(kind, results, group, rows, format, width, cost, photographs)
    with replacing(output) as temporary:
        temporary.write_bytes(content)
    return problems


def draw(
    kind: Kind,
    results: Path,
    group: Group,
    rows: Sequence[Standing],
    format: str,
    width: float = COLUMN,
    cost: str = "macs",
    photographs: bool = False,
) -> tuple[bytes, list[Problem]]:
    """Return the file of a figure, and stored files that could not be used; arguments as of `write`.

    Raises:
        UserError: the results lack what the figure shows.
    """
    if kind == "pareto":
        return pareto(rows, cost, format, width), []
    store = Store(results)
    wanted = {run.run_id: run.architecture for run in group.runs}
    stored: dict[str, list[Stored]] = {row.architecture: [] for row in rows}
    for each in sorted(store.scan(group.protocol)[0], key=lambda each: each.record.seed):
        if wanted.get(each.record.run_id) in stored:
            stored[each.record.architecture].append(each)
    stored = {name: found for name, found in stored.items() if found}
    if kind == "predictions":
        kept, problems = kept_predictions(store, stored, photographs)
        return predictions(kept, rows, format, width), problems
    records = {name: [each.record for each in found if each.record.status == "ok"] for name, found in stored.items()}
    if kind == "iou":
        return class_iou(records, format, width), []
    trained = {name: [each.training for each in found if each.training] for name, found in records.items()}
    return curves(trained, format, width), []


def pareto(rows: Sequence[Standing], cost: str, format: str, width: float = COLUMN) -> bytes:
    """Draw mIoU, with its standard deviation over seeds, against a cost, and the Pareto front.

    Args:
        rows: a leaderboard.
        cost: one of its columns; the axis is logarithmic if the largest is three times the smallest.
        format: one of `FORMATS`.
        width: in inches.

    Raises:
        UserError: fewer than two rows have both.
    """
    (column,) = columns([cost])
    points = [
        Point(row.architecture, value / column.scale, row.miou_percent, row.miou_sd_percent, cost in row.front.split())
        for row in rows
        if row.miou_percent is not None and (value := getattr(row, cost))
    ]
    if len(points) < 2:
        raise UserError(f"{len(points)} of the chosen networks has mIoU and {column.title}: a figure needs two")
    for height in PARETO_HEIGHTS:
        content, is_whole = _pareto(points, column, format, width, height * width)
        if is_whole:
            break
    return content


def _pareto(points: Sequence[Point], column: Column, format: str, width: float, height: float) -> tuple[bytes, bool]:
    """Draw a figure of that height in inches; return it, and whether all points of the front have names."""
    with style():
        figure, (axes,) = axes_below(width, [height])
        for point in points:
            axes.errorbar(
                point.x,
                point.y,
                yerr=point.spread or 0,
                fmt="o" if point.front else "s",
                color=SERIES[0] if point.front else SOFT,
                markerfacecolor=SERIES[0] if point.front else "white",
                markersize=4 if point.front else 3,
                markeredgewidth=0.7,
                elinewidth=0.6,
                zorder=3 if point.front else 2,
            )
        axes.margins(y=0.12)
        cheapest, high = min(points, key=lambda point: point.x), max(point.x for point in points)
        low, left = cheapest.x, _left_of(cheapest.name, width)
        if high > 3 * low:
            axes.set_xscale("log")
            axes.set_xlim(low / (high / low) ** left, high * (high / low) ** 0.12)
            plain_log_ticks(axes.xaxis)
        else:
            spread = high - low or high
            axes.set_xlim(low - left * spread, high + 0.12 * spread)
        axes.set_xlabel(column.heading)
        axes.set_ylabel("mIoU (%)")
        axes.grid(True)
        front = sorted((point for point in points if point.front), key=lambda point: point.x)
        if front:
            xs, ys = [point.x for point in front], [point.y for point in front]
            axes.step([*xs, axes.get_xlim()[1]], [*ys, ys[-1]], where="post", color=SERIES[0], linewidth=0.8)
        fit_left(figure)
        is_whole = label_points(figure, axes, points, front)
        return saved(figure, format), is_whole


def _left_of(name: str, width: float) -> float:
    """Return the room for a name left of the first point, relative to the distance to the last; a quarter at most."""
    share = (len(name) * FONT * 0.57 / 72 + 0.1) / (width - 0.5)
    return min(max(share / (1 - share) if share < 1 else 1, 0.12), 0.33)


def curves(trainings: Mapping[str, Sequence[Training]], format: str, width: float = COLUMN) -> bytes:
    """Draw the training loss and mIoU on val over the iterations: the mean over seeds, and their range as a band.

    Args:
        trainings: the runs of each network.
        format: one of `FORMATS`.
        width: in inches.

    Raises:
        UserError: no run was trained, or there are more networks than line styles.
    """
    trained = {name: runs for name, runs in trainings.items() if any(run.loss for run in runs)}
    _check_count(trained, "was trained")
    with style():
        names = list(trained)
        high = max(0.42 * width, 0.8)  # no less than the label of the axis is long
        figure, (above, below) = axes_below(width, [high, high], legend=names)
        for index, (name, runs) in enumerate(trained.items()):
            color, dash = SERIES[index % len(SERIES)], DASHES[index // len(SERIES)]
            for axes, series in ((above, [run.loss for run in runs]), (below, [run.val_miou for run in runs])):
                steps, values = _aligned(series)
                if not steps:
                    continue
                every = (index % 3, max(1, len(steps) // 6))
                axes.fill_between(steps, values.min(0), values.max(0), color=color, alpha=0.2, linewidth=0)
                axes.plot(
                    steps,
                    values.mean(0),
                    dash,
                    color=color,
                    marker=MARKERS[index % len(MARKERS)],
                    markersize=2.5,
                    markevery=every if len(steps) > 12 else None,
                    label=name,
                )
        above.set_yscale("log")
        plain_log_ticks(above.yaxis)
        above.set_ylabel("training loss")
        below.set_ylabel("mIoU on val (%)")
        below.set_xlabel("iterations")
        for axes in (above, below):
            axes.grid(True)
            axes.set_xlim(left=0)
        above.sharex(below)
        above.tick_params(labelbottom=False)
        draw_legend(figure, above)
        fit_left(figure)
        return saved(figure, format)


def class_iou(records: Mapping[str, Sequence[Record]], format: str, width: float = COLUMN) -> bytes:
    """Draw the IoU of each class: mean and standard deviation over seeds.

    Args:
        records: the results of each network.
        format: one of `FORMATS`.
        width: in inches.

    Raises:
        UserError: no result has scores, or there are more networks than colours.
    """
    scores = {
        name: found
        for name, each in records.items()
        if (found := [evaluation.iou for record in each if (evaluation := record.evaluation())])
    }
    _check_count(scores, "has scores", len(SERIES))
    classes = list(next(iter(scores.values()))[0])
    means = {
        name: np.array([[_number(iou.get(each)) for each in classes] for iou in found])
        for name, found in scores.items()
    }
    shown = list(range(len(classes)))
    if len(classes) > CLASSES:
        spread = np.nan_to_num(np.ptp([_mean(values) for values in means.values()], axis=0), nan=-1.0)
        shown = sorted(np.argsort(-spread, kind="stable")[:CLASSES].tolist())
    with style():
        row = 0.13 + 0.035 * len(scores)
        most = int(0.5 * width * 72 / (FONT * 0.6))
        names = [name if len(name := classes[index]) <= most else f"{name[: most - 1]}…" for index in shown]
        figure, (axes,) = axes_below(width, [row * len(shown) + 0.4], legend=list(scores))
        places = np.arange(len(shown), dtype=float)
        for index, (name, values) in enumerate(means.items()):
            offset = (index - (len(means) - 1) / 2) * 0.7 / len(means)
            axes.errorbar(
                _mean(values)[shown],
                places + offset,
                xerr=np.nanstd(values[:, shown], axis=0, ddof=1) if len(values) > 1 else None,
                fmt=MARKERS[index],
                color=SERIES[index],
                elinewidth=0.6,
                markersize=3,
                label=name,
            )
        axes.set_yticks(places, names)
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.set_xlim(left=-1.5)
        of = f", {len(shown)} of {len(classes)} classes" if len(shown) < len(classes) else ""
        axes.set_xlabel(f"IoU (%){of}")
        axes.grid(True, axis="x")
        axes.tick_params(axis="y", length=0)
        draw_legend(figure, axes)
        fit_left(figure)
        return saved(figure, format)


def predictions(kept: Predictions, rows: Sequence[Standing], format: str, width: float = COLUMN) -> bytes:
    """Draw the predictions of networks for the same images, in the colours of the classes, a row for each network.

    Args:
        kept: the stored predictions; images and ground truth come first, where it has them.
        rows: rows of the leaderboard, in their order.
        format: one of `FORMATS`.
        width: in inches.

    Raises:
        UserError: none of the rows has stored predictions.
    """
    seen = [row for row in rows if kept.seen.get(row.architecture)]
    images = [name for name in kept.images if all(name in kept.seen[row.architecture] for row in seen)]
    images = images[: max(2, round(width))]
    if not seen or not images:
        raise UserError("none of the chosen networks has stored predictions of a common image")
    strips: list[tuple[str, list[Any]]] = []
    if all(name in kept.truth for name in images):
        strips.append(("image", [kept.truth[name].image for name in images]))
        strips.append(("ground truth", [coloured(kept.truth[name].labels, kept.palette) for name in images]))
    for row in seen:
        maps = [coloured(kept.seen[row.architecture][name].labels, kept.palette) for name in images]
        score = "" if row.miou_percent is None else f": mIoU {row.miou_percent:.2f} %"
        strips.append((f"{row.architecture}{score}", maps))
    with style():
        return saved(_grid(strips, legend(kept.classes, kept.palette), width), format)


def _grid(
    strips: Sequence[tuple[str, Sequence[Any]]], classes: Sequence[tuple[str, tuple[int, int, int]]], width: float
) -> Figure:
    """Return strips of pictures, each below its title, and the classes with their colours below them."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    across, gap, title = len(strips[0][1]), 0.03, 0.14
    cell = (width - gap * (across - 1)) / across
    high = [max(cell * picture.shape[0] / picture.shape[1] for picture in pictures) for _, pictures in strips]
    entries = max(1, int(width / (0.28 + max(len(name) for name, _ in classes) * FONT * 0.55 / 72)))
    below = math.ceil(len(classes) / entries) * 0.135 + 0.1
    height = sum(high) + len(strips) * title + below
    figure = Figure(figsize=(width, height))
    top = height
    for (name, pictures), tall in zip(strips, high, strict=True):
        figure.text(0, (top - title / 2) / height, name, va="center", ha="left")
        for index, picture in enumerate(pictures):
            left, bottom = index * (cell + gap), top - title - tall
            axes = figure.add_axes((left / width, bottom / height, cell / width, tall / height))
            axes.imshow(picture, interpolation="none", aspect="auto")
            axes.set_axis_off()
        top -= title + tall
    handles = [
        Patch(facecolor=(red / 255, green / 255, blue / 255), edgecolor=SOFT, linewidth=0.3)
        for _, (red, green, blue) in classes
    ]
    figure.legend(
        handles,
        [name for name, _ in classes],
        loc="lower left",
        bbox_to_anchor=(0, 0),
        ncols=entries,
        borderaxespad=0,
        handlelength=0.9,
        handleheight=0.9,
        columnspacing=0.9,
        handletextpad=0.4,
        labelspacing=0.25,
    )
    return figure


def _aligned(series: Sequence[Sequence[tuple[int, float]]]) -> tuple[list[int], Any]:
    """Return the steps that all runs have, and the values there, of shape (runs, steps)."""
    maps = [dict(each) for each in series if each]
    steps = sorted(set.intersection(*map(set, maps))) if maps else []
    return steps, np.array([[each[step] for step in steps] for each in maps])


def _mean(values: Any) -> Any:
    """Return the mean over seeds, without warnings where a class has no value at all."""
    known = ~np.isnan(values)
    counts = known.sum(0)
    total = np.where(known, values, 0).sum(0)
    return np.divide(total, counts, out=np.full(values.shape[1], np.nan), where=counts > 0)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _check_count(found: Mapping[str, Any], what: str, most: int = MOST) -> None:
    if not found:
        raise UserError(f"none of the chosen networks {what}")
    if len(found) > most:
        raise UserError(f"{len(found)} networks are too many to tell apart: name at most {most}")
