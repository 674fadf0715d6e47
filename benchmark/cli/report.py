"""`segbench report`: the HTML report, from the results."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: results")
    parser.add_argument("--output", type=Path, default=Path("reports"), metavar="DIR", help="default: reports")


def run(args: argparse.Namespace) -> int:
    """Render the report and print its path; 1 if a result could not be read."""
    from benchmark.reporting.report import render_with_problems

    path, problems = render_with_problems(args.results, args.output)
    for problem in problems:
        print(f"segbench: warning: {problem}", file=sys.stderr)
    print(path)
    return 1 if problems else 0
