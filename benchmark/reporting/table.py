"""The leaderboard as cells, and their output as text, Markdown or LaTeX. Values are rounded only here."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from benchmark.analysis.ranking import Standing
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
    """

    name: str
    title: str
    unit: str = ""
    scale: float = 1
    decimals: int | None = None
    good: Literal["max", "min"] | None = None

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
    Column("rank", "#", decimals=0),
    Column("architecture", "Architecture"),
    Column("status", "Status"),
    Column("miou_percent", "mIoU", "%", decimals=2, good="max"),
    Column("miou_sd_percent", "sd", decimals=2),
    Column("miou_void_ignored_percent", "mIoU, void ignored", "%", decimals=2, good="max"),
    Column("best_miou_percent", "mIoU best on val", "%", decimals=2, good="max"),
    Column("macc_percent", "mAcc", "%", decimals=2, good="max"),
    Column("aacc_percent", "aAcc", "%", decimals=2, good="max"),
    Column("seeds", "Seeds", decimals=0),
    Column("params", "Params", "M", scale=1e6, decimals=2, good="min"),
    Column("macs", "MACs", "G", scale=1e9, decimals=2, good="min"),
    Column("latency_ms", "Latency", "ms", decimals=2, good="min"),
    Column("latency_ratio", "Latency", "anchor = 1", decimals=2, good="min"),
    Column("inference_memory_bytes", "Memory", "MiB", scale=2**20, decimals=0, good="min"),
)
"""The columns of a table, in order; `table` omits those without information."""


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


def table(board: Sequence[Standing]) -> Table:
    """Convert a leaderboard to cells."""
    values = {column: [_value(column, row) for row in board] for column in COLUMNS}
    shown = {_resolved(column, each): each for column, each in values.items() if _says_something(column, each)}
    cells = [
        [_cell(column, row, value) for row, value in zip(board, each, strict=True)] for column, each in shown.items()
    ]
    return Table(list(shown), list(zip(*cells, strict=True)))


LEAST = (
    *("miou_void_ignored_percent", "best_miou_percent", "aacc_percent", "macc_percent", "inference_memory_bytes"),
    *("latency_ratio", "seeds", "latency_ms", "miou_sd_percent", "macs", "params", "status", "rank"),
)
"""Names of columns in the order in which a narrow terminal does without them."""


def narrowed(table: Table, width: int) -> tuple[Table, list[str]]:
    """Leave out columns until the table as text is no wider than a terminal.

    Args:
        table: the table.
        width: width of the terminal in characters.

    Returns:
        The table, and the headings of the columns that were left out.
    """
    hidden = list[str]()
    for name in LEAST:
        if max(map(len, plain(table).splitlines())) <= width:
            break
        for index, column in enumerate(table.columns):
            if column.name == name:
                hidden.append(column.heading)
                rows = [[*row[:index], *row[index + 1 :]] for row in table.rows]
                table = Table([*table.columns[:index], *table.columns[index + 1 :]], rows)
                break
    return table, hidden


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


def latex(table: Table, caption: str) -> str:
    r"""Format a LaTeX table for `booktabs` and `siunitx`, the best of a column in bold."""
    lines = [
        [_heading(column) for column in table.columns],
        *_marked(table, _escape_latex, r"\bfseries {}".format, missing="{--}"),
    ]
    head, *body = [f"    {' & '.join(line)} \\\\" for line in lines]
    formats = " ".join(_column_type(column, cells) for column, cells in _by_column(table))
    return "\n".join(
        [
            r"% needs \usepackage{booktabs} and \usepackage[detect-weight, mode=text]{siunitx}",
            r"\begin{table}",
            r"  \centering",
            f"  \\caption{{{_escape_latex(caption)}}}",
            f"  \\begin{{tabular}}{{{formats}}}",
            r"    \toprule",
            head,
            r"    \midrule",
            *body,
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
        ]
    )


def _value(column: Column, row: Standing) -> Any:
    if column.name == "status":
        return f"ok, {row.failed} failed" if row.seeds and row.failed else row.status.replace("_", " ")
    if column.name == "architecture" and row.method == EXTERNAL:
        return f"{row.architecture} ({EXTERNAL})"
    return getattr(row, column.name)


def _cell(column: Column, row: Standing, value: Any) -> Cell:
    text = row.ranks or MISSING if column.name == "rank" else column.show(value)
    return Cell(value, text, column.name in row.best.split())


def _says_something(column: Column, values: Sequence[Any]) -> bool:
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


def _marked(
    table: Table, escape: Callable[[str], str], bold: Callable[[str], str], missing: str = MISSING
) -> list[list[str]]:
    def mark(cell: Cell) -> str:
        if cell.value is None:
            return missing
        return bold(escape(cell.text)) if cell.best else escape(cell.text)

    return [[mark(cell) for cell in row] for row in table.rows]


def _by_column(table: Table) -> list[tuple[Column, list[Cell]]]:
    return [(column, [row[index] for row in table.rows]) for index, column in enumerate(table.columns)]


def _column_type(column: Column, cells: Sequence[Cell]) -> str:
    if column.decimals is None or not all(map(_is_number, (cell.text for cell in cells if cell.value is not None))):
        return "l"
    digits = max((len(cell.text.partition(".")[0]) for cell in cells if cell.value is not None), default=1)
    return f"S[table-format={digits}.{column.decimals}]" if column.decimals else f"S[table-format={digits}]"


def _is_number(text: str) -> bool:
    """Return whether siunitx parses it as a number, unlike a range of ranks."""
    return re.fullmatch(r"[\d.]+", text) is not None


def _heading(column: Column) -> str:
    """Enclose in braces, so that siunitx does not parse it as a number."""
    title = _escape_latex(column.heading)
    return title if column.decimals is None else f"{{{title}}}"


def prose(text: str) -> str:
    """Escape a text for Markdown outside of tables: no HTML, link or image results from it."""
    return re.sub(r"([\\<\[])", r"\\\1", text)


def _escape_markdown(text: str) -> str:
    return re.sub(r"([\\`*_|<>&\[\]~])", r"\\\1", text)


LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def _escape_latex(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)
