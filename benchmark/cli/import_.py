"""`segbench import ARCH CHECKPOINT -o OUT`: convert third-party weights to the names of our modules."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.catalog import catalog
from benchmark.cli import options

if TYPE_CHECKING:
    from benchmark.conversion.fit import Fit

SHOWN = 5
"""Maximum number of unmatched names that are listed; the rest is counted."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("architecture", metavar="ARCH", help="see `segbench list`, or mmseg:NAME")
    parser.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT", help="a file with a state dict; loading it executes no code"
    )
    options.weights_key(parser)
    options.models(parser, arguments=True)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="output file")


def run(args: argparse.Namespace) -> int:
    """Write the weights under our names, and print missing and unexpected keys."""
    catalog.architecture(args.architecture)

    from benchmark.weights import checkpoint

    given = checkpoint.read(args.checkpoint, args.weights_key)
    if given.choice:
        print(f"segbench: {args.checkpoint} holds {given.choice}", file=sys.stderr)

    from benchmark.conversion.fit import require
    from benchmark.results.arrays import file_sha256

    found = require(args.architecture, given.state, args.checkpoint)
    meta = {
        "architecture": args.architecture,
        "classes": found.classes,
        "options": found.options,
        "source": found.source,
        "source_sha256": file_sha256(args.checkpoint),
    }
    checkpoint.write(found.state, args.output, meta)
    _report(found)
    print(args.output)
    return 0


def _report(found: Fit) -> None:
    print(f"names: {found.source}")
    total = len(found.state) + len(found.missing)
    classes = f", {found.classes} classes" if found.classes else ""
    print(f"matched: {len(found.state)} of {total} tensors{classes}")
    for what, names in (
        ("missing, not in the file", found.missing),
        ("unexpected, not in the network", found.unexpected),
    ):
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            print(f"{what}: {', '.join(names[:SHOWN])}{more}")
    if not found.complete:
        print("these are initial weights, not a trained network: use them with `segbench train --init`")
