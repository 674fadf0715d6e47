"""Rows of text as columns."""

from __future__ import annotations

import math
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import TextIO

from benchmark.reporting.short_name import SHORTEST, abbreviated

LAST = 24
"""Characters that the last column keeps while others are left out: it holds a text, which is cut."""

GAP = 2
"""Spaces between columns."""

NAME = 24
"""Characters of a name for which columns are left out."""


def terminal_width() -> int | None:
    """Return the width of the terminal in characters; None where the output is a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def can_redraw(stream: TextIO) -> bool:
    """Return whether lines of a stream can be drawn again: it is a terminal, and not one that only appends."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")


def shortened(line: str) -> str:
    """Cut a line where it would wrap on the terminal; a file or a pipe gets all of it."""
    width = terminal_width()
    return line if width is None else _cut(line, width)


def fitted(
    rows: Sequence[Sequence[str]], width: int | None, least: Sequence[int] = (), optional: str = "--json"
) -> Iterator[str]:
    """Yield a line for each row that fits the terminal: columns are left out, and the last one is cut.

    Args:
        rows: cells; the first row has the headings where columns may be left out.
        width: width of the terminal in characters; None for no limit.
        least: indices of columns that may be left out, the least important first.
        optional: option of the command that prints everything, for the last line, which says what is left out.
    """
    if width is None or not rows:
        yield from aligned(rows)
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    shown, first = layout([*widths[:-1], min(LAST, widths[-1])], width, least)
    cells = [[row[index] for index in shown] for row in rows]
    if least:
        cells = [[abbreviated(row[0], first), *row[1:]] for row in cells]
    for line in aligned(cells):
        yield _cut(line, width)
    if len(shown) < len(widths):
        hidden = [name for index, name in enumerate(rows[0]) if index not in shown]
        yield textwrap.fill(not_shown(width, hidden, optional), width, break_on_hyphens=False)


def layout(widths: Sequence[int], width: int | None, least: Sequence[int]) -> tuple[list[int], int]:
    """Return the indices of the columns that a terminal shows, and the width of the first one, which has names.

    Args:
        widths: width of each column in characters.
        width: width of the terminal; None for no limit.
        least: indices of columns that may be left out, the least important first.
    """
    shown = list(range(len(widths)))
    if width is None:
        return shown, widths[0]
    room = width - sum(each + GAP for each in widths[1:])
    for index in least:
        if min(widths[0], NAME) <= room:
            break
        shown.remove(index)
        room += widths[index] + GAP
    return shown, min(widths[0], max(SHORTEST, room))


def not_shown(width: int, hidden: Sequence[str], optional: str = "--json") -> str:
    """Say which columns a terminal of that width does not show, and which option prints everything."""
    return f"not shown in {width} columns: {', '.join(hidden)}; {optional} prints everything"


def wrapped(text: str, indent: str = "") -> str:
    """Wrap a text between words where it would wrap on the terminal; a file or a pipe gets lines as they are.

    Args:
        text: one or several lines.
        indent: what each line begins with.
    """
    width = terminal_width()
    if width is None:
        return textwrap.indent(text, indent)
    return "\n".join(
        textwrap.fill(line, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
        for line in text.splitlines()
    )


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else f"{line[: width - 1]}…"


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a line for each row, in which every column is as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield (" " * GAP).join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def rounded(value: float, decimals: int) -> str:
    """Format a number with some decimals, or with as many as two significant digits need."""
    if value:
        decimals = max(decimals, 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"
