"""`segbench import ARCH CHECKPOINT -o OUT`: convert third-party weights to the names of our modules."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.catalog import catalog
from benchmark.cli import loading, options
from benchmark.cli.progress import shown
from benchmark.errors import UserError

if TYPE_CHECKING:
    from benchmark.configs.normalisation import Normalisation
    from benchmark.conversion.fit import Fit
    from benchmark.weights.checkpoint import Checkpoint

SHOWN = 5
"""Maximum number of unmatched names that are listed; the rest is counted."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    options.architecture(parser)
    parser.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT", help="a file with a state dict; loading it executes no code"
    )
    loading.weights_key(parser)
    loading.names(parser)
    loading.normalisation(parser)
    options.models(parser, arguments=True)
    options.output(parser, "file of the converted weights, which --init and --weights take", required=True)


def run(args: argparse.Namespace) -> int:
    """Write the weights under our names, and print missing and unexpected keys."""
    catalog.architecture(args.architecture)

    with shown(1):
        from benchmark.weights import checkpoint

        given = checkpoint.read(args.checkpoint, args.weights_key)
        if given.choice:
            print(f"segbench: {args.checkpoint} holds {given.choice}", file=sys.stderr)

        from benchmark.results.arrays import file_sha256

        normalisation = _normalisation(args)
        found, left_out = match(args, given, args.checkpoint)
        meta: dict[str, Any] = {
            "architecture": args.architecture,
            "classes": found.classes,
            "options": found.options,
            "source": found.source,
            "source_sha256": file_sha256(args.checkpoint),
        }
        if normalisation is not None:
            meta["normalisation"] = normalisation.plain
        checkpoint.write(found.state, args.output, meta)
    _report(found, left_out)
    if normalisation is not None:
        print(f"normalisation: {normalisation.text}")
    print(args.output)
    return 0


def match(args: argparse.Namespace, given: Checkpoint, path: Path) -> tuple[Fit, list[str]]:
    """Match the weights of a file to an architecture, as --map and --by-order say.

    Args:
        args: arguments of `loading.names`, and `architecture`.
        given: the weights.
        path: path of the file.

    Returns:
        The matching tensors, and the names of those that the map leaves out.

    Raises:
        UserError: the weights are of another network, or the map is not usable.
    """
    from benchmark.conversion import refusal, rules

    state = given.state
    left_out: list[str] = []
    if args.map is not None:
        state, left_out, unused = rules.rename(state, rules.read(args.map))
        for rule in unused:
            print(f"segbench: warning: {rule.place}: {rule.pattern.pattern} matches no name", file=sys.stderr)
    if args.by_order and not given.ordered:
        raise UserError(f"{path}: safetensors files have no order, their tensors are sorted by name: use --map FILE")
    found = refusal.require(
        args.architecture,
        state,
        path,
        given.meta.get("options"),
        by_order=args.by_order,
        zeros=args.by_order or args.map is not None,
    )
    return found, left_out


def _normalisation(args: argparse.Namespace) -> Normalisation | None:
    """Return the normalisation of the weights: that of the network's own config, changed by the options.

    Returns:
        None where neither says one: an evaluation uses that of its protocol.

    Raises:
        UserError: the options say a part of it alone.
    """
    from benchmark.configs.compose import stated_normalisation
    from benchmark.configs.normalisation import Normalisation

    stated, chosen = stated_normalisation(args.architecture), loading.chosen_normalisation(args)
    if not chosen:
        return stated
    if stated is None and not {"mean", "std"} <= chosen.keys():
        raise UserError(f"{args.architecture} states no normalisation: give --mean and --std")
    return (stated or Normalisation(None, None, bgr=False)).changed(**chosen)


def _report(found: Fit, left_out: list[str]) -> None:
    print(f"names: {found.source}")
    classes = f", {found.classes} classes" if found.classes else ""
    print(f"matched: {len(found.state)} of {found.total} tensors{classes}")
    for what, names in (
        ("missing, not in the file", found.missing),
        ("unexpected, not in the network", found.unexpected),
        ("set to 0, as layers of the file have no bias", found.zeros),
        ("left out by the map", left_out),
    ):
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            print(f"{what}: {', '.join(names[:SHOWN])}{more}")
    if not found.complete:
        print("these are initial weights, not a trained network: use them with `segbench train --init`")
