"""`segbench leaderboard`: print the leaderboard of a protocol from the stored results."""

from __future__ import annotations

import argparse
import csv
import io
import json
import shlex
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.catalog import catalog
from benchmark.cli import completion, options, printing, selection
from benchmark.cli.columns import terminal_width
from benchmark.errors import UserError

if TYPE_CHECKING:
    from benchmark.analysis.ranking import Group, Standing
    from benchmark.reporting.latex_table import Environment
    from benchmark.reporting.table import Table

FORMATS = ("table", "markdown", "csv", "json", "latex")

SHARED = ("protocol", "fingerprint", "overrides")
"""Columns that all rows of a table share: of csv, and of json where they are chosen; other formats have them above."""

Shown = Sequence[tuple["Group", Sequence["Standing"]]]
"""The tables, each with its rows in their order."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    selection.stored_protocol(parser)
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="table",
        help="output format; csv and json in full precision (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_const", dest="format", const="json", help="same as --format json")
    rows = parser.add_argument(
        "--rows",
        nargs="+",
        default=[],
        metavar="NAME",
        help="only these architectures: names, globs such as 'fcn*', or methods; ranks, bold and fronts are among them "
        "(default: all, in LaTeX those that were run)",
    )
    completion.names(rows, "architectures", "methods", files=False)
    columns = parser.add_argument(
        "--columns",
        nargs="+",
        default=[],
        metavar="COLUMN",
        help="only these columns, by their names in csv or their titles in tables; protocol, fingerprint and overrides "
        "in csv and json alone (default: those that have values, in LaTeX a choice of them)",
    )
    completion.words(columns, "columns", lambda: [*SHARED, *_columns()])
    sort = parser.add_argument(
        "--sort",
        metavar="COLUMN",
        help="sort rows by a column, the best first; --sort=-COLUMN for the worst first; given: as in --rows (default: "
        "by rank)",
    )
    completion.words(sort, "orders", lambda: ["given", *_columns()])
    parser.add_argument("--label", metavar="LABEL", help="label of a LaTeX table (default: tab:PROTOCOL)")
    parser.add_argument(
        "--caption",
        metavar="TEXT",
        help="caption of a LaTeX table: text, or LaTeX where it has a backslash (default: facts of the protocol)",
    )
    parser.add_argument(
        "--float",
        choices=["table", "table*", "longtable"],
        dest="environment",
        help="environment of a LaTeX table; longtable for documents of one column (default: table or table*, by width)",
    )
    options.models(parser)
    selection.mix_code(parser)
    options.results(parser)
    options.output(parser)


def _columns() -> tuple[str, ...]:
    from benchmark.analysis.ranking import Standing

    return Standing._fields


def run(args: argparse.Namespace) -> int:
    """Print the table; return 1 if a result could not be read."""
    from benchmark.analysis import view

    if args.format != "latex" and (args.label or args.caption or args.environment):
        raise UserError("--label, --caption and --float are of a LaTeX table: add --format latex")
    patterns = view.split(args.rows)
    protocol, runs, problems = selection.stored_runs(args)
    found = view.groups_of(runs, patterns, [protocol] if protocol and args.results.is_dir() else [])
    if args.format == "latex" and not patterns:
        found = [group for group in found if group.runs]
    if not found:
        raise _nothing(args.protocol, args.results)
    columns, references = view.split(args.columns), _references(args, patterns)
    choice = Choice(patterns, columns, args.sort, args.label, args.caption, args.environment, references)
    if args.output is None and not choice.columns:
        choice = replace(choice, width=terminal_width())
    text = render(found, args.format, choice)
    printing.output(text, args.output)
    return 1 if problems else 0


def _nothing(protocol: str | None, results: Path) -> UserError:
    if protocol is not None:
        catalog.protocol(protocol)
    if results.exists():
        list(results.iterdir())  # raises what is wrong with a folder that cannot be read, or that is none
    what = f" -p {protocol}" if protocol else ""
    of = f" of {protocol}" if protocol else ""
    return UserError(f"no results{of} in {results}/: make some with `segbench run{what}`")


def _references(args: argparse.Namespace, patterns: Sequence[str]) -> str:
    """Return the command that prints what the rows cite."""
    words = ["segbench", "cite", *patterns]
    words += ["-p", args.protocol] if args.protocol else []
    words += [word for folder in args.models or () for word in ("--models", folder)]
    words += ["--mix-code"] if args.mix_code else []
    words += ["--results", str(args.results)] if args.results != Path("results") else []
    return shlex.join(words)


@dataclass(frozen=True)
class Choice:
    """What of a leaderboard is shown, and how.

    Attributes:
        rows: patterns of `benchmark.analysis.view`; all rows without one.
        columns: their names or titles; those of the format without one.
        sort: as in `view.ordered`.
        label, caption, environment: of a LaTeX table, as in `latex_table`.
        references: command that prints the entries which LaTeX tables cite.
        width: width of the terminal in characters, which "table" fits by leaving out columns; None for no limit.
    """

    rows: Sequence[str] = ()
    columns: Sequence[str] = ()
    sort: str | None = None
    label: str | None = None
    caption: str | None = None
    environment: Environment | None = None
    references: str = ""
    width: int | None = None


def render(found: Sequence[Group], format: str, choice: Choice = Choice()) -> str:
    """Return the tables as text.

    Raises:
        UserError: a column does not exist.
    """
    from benchmark.analysis import view

    if format not in ("csv", "json") and (shared := [name for name in choice.columns if name in SHARED]):
        raise UserError(
            f"--columns {shared[0]}: all rows of a table share it, which is a column of --format csv and json alone"
        )
    shown = [(group, view.ordered(group.table, _order(choice.sort), choice.rows)) for group in found]
    return _RENDERERS[format](shown, choice)


def _order(sort: str | None) -> str | None:
    """Return an order with the name of a column in place of its title."""
    from benchmark.analysis.ranking import Standing
    from benchmark.analysis.view import GIVEN

    if sort is None or sort == GIVEN:
        return sort
    name = sort.removeprefix("-")
    return sort.replace(name, _fields([name], Standing._fields)[0])


def _table(found: Shown, choice: Choice) -> str:
    from benchmark.reporting import table

    chosen, sections = table.columns(choice.columns), []
    for group, rows in found:
        cells, remarks = table.table(rows, chosen), [*_remarks(group), *_advice(group)]
        if choice.width is not None:
            cells, hidden = table.narrowed(cells, choice.width)
            if hidden:
                remarks.append(f"Not shown in {choice.width} columns: {', '.join(hidden)}.")
            remarks = [textwrap.fill(remark, choice.width) for remark in remarks]
        sections.append("\n".join([_heading(group), "", table.plain(cells), "", *remarks]))
    return "\n\n".join(sections)


def _markdown(found: Shown, choice: Choice) -> str:
    from benchmark.reporting import table

    sections = []
    for group, rows in found:
        cells = table.table(rows, table.columns(choice.columns))
        remarks = [*_remarks(group), *_advice(group), *_bold(cells)]
        sections += [f"### {table.prose(_heading(group))}", table.markdown(cells), *map(table.prose, remarks)]
    return "\n\n".join(sections)


def _latex(found: Shown, choice: Choice) -> str:
    from benchmark.analysis.view import was_run
    from benchmark.reporting.latex_table import latex_tables

    return latex_tables(
        [(group, rows if choice.rows else was_run(rows)) for group, rows in found],
        choice.columns,
        label=choice.label,
        caption=choice.caption,
        environment=choice.environment,
        remarks=lambda group: [f"references: {choice.references}", *_remarks(group)],
    )


def _remarks(group: Group) -> list[str]:
    differs = [f"{axis} is {here}, not {there}" for axis, (here, there) in group.differs.items()]
    unlike = [f"Not ranked with the first table of the protocol: {'; '.join(differs)}."] if differs else []
    return [*unlike, *group.notes]


def _heading(group: Group) -> str:
    return f"{group.title} (fingerprint {group.fingerprint})" if group.fingerprint else group.title


def _bold(cells: Table) -> list[str]:
    from benchmark.reporting.table import BOLD

    return [BOLD] if any(cell.best for row in cells.rows for cell in row) else []


def _advice(group: Group) -> list[str]:
    from benchmark.analysis.coverage import NOT_RUN, command

    missing = sum(row.status == NOT_RUN for row in group.table)
    what = f"{missing} architecture{'s' if missing > 1 else ''}"
    return [f"Not run: {what}; `{command(group.protocol)}` runs what is missing."] if missing else []


def _json(found: Shown, choice: Choice) -> str:
    from benchmark.analysis.ranking import Standing

    names = _fields(choice.columns, Standing._fields, SHARED)
    boards = []
    for group, rows in found:
        shared = _shared(group)
        differs = {axis: list(values) for axis, values in group.differs.items()}
        chosen = [{name: _value(name, row, shared) for name in names} for row in rows]
        boards.append({**shared, "differs": differs, "notes": list(group.notes), "rows": chosen})
    return json.dumps(boards, indent=2)


def _csv(found: Shown, choice: Choice) -> str:
    from benchmark.analysis.ranking import Standing

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = _fields(choice.columns, (*SHARED, *Standing._fields))
    writer.writerow(names)
    for group, rows in found:
        shared = {**_shared(group), "overrides": json.dumps(dict(group.overrides), sort_keys=True)}
        writer.writerows([_value(name, row, shared) for name in names] for row in rows)
    return text.getvalue().rstrip("\n")


def _shared(group: Group) -> dict[str, Any]:
    """Return the columns of `SHARED`."""
    return {"protocol": group.protocol, "fingerprint": group.fingerprint, "overrides": dict(group.overrides)}


def _value(name: str, row: Standing, shared: Mapping[str, Any]) -> Any:
    return shared[name] if name in shared else getattr(row, name)


def _fields(columns: Sequence[str], known: Sequence[str], further: Sequence[str] = ()) -> Sequence[str]:
    """Return the names of the columns: those of a ranking, or those of the titles of a table.

    Args:
        columns: names or titles.
        known: names; all of them are returned where there are no columns.
        further: names that are known, too.

    Raises:
        UserError: there is no such column.
    """
    from benchmark.reporting import table

    names = {*known, *further}
    return [name if name in names else table.columns([name])[0].name for name in columns] or known


_RENDERERS: dict[str, Callable[[Shown, Choice], str]] = {
    "table": _table,
    "markdown": _markdown,
    "csv": _csv,
    "json": _json,
    "latex": _latex,
}
