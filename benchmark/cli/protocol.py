"""`segbench protocol new NAME --like PROTOCOL`: write a protocol file to edit."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from benchmark.catalog import catalog
from benchmark.cli import completion, quantities
from benchmark.errors import UserError
from benchmark.files.atomic import replacing


def configure(parser: argparse.ArgumentParser) -> None:
    """Add `new`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    what = "write a protocol file: a base and what differs from it, commented"
    new = actions.add_parser("new", help=what, description=f"{what[0].upper()}{what[1:]}. `-p FILE` uses it.")
    new.add_argument("name", metavar="NAME", help="name of the protocol in results; the file is NAME.py")
    like = new.add_argument(
        "--like", required=True, metavar="PROTOCOL", help="the base: see `segbench list protocols`, or a protocol file"
    )
    completion.names(like, "protocols")
    new.add_argument(
        "--data", type=Path, metavar="CARD", help="dataset card, from `segbench data add` (default: data of the base)"
    )
    new.add_argument("--size", metavar="HxW", help="height and width of crops and of the profiled input")
    new.add_argument("--max-iters", type=quantities.count, metavar="N", help="number of training iterations")
    new.add_argument("--batch-size", type=quantities.count, metavar="N", help="batch size in images")
    new.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="folder of the file (default: here)")


def run(args: argparse.Namespace) -> int:
    """Write the file; print its path, and the commands that use it."""
    path: Path = args.out / f"{args.name.removesuffix('.py')}.py"
    if path.name != f"{args.name.removesuffix('.py')}.py":
        raise UserError(f"{args.name!r} is no name: name the folder with --out")
    catalog.protocol_name(path.name)
    if path.exists():
        raise UserError(f"{path} exists: choose another name, or remove it")

    from benchmark.configs import template

    size = None if args.size is None else quantities.size(args.size)
    text = template.text(
        path, args.like, data=args.data, size=size, max_iters=args.max_iters, batch_size=args.batch_size
    )
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    file = shlex.quote(str(path))
    print(path)
    print(f"all of it: segbench show {file}; a run: segbench run ARCH -p {file}")
    return 0
