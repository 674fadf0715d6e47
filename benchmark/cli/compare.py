"""`segbench compare`: did anything get worse between two sets of results?

Exit codes: 0 no regression; 1 a regression or missing results; 2 invalid arguments; 3 inconclusive (--strict).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmark.cli import completion, options, selection
from benchmark.cli.columns import terminal_width
from benchmark.files.atomic import replacing

if TYPE_CHECKING:
    from benchmark.analysis.regression import Comparison

GATES = ("accuracy", "cost", "speed")


class CostLimit(NamedTuple):
    """An upper limit of a figure of NEW.

    Attributes:
        text: the figure and its unit, for the help.
        metavar: the unit.
        figure: name of the figure in a comparison.
        scale: the option's unit in units of the figure.
    """

    text: str
    metavar: str
    figure: str
    scale: int


BUDGETS = {
    "latency-ratio": CostLimit("latency, relative to the anchor's on the same device", "RATIO", "latency_ratio", 1),
    "params": CostLimit("number of parameters, in millions", "M", "params", 10**6),
    "macs": CostLimit("number of multiply-accumulates of an image, in 10^9", "G", "macs", 10**9),
    "memory": CostLimit("peak memory at inference, in MiB", "MIB", "inference_memory_bytes", 2**20),
}
"""The budgets, by the name of their option without "max"."""

OPEN = ("inconclusive", "not comparable")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    what = "a folder of results, a result file, a git revision (v0.1:results), or in the store a version (0.1.0), a "
    what += "commit or a digest of code (7 digits or more)"
    completion.paths(parser.add_argument("base", metavar="BASE", help=f"base results: {what}"))
    completion.paths(parser.add_argument("new", metavar="NEW", help="new results, specified in the same way"))
    options.results(parser, "folder of results in which versions are looked up")
    parser.add_argument(
        "--margin", type=float, metavar="M", help="non-inferiority margin in points of mIoU (default: 0.5)"
    )
    parser.add_argument("--images", action="store_true", help="include the sampling error of images (bootstrap)")
    gate = parser.add_argument(
        "--gate",
        type=_gates,
        default=GATES,
        metavar="KIND,...",
        help=f"kinds of regression that set exit code 1 (default: {','.join(GATES)})",
    )
    completion.words(gate, "gates", _every_gate)
    parser.add_argument(
        "--strict",
        action="store_true",
        help="require evidence that nothing got worse: exit code 3 if any comparison is inconclusive",
    )
    parser.add_argument(
        "--allow-missing",
        action="store_true",
        help="do not fail if NEW lacks protocols, architectures, seeds or successful runs of BASE",
    )
    budgets = parser.add_argument_group(
        "speed and budgets", "upper limits for NEW; a value above its limit is a regression"
    )
    budgets.add_argument(
        "--latency-margin",
        type=_positive,
        default=0.05,
        metavar="SHARE",
        help="allowed relative increase of latency (default: %(default)s)",
    )
    for name, budget in BUDGETS.items():
        text = f"upper limit of {budget.text} (default: none)"
        budgets.add_argument(f"--max-{name}", type=_positive, metavar=budget.metavar, help=text)
    parser.epilog = (
        "exit codes: 0 no regression; 1 a regression, or NEW lacks results; 2 invalid arguments; "
        "3 inconclusive (with --strict)"
    )
    parser.add_argument(
        "--format",
        choices=["table", "markdown", "json"],
        default="table",
        help="output format; markdown is for pull requests (default: %(default)s)",
    )
    selection.mix_code(parser)
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help="also write an HTML page: what got worse, with intervals, by class"
    )
    parser.add_argument("--json", action="store_const", dest="format", const="json", help="same as --format json")


def run(args: argparse.Namespace) -> int:
    """Print what changed; return the exit code."""
    from benchmark.analysis.code import of_any_code
    from benchmark.analysis.ranking import code_notes
    from benchmark.analysis.regression import MARGIN, compare_results
    from benchmark.results.source import source

    margin = MARGIN if args.margin is None else args.margin
    base, new = (source(name, args.results) for name in (args.base, args.new))
    problems = list(dict.fromkeys([*base.problems, *new.problems]))
    for problem in problems:
        print(f"segbench: warning: {problem}", file=sys.stderr)
    if args.mix_code:
        base, new = (replace(side, runs=of_any_code(side.runs)) for side in (base, new))
    for name, side in (("BASE", base), ("NEW", new)):
        for note in code_notes(side.runs):
            print(f"segbench: {name}: {note}", file=sys.stderr)
    limits = ((budget, getattr(args, f"max_{name.replace('-', '_')}")) for name, budget in BUDGETS.items())
    budgets = {budget.figure: limit * budget.scale for budget, limit in limits if limit is not None}
    found = compare_results(base, new, margin, args.images, args.latency_margin, budgets)
    if args.strict:
        takes = f"about {found.seeds}" if found.seeds else "at least 2"
        print(
            f"segbench: to show that an unchanged release has not lost {margin:g} takes {takes} seeds of each "
            "architecture on each side",
            file=sys.stderr,
        )
    if args.format == "json":
        print(json.dumps({"margin": margin, **asdict(found)}, indent=2))
    else:
        from benchmark.reporting.comparison import text

        print(text(found, margin, args.gate, args.format, terminal_width() if args.format == "table" else None))
    if args.page is not None:
        from benchmark.reporting.comparison_page import comparison_page

        page = comparison_page(found, (base, new), (args.base, args.new), margin, args.gate, args.page.parent)
        with replacing(args.page) as temporary:
            temporary.write_text(page, encoding="utf-8")
    return 1 if problems else _code(found, args.gate, args.strict, args.allow_missing)


def _code(found: Comparison, gates: Sequence[str], strict: bool, allow_missing: bool) -> int:
    """Return the exit code."""
    from benchmark.analysis.regression import WORSE

    outcomes = [change.outcome for change in found.changes if change.gate in (*gates, "budget")]
    if found.overall and "accuracy" in gates:
        outcomes.append("same" if found.overall.outcome == "inconclusive" else found.overall.outcome)
    lacks = "base" in {each.side for each in found.missing} | {each.side for each in found.apart}
    if any(outcome in WORSE for outcome in outcomes) or (lacks and not allow_missing):
        return 1
    if not any(change.outcome != "missing" for change in found.changes):
        return 1  # nothing in common
    return 3 if strict and any(outcome in OPEN for outcome in outcomes) else 0


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _every_gate() -> list[str]:
    """Return what --gate takes, each kind once and in their order."""
    return [",".join(chosen) for number in range(len(GATES)) for chosen in combinations(GATES, number + 1)]


def _gates(text: str) -> tuple[str, ...]:
    """Return the kinds of figures in a list with commas."""
    gates = tuple(dict.fromkeys(text.split(",")))
    if unknown := set(gates) - set(GATES):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: choose from {', '.join(GATES)}")
    return gates
