"""Canvases of figures for papers: size, fonts and lines, legend, ticks, and the file.

matplotlib is imported where a figure is drawn, and needs no screen.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

FONT = 7.0
"""Size of all text in points."""

COLUMN = 229 / 72.27
"""Width in inches of a column of LaTeX's `article`, the narrowest of the usual two-column papers."""

FORMATS = ("pdf", "svg", "png")

SOFT, GRID = "#555555", "#d9d9d9"

SETTINGS: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.labelsize": FONT,
    "axes.linewidth": 0.5,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "errorbar.capsize": 1.5,
    "font.size": FONT,
    "grid.color": GRID,
    "grid.linewidth": 0.4,
    "legend.fontsize": FONT,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "lines.linewidth": 1.0,
    "lines.markersize": 3.5,
    "pdf.fonttype": 42,  # TrueType, which publishers ask for
    "ps.fonttype": 42,
    "svg.fonttype": "path",
    "text.parse_math": False,  # a dollar in a name is a dollar
    "svg.hashsalt": "segbench",
    "xtick.labelsize": FONT,
    "xtick.major.width": 0.5,
    "ytick.labelsize": FONT,
    "ytick.major.width": 0.5,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw with our settings, whatever the user's own are."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        settings: Any = matplotlib.rcParams  # whose keys are typed since 3.11
        settings.update(SETTINGS)
        yield


def axes_below(width: float, heights: Sequence[float], legend: Sequence[str] = ()) -> tuple[Figure, list[Axes]]:
    """Return a figure with axes below each other, below room for a legend.

    Args:
        width: of the figure, in inches.
        heights: of the axes, in inches.
        legend: its names.
    """
    from matplotlib.figure import Figure

    bottom, right, gap, left = 0.36, 0.12, 0.1, 0.4  # the last until `fit_left` measures the labels
    top = 0.06 + (math.ceil(len(legend) / _across(legend, width)) * 0.135 + 0.04 if legend else 0)
    height = bottom + top + sum(heights) + gap * (len(heights) - 1)
    figure = Figure(figsize=(width, height))
    found, upper = [], height - top
    for each in heights:
        found.append(
            figure.add_axes((left / width, (upper - each) / height, (width - left - right) / width, each / height))
        )
        upper -= each + gap
    return figure, found


def fit_left(figure: Figure) -> None:
    """Set the left margin of all axes to the width of their labels, once these are final."""
    figure.align_ylabels()
    figure.draw_without_rendering()
    outer = min(box.x0 for axes in figure.axes if (box := axes.get_tightbbox()))
    shift = 0.02 * figure.dpi - outer
    for axes in figure.axes:
        box = axes.get_position()
        left = box.x0 + shift / figure.bbox.width
        axes.set_position((left, box.y0, box.x1 - left, box.height))


def _across(names: Sequence[str], width: float) -> int:
    """Return how many columns of a legend fit."""
    return max(1, min(len(names), int(width / (0.35 + max(map(len, names)) * FONT * 0.57 / 72))))


def draw_legend(figure: Figure, axes: Axes) -> None:
    """Draw the legend of axes at the top of their figure, in the room that `axes_below` left."""
    handles, names = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        names,
        loc="upper left",
        bbox_to_anchor=(0, 1),
        ncols=_across(names, figure.get_figwidth()),
        borderaxespad=0.2,
        columnspacing=0.9,
        handletextpad=0.4,
        labelspacing=0.25,
    )


def plain_log_ticks(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers, as many as are legible, and no less than two."""
    from matplotlib.ticker import FuncFormatter, Locator, LogLocator, MaxNLocator, NullLocator

    low, high = axis.get_view_interval()
    decades = math.log10(high / low)
    subs = next((each for each in ((1, 2, 5), (1, 3), (1,)) if decades * len(each) <= 6), (1,))
    locator: Locator = LogLocator(subs=subs, numticks=7)
    if sum(low <= tick <= high for tick in locator.tick_values(low, high)) < 2:
        locator = MaxNLocator(4, steps=[1, 2, 5, 10])
    axis.set_major_locator(locator)
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def saved(figure: Figure, format: str) -> bytes:
    """Return the file of a figure, without the date."""
    dated = {"pdf": ("CreationDate", "Creator", "Producer"), "svg": ("Date", "Creator"), "png": ("Software",)}
    buffer = io.BytesIO()
    figure.savefig(buffer, format=format, dpi=300, metadata=dict.fromkeys(dated[format]))
    return buffer.getvalue()
