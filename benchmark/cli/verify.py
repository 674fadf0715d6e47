"""`segbench verify --cost`: parameters and MACs of every architecture against what was published."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING

from benchmark import catalog
from benchmark.errors import UserError

if TYPE_CHECKING:
    from benchmark.analysis.cost import Cost
    from benchmark.analysis.verdict import Verdict


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("architectures", nargs="*", metavar="ARCH", help="default: every architecture of the catalog")
    parser.add_argument("--cost", action="store_true", help="hold parameters and MACs against their references")
    parser.add_argument("--json", action="store_true", help="print a JSON list")


def run(args: argparse.Namespace) -> int:
    """Print a verdict for every published cost; 1 if one differs."""
    if not args.cost:
        raise UserError("say what to verify: --cost")
    names = list(dict.fromkeys(args.architectures)) or list(catalog.architectures())
    for name in names:
        catalog.architecture(name)

    from benchmark.analysis import cost

    references = [
        reference
        for name in names
        for reference in catalog.references().values()
        if reference.facts["architecture"] == name and reference.facts["metric"] in cost.METRICS
    ]
    verdicts = [cost.verdict(reference, _measure) for reference in references]
    if args.json:
        print(json.dumps([asdict(each) for each in verdicts], indent=2))
    else:
        _print(verdicts, [name for name in names if not any(each.architecture == name for each in verdicts)])
    return 1 if any(each.outcome == "differs" for each in verdicts) else 0


@cache
def _measure(architecture: str, size: tuple[int, int], classes: int) -> Cost:
    from benchmark import compose
    from benchmark.analysis.cost import Cost
    from benchmark.profiling import complexity

    counted = complexity.tally(compose.model_config(architecture, classes=classes), size)
    return Cost(counted.params, counted.params_total, counted.macs, counted.uncounted, counted.kernels)


def _print(verdicts: list[Verdict], without: list[str]) -> None:
    headings = ("architecture", "figure", "published", "ours", "difference", "verdict", "reason and reference")
    rows = [headings]
    for each in verdicts:
        rows.append(
            (
                each.architecture,
                each.metric,
                f"{each.published:g} {each.unit}",
                "-" if each.measured is None else f"{each.measured:.3f}",
                "-" if each.difference is None else f"{each.difference:+.2f} %",
                each.outcome,
                f"{each.reason} [{each.reference}]",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    for row in rows:
        print("  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1])))
    counts = Counter(each.outcome for each in verdicts)
    print("\n" + ", ".join(f"{number} {outcome}" for outcome, number in counts.most_common()))
    if without:
        print(f"no published cost: {', '.join(without)}")
