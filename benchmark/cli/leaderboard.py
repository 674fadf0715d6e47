"""`segbench leaderboard`: print the leaderboard of a protocol from the stored results."""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.catalog import catalog
from benchmark.cli import options
from benchmark.cli.columns import terminal_width
from benchmark.errors import UserError
from benchmark.files.atomic import replacing

if TYPE_CHECKING:
    from benchmark.analysis.ranking import Group
    from benchmark.reporting.table import Table

FORMATS = ("table", "markdown", "csv", "json", "latex")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("-p", "--protocol", metavar="PROTOCOL", help="name or file (default: all with results)")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="table",
        help="output format; csv and json in full precision (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_const", dest="format", const="json", help="same as --format json")
    options.models(parser)
    options.mix_code(parser)
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: results")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write to FILE (default: print)")


def run(args: argparse.Namespace) -> int:
    """Print the table; return 1 if a result could not be read."""
    from benchmark.analysis.code import stored_runs
    from benchmark.analysis.coverage import completed
    from benchmark.analysis.ranking import groups

    protocol = catalog.protocol_name(args.protocol) if args.protocol else None
    runs, problems = stored_runs(args.results, protocol, mix_code=args.mix_code)
    for problem in problems:
        print(f"segbench: warning: {problem}", file=sys.stderr)
    found = completed(groups(runs), [protocol] if protocol and args.results.is_dir() else [])
    if not found:
        raise _nothing(args.protocol, args.results)
    text = render(found, args.format, terminal_width() if args.output is None else None)
    if args.output is None:
        print(text)
    else:
        with replacing(args.output) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    return 1 if problems else 0


def _nothing(protocol: str | None, results: Path) -> UserError:
    if protocol is not None:
        catalog.protocol(protocol)
    what = f" -p {protocol}" if protocol else ""
    of = f" of {protocol}" if protocol else ""
    return UserError(f"no results{of} in {results}/: make some with `segbench run{what}`")


def render(found: Sequence[Group], format: str, width: int | None = None) -> str:
    """Return the tables as text.

    Args:
        found: the leaderboards.
        format: one of `FORMATS`.
        width: width of the terminal in characters, which "table" fits by leaving out columns; None for no limit.
    """
    if format == "json":
        return json.dumps([_plain(group) for group in found], indent=2)
    if format == "csv":
        return _csv(found)
    from benchmark.reporting import table

    sections = []
    for group in found:
        cells = table.table(group.table)
        if format == "latex":
            name = f"{group.title}, fingerprint {group.fingerprint}." if group.fingerprint else f"{group.title}."
            caption = " ".join([name, *_remarks(group), *_bold(cells)])
            sections.append(table.latex(cells, caption))
            continue
        heading = f"{group.title} (fingerprint {group.fingerprint})" if group.fingerprint else group.title
        remarks = [*_remarks(group), *_advice(group)]
        if format == "markdown":
            remarks += _bold(cells)
            sections += [f"### {table.prose(heading)}", table.markdown(cells), *map(table.prose, remarks)]
        else:
            cells, hidden = (cells, []) if width is None else table.narrowed(cells, width)
            if hidden:
                remarks.append(f"Not shown in {width} columns: {', '.join(hidden)}.")
            if width is not None:
                remarks = [textwrap.fill(remark, width) for remark in remarks]
            sections.append("\n".join([heading, "", table.plain(cells), "", *remarks]))
    return "\n\n".join(sections)


def _remarks(group: Group) -> list[str]:
    differs = [f"{axis} is {here}, not {there}" for axis, (here, there) in group.differs.items()]
    unlike = [f"Not ranked with the first table of the protocol: {'; '.join(differs)}."] if differs else []
    return [*unlike, *group.notes]


def _bold(cells: Table) -> list[str]:
    from benchmark.reporting.table import BOLD

    return [BOLD] if any(cell.best for row in cells.rows for cell in row) else []


def _advice(group: Group) -> list[str]:
    from benchmark.analysis.coverage import NOT_RUN, command

    missing = sum(row.status == NOT_RUN for row in group.table)
    what = f"{missing} architecture{'s' if missing > 1 else ''}"
    return [f"Not run: {what}; `{command(group.protocol)}` runs what is missing."] if missing else []


def _plain(group: Group) -> dict[str, object]:
    return {
        "protocol": group.protocol,
        "fingerprint": group.fingerprint,
        "overrides": dict(group.overrides),
        "differs": {axis: list(values) for axis, values in group.differs.items()},
        "notes": list(group.notes),
        "rows": [row._asdict() for row in group.table],
    }


def _csv(found: Sequence[Group]) -> str:
    from benchmark.analysis.ranking import Standing

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["protocol", "fingerprint", "overrides", *Standing._fields])
    for group in found:
        overrides = json.dumps(dict(group.overrides), sort_keys=True)
        writer.writerows([group.protocol, group.fingerprint, overrides, *row] for row in group.table)
    return text.getvalue().rstrip("\n")
