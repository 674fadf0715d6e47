"""The leaderboard as cells, and their output as text or Markdown. Values are rounded only here."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from benchmark.analysis.ranking import Standing
from benchmark.analysis.view import unknown_column
from benchmark.reporting.short_name import SHORTEST, abbreviated
from benchmark.results.summary import EXTERNAL

MISSING = "-"

BOLD = (
    "Bold: among the best of the column. These are accuracies of several seeds that no test shows to be lower, the "
    "fewest parameters and MACs, memory within 5 % of the lowest, and latencies whose interval contains the lowest. "
    "Latencies must be steady, and all of one device and one setting."
)
"""The meaning of bold, printed below a table that has any."""

MOST_DECIMALS = 12
"""The maximum number of decimals: with more, a tiny value would widen the page."""


@dataclass(frozen=True)
class Column:
    """The format of a column of a leaderboard.

    Attributes:
        name: name of the column in a ranking.
        title: heading.
        unit: unit, in brackets after the title.
        scale: divisor of the values.
        decimals: number of decimals; None for a column that is not numeric.
        good: which end of the column is better; None for neither.
        meaning: explanation of the figures, for readers of a page.
        is_optional: whether a table has the column only on demand.
    """

    name: str
    title: str
    unit: str = ""
    scale: float = 1
    decimals: int | None = None
    good: Literal["max", "min"] | None = None
    meaning: str = ""
    is_optional: bool = False

    @property
    def heading(self) -> str:
        """The title with the unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    def show(self, value: Any) -> str:
        """Format a value."""
        if value is None:
            return MISSING
        return str(value) if self.decimals is None else f"{value / self.scale:.{self.decimals}f}"


COLUMNS = (
    Column(
        "rank",
        "#",
        decimals=0,
        meaning="Range of ranks that pairwise tests of the mIoU leave open.",
    ),
    Column("architecture", "Architecture"),
    Column("status", "Status"),
    Column(
        "miou_percent",
        "mIoU",
        "%",
        decimals=2,
        good="max",
        meaning="Mean IoU on test of the last checkpoint, mean over seeds.",
    ),
    Column("miou_sd_percent", "sd", decimals=2, meaning="Standard deviation of the mIoU over seeds."),
    Column(
        "miou_void_ignored_percent",
        "mIoU, void ignored",
        "%",
        decimals=2,
        good="max",
        meaning="Mean IoU on test with void pixels ignored.",
    ),
    Column(
        "best_miou_percent",
        "mIoU, best val checkpoint",
        "%",
        decimals=2,
        good="max",
        meaning="Mean IoU on test of the checkpoint with the highest mIoU on val.",
    ),
    Column(
        "macc_percent",
        "mAcc",
        "%",
        decimals=2,
        good="max",
        meaning="Mean accuracy of the classes on test: the share of a class's pixels that is predicted as it.",
    ),
    Column(
        "aacc_percent",
        "aAcc",
        "%",
        decimals=2,
        good="max",
        meaning="Pixel accuracy on test: the share of all pixels that is predicted right.",
    ),
    Column("seeds", "Seeds", decimals=0, meaning="Successful runs; each number links to the result of that seed."),
    Column(
        "params",
        "Params",
        "M",
        scale=1e6,
        decimals=2,
        good="min",
        meaning="Parameters used at inference, without auxiliary heads.",
    ),
    Column(
        "params_total",
        "Training params",
        "M",
        scale=1e6,
        decimals=2,
        good="min",
        meaning="Parameters used in training, with auxiliary heads.",
        is_optional=True,
    ),
    Column(
        "macs",
        "MACs",
        "G",
        scale=1e9,
        decimals=2,
        good="min",
        meaning="Multiply-accumulates for one image; FLOPs are twice as many.",
    ),
    Column("latency_ms", "Latency", "ms", decimals=2, good="min", meaning="Median time of one image."),
    Column(
        "latency_ratio",
        "Relative latency",
        decimals=2,
        good="min",
        meaning="Latency divided by that of the anchor network, timed in turn with it on the same machine.",
    ),
    Column(
        "inference_memory_bytes",
        "Inference memory",
        "MiB",
        scale=2**20,
        decimals=0,
        good="min",
        meaning="Peak memory at inference: of the GPU, or on a CPU of the whole process with Python and libraries.",
    ),
    Column(
        "training_memory_bytes",
        "Training memory",
        "MiB",
        scale=2**20,
        decimals=0,
        good="min",
        meaning="Peak memory in training: of the GPU, or on a CPU of the whole process with Python and libraries.",
        is_optional=True,
    ),
)
"""The columns of a table, in order; `table` omits those without information."""

FURTHER = (
    Column("rank_low", "Best rank", decimals=0),
    Column("rank_high", "Worst rank", decimals=0),
    Column("method", "Method"),
    Column("failed", "Failed", decimals=0),
    Column("input", "Input"),
    Column("latency_setting", "Latency setting"),
    Column("device", "Device"),
    Column("best", "Among the best in"),
    Column("front", "On the Pareto front for"),
    Column("latency_unsteady", "Unsteady latency"),
)
"""Columns that are shown where they are asked for by name."""


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        value: value in full precision; None if missing.
        text: formatted value.
        best: whether it is among the best of its column, see `benchmark.analysis.marks`.
    """

    value: float | str | None
    text: str
    best: bool = False


@dataclass(frozen=True)
class Table:
    """The columns, and rows with a cell for each."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]


def columns(names: Sequence[str]) -> list[Column]:
    """Return columns by their names in a ranking, or their titles.

    Raises:
        UserError: there is no such column.
    """
    known = {column.name: column for column in (*COLUMNS, *FURTHER)}
    titles = {title.casefold(): each for each in reversed(known.values()) for title in (each.title, each.heading)}
    found = [known.get(name) or titles.get(name.casefold()) for name in names]
    if None in found:
        raise unknown_column(names[found.index(None)], known)
    return list(dict.fromkeys(column for column in found if column))


def table(board: Sequence[Standing], chosen: Sequence[Column] = (), optional: bool = False) -> Table:
    """Convert a leaderboard to cells.

    Args:
        board: its rows.
        chosen: the columns; by default all of `COLUMNS` that say something of these rows.
        optional: include optional columns where none is chosen.
    """
    wanted = chosen or [column for column in COLUMNS if optional or not column.is_optional]
    values = {column: [_value(column, row) for row in board] for column in wanted}
    shown = {_resolved(column, each): each for column, each in values.items() if chosen or says(column, each)}
    cells = [
        [_cell(column, row, value) for row, value in zip(board, each, strict=True)] for column, each in shown.items()
    ]
    return Table(list(shown), list(zip(*cells, strict=True)))


LEAST = (
    *("miou_void_ignored_percent", "best_miou_percent", "aacc_percent", "macc_percent", "inference_memory_bytes"),
    *("latency_ratio", "seeds", "latency_ms", "miou_sd_percent", "macs", "params", "status", "rank"),
)
"""Names of columns in the order in which a narrow terminal does without them."""


def narrowed(table: Table, width: int, least: Sequence[str] = LEAST) -> tuple[Table, list[str]]:
    """Leave out columns until the table as text is no wider than a terminal.

    Args:
        table: the table.
        width: width of the terminal in characters.
        least: names of the columns that may be left out, the least important first.

    Returns:
        The table, and the headings of the columns that were left out.
    """
    hidden = list[str]()
    for name in least:
        if max(map(len, plain(table).splitlines())) <= width:
            break
        for index, column in enumerate(table.columns):
            if column.name == name:
                hidden.append(column.heading)
                rows = [[*row[:index], *row[index + 1 :]] for row in table.rows]
                table = Table([*table.columns[:index], *table.columns[index + 1 :]], rows)
                break
    excess = max(map(len, plain(table).splitlines())) - width
    return (_with_short_names(table, excess) if excess > 0 else table), hidden


def _with_short_names(table: Table, excess: int) -> Table:
    """Shorten the names of architectures by a number of characters, as far as they can be told apart."""
    for index, column in enumerate(table.columns):
        if column.name == "architecture":
            width = max(SHORTEST, max(len(row[index].text) for row in table.rows) - excess)
            rows = [list(row) for row in table.rows]
            for row in rows:
                row[index] = replace(row[index], text=abbreviated(row[index].text, width))
            return Table(table.columns, rows)
    return table


def plain(table: Table) -> str:
    """Aligned text."""
    lines = [[column.heading for column in table.columns], *([cell.text for cell in row] for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(
            text.ljust(width) if column.decimals is None else text.rjust(width)
            for column, text, width in zip(table.columns, line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def markdown(table: Table) -> str:
    """Format a GitHub-flavoured Markdown table, the best of a column in bold."""
    bold = "**{}**".format
    lines = [
        [_escape_markdown(column.heading) for column in table.columns],
        ["---" if column.decimals is None else "---:" for column in table.columns],
        *_marked(table, _escape_markdown, bold),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _value(column: Column, row: Standing) -> Any:
    if column.name == "status":
        return f"ok, {row.failed} failed" if row.seeds and row.failed else row.status.replace("_", " ")
    if column.name == "architecture" and row.method == EXTERNAL:
        return f"{row.architecture} ({EXTERNAL})"
    return getattr(row, column.name)


def _cell(column: Column, row: Standing, value: Any) -> Cell:
    text = row.ranks or MISSING if column.name == "rank" else column.show(value)
    return Cell(value, text, column.name in row.best.split())


def says(column: Column, values: Sequence[Any]) -> bool:
    """Return whether the values of a column have information: any at all, or a status that is not ok."""
    return any(value not in (None, "ok") if column.name == "status" else value is not None for value in values)


def _resolved(column: Column, values: Sequence[Any]) -> Column:
    """Return the column of a cost with enough decimals for two digits of its smallest value."""
    if column.good != "min" or not column.decimals:
        return column
    smallest = min((value for value in values if value is not None and value > 0), default=None)
    if smallest is None:
        return column
    digits = 1 - math.floor(math.log10(max(smallest / column.scale, 10.0**-MOST_DECIMALS)))
    return replace(column, decimals=max(column.decimals, digits))


def _marked(table: Table, escape: Callable[[str], str], bold: Callable[[str], str]) -> list[list[str]]:
    def mark(cell: Cell) -> str:
        if cell.value is None:
            return MISSING
        return bold(escape(cell.text)) if cell.best else escape(cell.text)

    return [[mark(cell) for cell in row] for row in table.rows]


def prose(text: str) -> str:
    """Escape a text for Markdown outside of tables: no HTML, link or image results from it."""
    return re.sub(r"([\\<\[])", r"\\\1", text)


def _escape_markdown(text: str) -> str:
    return re.sub(r"([\\`*_|<>&\[\]~])", r"\\\1", text)
