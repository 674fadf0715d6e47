"""Rows of text as columns."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Iterator, Sequence

LAST = 24
"""Characters that the last column keeps while others are left out: it holds a text, which is cut."""


def terminal_width() -> int | None:
    """Return the width of the terminal in characters; None where the output is a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


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
    shown, hidden = list(range(len(rows[0]))), list[int]()
    for index in least:
        if _width(rows, shown) <= width:
            break
        shown.remove(index)
        hidden.append(index)
    for line in aligned([[row[index] for index in shown] for row in rows]):
        yield _cut(line, width)
    if hidden:
        names = ", ".join(rows[0][index] for index in sorted(hidden))
        yield f"not shown in {width} columns: {names}; {optional} prints everything"


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else f"{line[: width - 1]}…"


def _width(rows: Sequence[Sequence[str]], shown: Sequence[int]) -> int:
    """Return the width of the lines, in which the last column may be cut."""
    widths = [max(len(row[index]) for row in rows) for index in shown]
    return sum(widths[:-1]) + min(LAST, widths[-1]) + 2 * (len(shown) - 1)


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a line for each row, in which every column is as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def rounded(value: float, decimals: int) -> str:
    """Format a number with some decimals, or with as many as two significant digits need."""
    if value:
        decimals = max(decimals, 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"
