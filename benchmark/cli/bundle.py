"""`segbench bundle`: pack results and what belongs to them into one archive to cite."""

from __future__ import annotations

import argparse
import sys

from benchmark.cli import options, selection


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Pack the results of a leaderboard with resolved configs, environments, references, checksums, licence and "
        "RO-Crate metadata into a zip file, which `segbench validate` checks anywhere and repositories such as Zenodo "
        "take. Dataset images are not in it. Equal results give equal bytes."
    )
    selection.group(parser)
    options.output(parser, "the archive, FILE.zip", required=True)
    parser.add_argument(
        "--title", metavar="TEXT", help="title of the archive in its metadata (default: that of the protocol)"
    )
    parser.add_argument(
        "--author",
        action="append",
        default=[],
        metavar="NAME",
        help="author as 'Family, Given', or an organization; repeatable (default: The segbench authors)",
    )
    parser.add_argument(
        "--license",
        choices=["CC-BY-4.0", "CC0-1.0", "MIT"],
        default="CC-BY-4.0",
        help="licence of the results (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Write the archive; return 1 if a result could not be read."""
    from benchmark.reporting.bundle import pack

    group, problems = selection.chosen_group(args)
    made = pack(
        args.results,
        group,
        args.output,
        protocol=args.protocol,
        title=args.title,
        authors=args.author,
        license=args.license,
    )
    for why in made.missing:
        print(f"segbench: config not packed: {why}", file=sys.stderr)
    print(f"{args.output}: {len(made.stored)} results, {args.output.stat().st_size / 1e6:.1f} MB")
    return 1 if problems else 0
