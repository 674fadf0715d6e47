"""`segbench validate`: recompute the derived values of stored results."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from benchmark.cli import options, printing
from benchmark.cli.columns import wrapped
from benchmark.errors import UserError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "path",
        nargs="?",
        type=Path,
        default=Path("results"),
        help="a result, a folder of them, or an archive of `segbench bundle` (default: results/)",
    )
    parser.add_argument(
        "--recount",
        action="store_true",
        help="rebuild each network and count its parameters and MACs (slower; default: off)",
    )
    options.models(parser)
    printing.json_output(parser)


def run(args: argparse.Namespace) -> int:
    """Print every problem, and what cannot be checked; return 1 if there is a problem."""
    if not args.path.exists():
        raise UserError(f"{args.path} does not exist: name a result or a folder of results")

    from benchmark.results.bundle import is_bundle
    from benchmark.results.validate import LIMITS, validate

    notes: Sequence[str] = []
    if is_bundle(args.path):
        from benchmark.reporting import bundle_check

        checked = bundle_check.check(args.path, recount=args.recount)
        results, problems, notes = checked.results, checked.problems, checked.notes
    else:
        results, problems = validate(args.path, recount=args.recount)
    if args.json:
        found = [{"path": str(problem.path), "why": problem.why} for problem in problems]
        print(json.dumps({"results": results, "problems": found, "notes": notes, "limits": LIMITS}, indent=2))
    else:
        for line in (*problems, *(f"{args.path}: {note}" for note in notes)):
            print(wrapped(str(line)))
        print(f"{results} results, {len(problems)} problems")
        print(wrapped(LIMITS))
    return 1 if problems else 0
