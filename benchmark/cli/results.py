"""`segbench results`: export results to an archive, import results from one."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from benchmark.catalog import catalog
from benchmark.cli import options, printing, selection
from benchmark.errors import UserError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add `pack` and `add`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    what = "JSON and confusion matrices, without sample images, as datasets must not be redistributed"

    pack = actions.add_parser("pack", help="export results to an archive", description=f"Pack results: {what}.")
    pack.add_argument(
        "archive", type=Path, metavar="OUT.tar", help="the archive: OUT.tar, or compressed as OUT.tar.gz or OUT.tgz"
    )
    selection.stored_protocol(pack)
    options.results(pack)
    printing.json_output(pack)

    add = actions.add_parser(
        "add",
        help="import results into the store, validated",
        description="Import results. All are validated before the first is added; a successful result replaces a "
        "failed one. Exit code 1 if a result was not imported.",
    )
    add.add_argument("source", type=Path, metavar="FILE", help="an archive or a folder of results")
    options.results(add, "folder to which the results are added")
    add.add_argument("--replace", action="store_true", help="overwrite a different result of the same run")
    printing.json_output(add, "print a JSON list (default: text)")


def run(args: argparse.Namespace) -> int:
    """Export or import results; return 1 if a result was omitted."""
    return {"pack": _pack, "add": _add}[args.action](args)


def _pack(args: argparse.Namespace) -> int:
    if not args.results.is_dir():
        raise UserError(f"{args.results} does not exist: name a folder of results")
    from benchmark.results.archive import pack
    from benchmark.results.store import Store

    files = Store(args.results).files(catalog.protocol_name(args.protocol) if args.protocol else None)
    if args.protocol and not files:
        catalog.protocol(args.protocol)
    count, problems = pack(args.results, args.archive, files)
    for problem in problems:
        print(f"excluded: {problem}", file=sys.stderr)
    size = args.archive.stat().st_size
    if args.json:
        excluded = [{"path": str(problem.path), "why": problem.why} for problem in problems]
        printing.print_json({"archive": str(args.archive), "results": count, "bytes": size, "excluded": excluded})
    else:
        print(f"{args.archive}: {count} results, {size / 1e6:.1f} MB")
    return 1 if problems else 0


def _add(args: argparse.Namespace) -> int:
    from benchmark.results.archive import add
    from benchmark.results.store import Store

    entries = add(args.source, Store(args.results), replace=args.replace)
    for entry in entries:
        if entry.why:
            print(f"{entry.outcome}: {entry.name}: {entry.why}", file=sys.stderr)
    counts = Counter(entry.outcome for entry in entries)
    if args.json:
        printing.print_json([asdict(entry) for entry in entries])
    else:
        there = counts["present"] + counts["kept"]
        print(f"{counts['added']} added, {counts['replaced']} replaced, {there} there already", end=", ")
        print(f"{counts['refused']} refused")
    return 1 if counts["refused"] else 0
