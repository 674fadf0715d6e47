"""`segbench config ARCH -p PROTOCOL`: the composed config, as text that mmsegmentation's own tools take."""

from __future__ import annotations

import argparse

from benchmark.cli import options


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("architecture", help="see `segbench list`, or mmseg:NAME for a config of mmsegmentation's zoo")
    options.protocol(parser)
    options.overrides(parser)
    options.dataset(parser)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--distributed", action="store_true", help="for several processes: SyncBN")


def run(args: argparse.Namespace) -> int:
    """Print the config."""
    from benchmark.compose import compose

    config = compose(
        args.architecture,
        args.protocol,
        seed=args.seed,
        root=args.root,
        distributed=args.distributed,
        **options.chosen_overrides(args),
    )
    print(config.pretty_text, end="")
    return 0
