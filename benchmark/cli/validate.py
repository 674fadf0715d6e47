"""`segbench validate`: recompute what the results say."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmark.errors import UserError


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "path", nargs="?", type=Path, default=Path("results"), help="a result or a folder of them (default: results/)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Name every problem; 1 if there is one."""
    if not args.path.exists():
        raise UserError(f"{args.path} does not exist: name a result or a folder of results")

    from benchmark.results.validate import validate

    results, problems = validate(args.path)
    if args.json:
        found = [{"path": str(problem.path), "why": problem.why} for problem in problems]
        print(json.dumps({"results": results, "problems": found}, indent=2))
    else:
        for problem in problems:
            print(problem)
        print(f"{results} results, {len(problems)} problems")
    return 1 if problems else 0
