r"""A leaderboard as a LaTeX table for a paper.

It needs `\usepackage{booktabs, graphicx, siunitx, url}` and the entries of `segbench cite`, and compiles in one column
and in two. Its float is as wide as its columns need: `table`, the column of a two-column article, or `table*`; what is
wider than the lines of the document is scaled to them. A table longer than a page is several floats, as `longtable`
does not work in two columns. Widths are those of Computer Modern.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal, get_args

from benchmark import arguments
from benchmark.analysis.marks import ACCURACY
from benchmark.analysis.ranking import Group, Standing
from benchmark.errors import UserError
from benchmark.reporting import citation
from benchmark.reporting.latex import breakable, cite, escaped, unbroken, width
from benchmark.reporting.latex_caption import facts, seeds
from benchmark.reporting.table import Cell, Column, Table, columns, says, table

Environment = Literal["table", "table*", "longtable"]

COLUMNS = (
    "architecture",
    "miou_percent",
    "miou_sd_percent",
    "seeds",
    "params",
    "macs",
    "latency_ms",
    "inference_memory_bytes",
)
"""The columns by default, less those that say nothing; those of the deviation and mIoU are one, and equal numbers of
seeds are in the caption."""

PACKAGES = ("booktabs", "graphicx", "siunitx", "url")
"""Of the table and of what it cites."""

MISSING = "{--}"

LINES = {r"\small": 40, r"\footnotesize": 46}
"""Most lines of a part, in a font: with caption and heading they fit a page of 550 pt."""


@dataclass(frozen=True)
class Layout:
    """A way to set the table.

    Attributes:
        environment: of the float.
        available: its width in points, in an article.
        size: command of the font.
        scale: size of the font, relative to 10 pt.
        gap: half the space between two columns in points.
    """

    environment: str
    available: float
    size: str
    scale: float
    gap: float


TOLERATED = 5
"""Points by which a longtable may be wider than the text: unlike the others it cannot be scaled."""

LAYOUTS = (
    Layout("table", 229.5, r"\small", 0.9, 4),
    Layout("table", 229.5, r"\footnotesize", 0.8, 3),
    Layout("table*", 469, r"\small", 0.9, 6),
    Layout("table*", 469, r"\footnotesize", 0.8, 3),
    Layout("longtable", 345, r"\small", 0.9, 6),  # an article of one column
    Layout("longtable", 345, r"\footnotesize", 0.8, 3),
)
"""The layouts: the first that is wide enough is taken, a longtable where it is asked for."""

NARROWEST = 70.0
"""The least width in points of a column of texts that are broken into lines."""

JOIN = 1.7
"""Space in points before a column that is joined to the one before it."""

SCALED = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{"
"""Start of a box that is no wider than the lines of the document."""

FOR_ONE_COLUMN = "scaled to the lines of a document of one column, in which --float longtable has larger text"
"""Comment on a `table*`."""

BOLD = 1.15
"""Width of bold digits, relative to others."""


@dataclass(frozen=True)
class Field:
    """A column of the tabular.

    Attributes:
        kind: of the column, in the preamble of the tabular.
        heading: title and unit.
        cells: LaTeX of each row, with line breaks allowed; None where the cell before it spans two columns.
        extents: width in points at 10 pt of each cell, and of the heading.
        is_joined: whether the column has no heading and no space of its own: those are of the column before it.
        wrap: width in points of lines that its texts are broken into.
    """

    kind: str
    heading: tuple[str, str]
    cells: Sequence[str | None]
    extents: Sequence[float]
    is_joined: bool = False
    wrap: float | None = None

    @property
    def extent(self) -> float:
        """The width of the column."""
        return max(self.extents)

    def wrapped(self, points: float) -> Field:
        """Return it with its texts in lines of that width."""
        kind = rf">{{\raggedright\arraybackslash}}p{{{points:.0f}pt}}"
        return replace(self, kind=kind, wrap=points)


def latex_tables(
    found: Sequence[tuple[Group, Sequence[Standing]]],
    chosen: Sequence[str] = (),
    *,
    label: str | None = None,
    caption: str | None = None,
    environment: Environment | None = None,
    remarks: Callable[[Group], Sequence[str]] = lambda group: group.notes,
) -> str:
    """Format leaderboards, each as `latex_table` does; the labels after the first end in a number."""
    texts, used = [], Counter[str]()
    for group, rows in found:
        name = label or f"tab:{group.protocol}"
        used[name] += 1
        numbered = name if used[name] == 1 else f"{name}-{used[name]}"
        texts.append(
            latex_table(
                group, rows, chosen, label=numbered, caption=caption, environment=environment, remarks=remarks(group)
            )
        )
    return "\n\n".join(texts)


def latex_table(
    group: Group,
    rows: Sequence[Standing],
    chosen: Sequence[str] = (),
    *,
    label: str,
    caption: str | None = None,
    environment: Environment | None = None,
    remarks: Sequence[str] = (),
) -> str:
    r"""Format a leaderboard as one float or, where it is longer than a page, as several.

    A figure is bold if it is better than those of all other rows; a tie never is.

    Args:
        group: the results.
        rows: those of its rows that are shown, in their order.
        chosen: names of the columns; by default `COLUMNS`.
        label: for `\ref`.
        caption: text, or LaTeX where it has a backslash; by default the facts of the protocol.
        environment: of the float; by default by width.
        remarks: notes, as comments before the float.

    Raises:
        UserError: there is no such column, or the label or the caption cannot be one.
    """
    label = _label(label)
    shown = table(rows, _chosen(rows, chosen))
    bold = [_bold(column, [row[index] for row in shown.rows], rows) for index, column in enumerate(shown.columns)]
    if environment is not None:
        arguments.choice("environment", environment, get_args(Environment))
    layout, fields = _layout(_fields(shown, bold, rows), environment)
    marked = [column for column, marks in zip(shown.columns, bold, strict=True) if any(marks)]
    title = facts(group, rows, shown.columns, marked) if caption is None else _given(caption)
    made, more = (_longtable, ["longtable"]) if layout.environment == "longtable" else (_floats, [])
    needs = rf"needs \usepackage{{{', '.join([*PACKAGES, *more])}}}"
    scaled = [FOR_ONE_COLUMN] if layout.environment == "table*" else []
    if layout.environment == "longtable" and (surplus := _extent(fields, layout) - layout.available) > TOLERATED:
        scaled = [f"{surplus:.0f} pt wider than a text of {layout.available:g} pt: choose fewer columns (--columns)"]
    comments = [needs, f"{group.title}, fingerprint {group.fingerprint or 'none'}", *scaled, *remarks]
    return "\n".join([*(f"% {' '.join(each.split())}" for each in comments), *made(fields, layout, title, label)])


def _chosen(rows: Sequence[Standing], names: Sequence[str]) -> list[Column]:
    if names:
        return columns(names)
    found = [
        column
        for column in columns(COLUMNS)
        if column.name == "miou_percent" or says(column, [getattr(row, column.name) for row in rows])
    ]
    return [column for column in found if column.name != "seeds" or len(seeds(rows)) > 1]


def _bold(column: Column, cells: Sequence[Cell], rows: Sequence[Standing]) -> list[bool]:
    """Return which cell of a column is better than all others: none where it is not alone, as printed or by tests.

    A single seed cannot show that its accuracy is lower, and an unsteady latency not that it is higher.
    """
    best = [cell for cell in cells if cell.best]
    values = [cell.value for cell in cells if isinstance(cell.value, int | float)]
    is_alone = len(best) == 1 and sum(cell.text == best[0].text for cell in cells) == 1
    is_alone = is_alone and best[0].value == (max if column.good == "max" else min)(values)
    if column.name in ACCURACY:
        is_alone = is_alone and all(
            row.seeds > 1 for row, cell in zip(rows, cells, strict=True) if cell.value is not None
        )
    return [cell.best and is_alone for cell in cells]


def _fields(shown: Table, bold: Sequence[Sequence[bool]], rows: Sequence[Standing]) -> list[Field]:
    names = [column.name for column in shown.columns]
    status_of = rows if "status" not in names else ()
    found = []
    for index, column in enumerate(shown.columns):
        cells = [row[index] for row in shown.rows]
        if column.name == "architecture":
            found.append(_names(column, cells, rows))
        elif column.name == "miou_sd_percent" and names[index - 1 : index] == ["miou_percent"]:
            found.append(_deviations(cells, status_of))
        else:
            spans = 2 if names[index : index + 2] == ["miou_percent", "miou_sd_percent"] else 1
            found.append(_values(column, cells, bold[index], status_of if column.name == "miou_percent" else (), spans))
    return found


def _names(column: Column, cells: Sequence[Cell], rows: Sequence[Standing]) -> Field:
    keys = [citation.key(row.architecture, row.method) for row in rows]
    texts = [breakable(cell.text) + cite(key) for cell, key in zip(cells, keys, strict=True)]
    extents = [width(cell.text) + (width(" [00]") if key else 0) for cell, key in zip(cells, keys, strict=True)]
    return Field("l", (column.title, ""), texts, [*extents, width(column.title)])


def _deviations(cells: Sequence[Cell], rows: Sequence[Standing]) -> Field:
    """Return the field of deviations; where rows are given, the status of one without mIoU takes its place."""
    spanned = [row.miou_percent is None for row in rows] or [False] * len(cells)
    texts = [
        None if is_spanned else "" if cell.value is None else rf"$\pm$\,{cell.text}"
        for cell, is_spanned in zip(cells, spanned, strict=True)
    ]
    return Field(r"@{\,}l", ("", ""), texts, [width(cell.text) + 12 for cell in cells], is_joined=True)


def _values(column: Column, cells: Sequence[Cell], bold: Sequence[bool], rows: Sequence[Standing], spans: int) -> Field:
    """Return the field of numbers or texts.

    Args:
        rows: where given, a missing number is replaced by the status of its row.
        spans: number of columns that a status takes.
    """
    present = [cell.text for cell in cells if cell.value is not None]
    is_number = column.decimals is not None and all(re.fullmatch(r"\d+(\.\d+)?", text) for text in present)
    texts: list[str | None] = []
    extents: list[float] = []
    for index, (cell, is_bold) in enumerate(zip(cells, bold, strict=True)):
        status = rows[index].status.replace("_", " ") if rows and cell.value is None else None
        if status:
            texts.append(
                rf"\multicolumn{{{spans}}}{{c}}{{{escaped(status)}}}" if spans > 1 else f"{{{escaped(status)}}}"
            )
            extents.append(width(status) / spans)
        else:
            text = breakable(cell.text)
            texts.append(MISSING if cell.value is None else rf"\bfseries {text}" if is_bold else text)
            extents.append(width(cell.text) * (BOLD if is_bold else 1))
    kind = "l"
    if is_number:
        digits = max((len(text.partition(".")[0]) for text in present), default=1)
        kind = f"S[table-format={digits}.{column.decimals}]" if column.decimals else f"S[table-format={digits}]"
    heading = _split_heading(column)
    return Field(kind, heading, texts, [*extents, *map(width, heading)])


def _split_heading(column: Column) -> tuple[str, str]:
    """Return the two lines of a heading: the first word, and the others with the unit."""
    first, _, others = column.title.partition(" ")
    return first, f"{others} ({column.unit})".strip() if column.unit else others


def _layout(fields: Sequence[Field], environment: Environment | None) -> tuple[Layout, Sequence[Field]]:
    """Return the first layout that is wide enough; where none is, the last, with the widest texts in lines."""
    wanted = (environment,) if environment else ("table", "table*")
    layouts = [each for each in LAYOUTS if each.environment in wanted]
    for layout in layouts:
        if _extent(fields, layout) <= layout.available:
            return layout, fields
    layout = layouts[-1]
    texts = [field for field in fields if field.kind == "l"]
    if not texts:
        return layout, fields
    widest = max(texts, key=lambda field: field.extent)
    room = layout.available - (_extent(fields, layout) - widest.extent * layout.scale)
    return layout, [each.wrapped(max(room, NARROWEST)) if each is widest else each for each in fields]


def _extent(fields: Sequence[Field], layout: Layout) -> float:
    """Return the width of a table in points."""
    gaps = sum(JOIN if field.is_joined else 2 * layout.gap for field in fields[1:])
    return gaps + sum(field.wrap or field.extent * layout.scale for field in fields)


def _floats(fields: Sequence[Field], layout: Layout, title: str, label: str) -> Iterator[str]:
    """Yield the lines of the floats: one, or one for each part that fits a page."""
    for number, part in enumerate(_parts(fields, layout)):
        again = rf"Table~\ref{{{label}}} (continued)\par\smallskip"
        yield from (
            rf"\begin{{{layout.environment}}}[tp]",
            r"  \centering\setlength{\emergencystretch}{3em}",
            f"  {again}" if number else rf"  \caption{{{title}}}\label{{{label}}}\smallskip",
            f"  {_settings(layout)}",
            rf"  {SCALED}\begin{{tabular}}{{{_preamble(fields)}}}",
            r"    \toprule",
            *(f"    {line}" for line in _head(fields)),
            r"    \midrule",
            *(f"    {line}" for line in part),
            r"    \bottomrule",
            r"  \end{tabular}}",
            rf"\end{{{layout.environment}}}",
        )


def _longtable(fields: Sequence[Field], layout: Layout, title: str, label: str) -> Iterator[str]:
    """Yield the lines of a table that is broken between pages, for documents of one column."""
    head = [r"    \toprule", *(f"    {line}" for line in _head(fields)), r"    \midrule"]
    yield from (
        rf"\begingroup{_settings(layout)}",
        rf"  \begin{{longtable}}{{{_preamble(fields)}}}",
        rf"    \caption{{{title}}}\label{{{label}}}\\",
        *head,
        r"    \endfirsthead",
        *head,
        r"    \endhead",
        r"    \bottomrule",
        r"    \endfoot",
        *(f"    {line}" for line in _rows(fields)),
        r"  \end{longtable}",
        r"\endgroup",
    )


def _settings(layout: Layout) -> str:
    return rf"{layout.size}\setlength{{\tabcolsep}}{{{layout.gap:g}pt}}\sisetup{{detect-weight, mode=text}}"


def _preamble(fields: Sequence[Field]) -> str:
    return f"@{{}}{' '.join(field.kind for field in fields)}@{{}}"


def _head(fields: Sequence[Field]) -> Iterator[str]:
    """Yield the headings: a line of titles, and one of units if there are any."""
    for line in (0, 1):
        if any(field.heading[line] for field in fields):
            yield _row([_heading(fields, index, line) for index in range(len(fields))])


def _heading(fields: Sequence[Field], index: int, line: int) -> str | None:
    field, after = fields[index], fields[index + 1 : index + 2]
    if field.is_joined:
        return None
    text = escaped(field.heading[line])
    if after and after[0].is_joined:
        return rf"\multicolumn{{2}}{{c}}{{{text}}}" if text else " & "
    return f"{{{text}}}" if text and field.kind.startswith("S") else text


def _rows(fields: Sequence[Field]) -> list[str]:
    texts = [field.cells if field.wrap else [cell and unbroken(cell) for cell in field.cells] for field in fields]
    return [_row(cells) for cells in zip(*texts, strict=True)]


def _row(cells: Sequence[str | None]) -> str:
    return rf"{' & '.join(cell for cell in cells if cell is not None)} \\"


def _parts(fields: Sequence[Field], layout: Layout) -> Iterator[list[str]]:
    """Yield the rows of each part, of about equal length, that fits a page."""
    rows = _rows(fields)
    lines = [
        max(math.ceil(field.extents[index] * layout.scale / field.wrap) if field.wrap else 1 for field in fields)
        for index in range(len(rows))
    ]
    count = max(1, math.ceil(sum(lines) / LINES[layout.size]))
    ends = list(accumulate(lines))
    for number in range(count):
        yield [row for row, end in zip(rows, ends, strict=True) if (end - 1) * count // ends[-1] == number]


def _label(text: str) -> str:
    """Return the argument of `label`; of the characters that LaTeX does not take there, none.

    Raises:
        UserError: there is one.
    """
    if found := re.search(r"[^A-Za-z0-9:._+*/ -]", text):
        raise UserError(f"--label {text}: leave out {found[0]!r}: letters, digits and : . _ - + / are allowed")
    return text


def _given(caption: str) -> str:
    """Return a caption of the user's: LaTeX if it has a command, else text.

    Raises:
        UserError: it is LaTeX that would not compile, whatever its commands are.
    """
    if "\\" not in caption:
        return escaped(caption)
    caption = " ".join(caption.split())
    bare = re.sub(r"\\.", "", caption)  # without escaped characters, and names of commands without their backslash
    for fault, is_there in {
        "a backslash at the end": "\\" in bare,
        "braces that do not pair": not _are_paired(bare),
        "an odd number of $": bare.count("$") % 2 == 1,
        **{f"a {each} without a backslash before it": each in bare for each in "%#&"},
    }.items():
        if is_there:
            raise UserError(
                f"--caption {caption}: has a backslash, so it is LaTeX, which does not compile with {fault}"
            )
    return caption


def _are_paired(text: str) -> bool:
    """Return whether each brace of a text closes one before it, and none stays open."""
    depths = list(accumulate({"{": 1, "}": -1}.get(each, 0) for each in text))
    return not depths or (min(depths) >= 0 and depths[-1] == 0)
