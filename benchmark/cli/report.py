"""`segbench report`: render the HTML report, its figures and the README's table from the results."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.cli import options, printing, selection
from benchmark.cli.columns import wrapped
from benchmark.errors import UserError
from benchmark.files.atomic import replacing

if TYPE_CHECKING:
    from benchmark.reporting.report import Report


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    options.results(parser)
    options.reports(parser, "-o", "--output")
    parser.add_argument(
        "--readme",
        type=Path,
        metavar="FILE",
        help="write the table between the markers of FILE (default: README.md next to the reports, if it has markers)",
    )
    options.models(parser)
    selection.mix_code(parser)
    printing.json_output(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--photographs",
        action="store_true",
        help="embed dataset images and their ground truth; do not redistribute",
    )
    how.add_argument(
        "--check",
        action="store_true",
        help="write nothing; exit code 1 if a written file differs from what the results give, or a result is invalid",
    )


def run(args: argparse.Namespace) -> int:
    """Render the report, print its path; return 1 if a result is unreadable or, with --check, a file is stale."""
    from benchmark.reporting.report import make

    report = make(args.results, args.output, args.photographs, mix_code=args.mix_code)
    readme = _readme(args, report)
    if args.check:
        return _check(args, report, readme)
    for problem in report.problems:
        print(f"segbench: warning: {problem}", file=sys.stderr)
    report.write()
    if readme is not None:
        path, text = readme
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    if args.json:
        printing.print_json({"page": str(report.page), "problems": list(map(str, report.problems))})
    else:
        print(report.page)
    return 1 if report.problems else 0


def _readme(args: argparse.Namespace, report: Report) -> tuple[Path, str] | None:
    """Return the README and its up-to-date text; None if there is none to write."""
    from benchmark.reporting.readme import END, MARKER, with_boards

    path = args.readme or args.output.absolute().parent / "README.md"
    if args.readme is None and not path.is_file():
        return None
    text = with_boards(path, report)
    if text is not None:
        return path, text
    if args.readme is not None:
        raise UserError(f"{path} has no place for a table: write {MARKER} PROTOCOL ... --> and below it {END}")
    return None


def _check(args: argparse.Namespace, report: Report, readme: tuple[Path, str] | None) -> int:
    """Report every file that differs from what the results give, and every invalid result."""
    from benchmark.results.validate import validate

    number, invalid = validate(args.results)
    problems = list(dict.fromkeys(str(each) for each in [*report.problems, *invalid]))
    amiss = list(_differences(report, readme))
    files = len(report.files) + (readme is not None)
    if args.json:
        differences = [{"path": str(path), "state": what} for path, what in amiss]
        printing.print_json({"files": files, "results": number, "problems": problems, "differences": differences})
        return 1 if amiss or problems else 0
    for problem in problems:
        print(wrapped(problem))
    for path, what in amiss:
        print(wrapped(f"{path} is {what}: `{_command(args)}` mends it"))
    if not (amiss or problems):
        print(f"{files} files are what {number} results give")
    return 1 if amiss or problems else 0


def _differences(report: Report, readme: tuple[Path, str] | None) -> Iterator[tuple[Path, str]]:
    from benchmark.reporting.check import differences

    yield from differences(report)
    if readme is not None and readme[0].read_text(encoding="utf-8") != readme[1]:
        yield readme[0], "stale"


def _command(args: argparse.Namespace) -> str:
    given = {
        "--results": (args.results, options.RESULTS),
        "--output": (args.output, options.REPORTS),
        "--readme": (args.readme, None),
    }
    words = [f"{name} {shlex.quote(str(value))}" for name, (value, default) in given.items() if value != default]
    return " ".join(["segbench report", *words, *(["--mix-code"] if args.mix_code else [])])
