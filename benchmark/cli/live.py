"""A live display on a terminal: a row for each thing in progress, fitted to the width."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.cli.columns import GAP, NAME
from benchmark.cli.course import Course, clock, speed
from benchmark.reporting.short_name import SHORTEST, abbreviated

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

BAR = 8
"""The least width of a bar in characters."""

LONGEST_BAR = 40

UNKNOWN = "-"

ECHO = len("^C")
"""Characters that a terminal adds to the last line at Ctrl-C, which must not wrap, or a line would stay behind."""


@dataclass(frozen=True)
class ProgressRow:
    """A row of the display.

    Attributes:
        name: what is in progress.
        phase: its phase.
        done: what is completed.
        total: all; 0 if unknown.
        rate: how fast.
        left: the time that is left.
        miou: the mIoU so far.
        loss: the loss.
    """

    name: str
    phase: str
    done: int
    total: int
    rate: str = ""
    left: str = UNKNOWN
    miou: str = ""
    loss: str = ""

    @classmethod
    def of(cls, name: str, course: Course, now: float, phase: str | None = None) -> ProgressRow:
        """Describe a course at a time."""
        rate, left = course.rate(now), course.seconds_left(now)
        return cls(
            name,
            course.phase if phase is None else phase,
            course.done,
            course.total,
            "" if rate is None else speed(rate),
            UNKNOWN if left is None else f"{clock(left)} left",
            "" if course.miou is None else f"mIoU {course.miou:.1f}",
            "" if course.loss is None else f"loss {course.loss:.3f}",
        )

    @property
    def counter(self) -> str:
        """The counter, such as 12/46."""
        return f"{self.done}/{self.total or UNKNOWN}"


def grid(rows: Sequence[ProgressRow], width: int) -> Table:
    """Draw rows on a terminal.

    Counter, bar and time left are always complete. Names are shortened; mIoU, rate and loss are left out, in the
    reverse order, where there is no room for them.

    Args:
        rows: the rows.
        width: width of the terminal in characters.
    """
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    fields: dict[str, list[str]] = {
        "phase": [row.phase for row in rows],
        "counter": [row.counter for row in rows],
        "left": [row.left for row in rows],
    }
    further = {
        "miou": [row.miou for row in rows],
        "rate": [row.rate for row in rows],
        "loss": [row.loss for row in rows],
    }
    widths = {name: max(map(len, texts), default=0) for name, texts in fields.items()}
    names = max((len(row.name) for row in rows), default=0)
    room = width - sum(each + GAP for each in widths.values()) - (BAR + GAP)
    for name, texts in further.items():
        longest = max(map(len, texts), default=0)
        if longest and longest + GAP <= room - min(names, NAME):
            fields[name], widths[name] = texts, longest
            room -= longest + GAP
    shown = min(names, max(SHORTEST, room))
    shown = max(1, min(shown, BAR + room - 1))  # on a very narrow terminal the bar goes first
    bar = max(1, min(LONGEST_BAR, BAR + room - shown))
    table = Table.grid(padding=(0, GAP, 0, 0), pad_edge=False)
    table.add_column(width=shown, no_wrap=True)
    table.add_column(width=widths["phase"], no_wrap=True)
    table.add_column(width=bar)
    for name in ("counter", *list(fields)[2:]):
        table.add_column(width=widths[name], no_wrap=True, justify="right")
    for index, row in enumerate(rows):
        drawn = ProgressBar(total=row.total or None, completed=row.done, width=bar, pulse=not row.total)
        cells = [Text(fields[name][index]) for name in ("counter", *list(fields)[2:])]
        table.add_row(Text(abbreviated(row.name, shown)), Text(row.phase), drawn, *cells)
    return table


def display(rows: Callable[[], Sequence[ProgressRow]]) -> Live:
    """Return a live display of rows on stderr, to be started and stopped; what is printed appears above it.

    Args:
        rows: returns the present rows, several times a second.
    """
    import sys

    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    return Live(
        get_renderable=lambda: grid(rows(), console.width - ECHO),
        console=console,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # a file gets what is printed as it is
    )
