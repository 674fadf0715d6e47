"""`segbench compare`: did anything get worse between two sets of results?"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.cli import options
from benchmark.errors import UserError

if TYPE_CHECKING:
    from benchmark.analysis.regression import Comparison

GATES = ("accuracy", "cost", "speed")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    what = "a folder of results, a result file, a git revision (v0.1:results), or in the store a version (0.1.0), a "
    what += "commit or a digest of code (7 digits or more)"
    parser.add_argument("base", metavar="BASE", help=f"the results before: {what}")
    parser.add_argument("new", metavar="NEW", help="the results now, named in the same way")
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="the store of versions (default: results)"
    )
    parser.add_argument("--margin", type=float, metavar="M", help="points of mIoU that may be lost (default: 0.5)")
    parser.add_argument(
        "--images", action="store_true", help="whether a loss would be seen on other images like these, too"
    )
    parser.add_argument(
        "--gate",
        type=_gates,
        default=GATES,
        metavar="KIND,...",
        help=f"what may not get worse (default: {','.join(GATES)})",
    )
    parser.add_argument(
        "--strict", action="store_true", help="exit with 1 as well where it cannot be said, or one side has no result"
    )
    parser.add_argument(
        "--format", choices=["table", "markdown"], default="table", help="markdown is for pull requests"
    )
    options.mix_code(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print what changed; 1 if something got worse, or a result could not be read."""
    from benchmark.analysis.code import of_any_code
    from benchmark.analysis.ranking import code_notes
    from benchmark.analysis.regression import MARGIN, compare
    from benchmark.results.source import source

    margin = MARGIN if args.margin is None else args.margin
    if not 0 < margin <= 100:
        raise UserError(f"--margin {margin:g}: a positive number of points of mIoU, such as 0.5")
    base, new = (source(name, args.results) for name in (args.base, args.new))
    problems = list(dict.fromkeys([*base.problems, *new.problems]))
    for problem in problems:
        print(f"segbench: warning: {problem}", file=sys.stderr)
    if args.mix_code:
        base, new = (replace(side, runs=of_any_code(side.runs)) for side in (base, new))
    for name, side in (("BASE", base), ("NEW", new)):
        for note in code_notes(side.runs):
            print(f"segbench: {name}: {note}", file=sys.stderr)
    found = compare(base.runs, new.runs, {"base": base.counts, "new": new.counts}, margin, args.images)
    if args.json:
        print(json.dumps({"margin": margin, **asdict(found)}, indent=2))
    else:
        from benchmark.reporting.comparison import text

        print(text(found, margin, args.gate, args.format))
    return 1 if problems or not found.changes or _fails(found, args.gate, args.strict) else 0


def _fails(found: Comparison, gates: tuple[str, ...], strict: bool) -> bool:
    bad = ("regression", "inconclusive", "not comparable") if strict else ("regression",)
    return any(change.outcome in bad for change in found.changes if change.gate in gates) or (
        strict and bool(found.missing or found.apart)
    )


def _gates(text: str) -> tuple[str, ...]:
    """The kinds of figures in a list with commas."""
    gates = tuple(dict.fromkeys(text.split(",")))
    if unknown := set(gates) - set(GATES):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: choose from {', '.join(GATES)}")
    return gates
