"""`segbench figure`: draw a figure of a leaderboard for a paper."""

from __future__ import annotations

import argparse
import re
import sys

from benchmark.analysis.marks import COSTS
from benchmark.arguments import WIDTHS
from benchmark.cli import options, selection

KINDS = {
    "pareto": "accuracy against a cost, with the Pareto front; bars are over seeds",
    "curves": "training loss and mIoU on val over the iterations; bands are over seeds",
    "iou": "IoU of each class; bars are over seeds",
    "predictions": "predictions of the same test images",
}

INCHES = {"in": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4, "pt": 1 / 72.27}
"""Inches of a unit; pt is that of TeX."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add a parser for each kind of figure."""
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    for kind, summary in KINDS.items():
        sub = kinds.add_parser(kind, help=summary, description=f"Draw {summary}.")
        selection.group(sub)
        options.output(sub, "the figure, in the format of its name: FILE.pdf, FILE.svg or FILE.png", required=True)
        sub.add_argument(
            "--width",
            type=_width,
            default="229pt",
            metavar="W",
            help="width in in, cm, mm or pt (default: %(default)s, a column of LaTeX's article)",
        )
        if kind == "pareto":
            sub.add_argument(
                "--cost", choices=COSTS, default="macs", help="cost on the horizontal axis (default: %(default)s)"
            )
        if kind == "predictions":
            sub.add_argument(
                "--photographs",
                action="store_true",
                help="show dataset images and ground truth; do not redistribute (default: off)",
            )


def run(args: argparse.Namespace) -> int:
    """Draw the figure; return 1 if a result could not be read."""
    from benchmark.analysis.view import was_run
    from benchmark.reporting import figure

    found, problems = selection.chosen_group(args)
    own = {name: value for name in ("cost", "photographs") if (value := getattr(args, name, None)) is not None}
    damaged = figure.write(args.kind, args.results, found, was_run(found.table), args.output, width=args.width, **own)
    for problem in damaged:
        print(f"segbench: warning: {problem}", file=sys.stderr)
    return 1 if problems or damaged else 0


def _width(text: str) -> float:
    """Return the inches of a width."""
    found = re.fullmatch(rf"(\d+(?:\.\d+)?)({'|'.join(INCHES)})", text)
    inches = float(found[1]) * INCHES[found[2]] if found else 0
    least, most = WIDTHS
    if not least <= inches <= most:
        form = f"a width of {least:g}in to {most:g}in, such as 3.25in or 8.3cm"
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is not {form}")
    return inches
