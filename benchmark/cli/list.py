"""`segbench list`: what exists."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

from benchmark import catalog

Rows = list[dict[str, Any]]


def _architectures() -> Rows:
    return [{"name": a.name, "method": a.method, "summary": a.summary} for a in catalog.architectures().values()]


def _protocols() -> Rows:
    return [{"name": p.name, "summary": p.summary} for p in catalog.protocols().values()]


def _methods() -> Rows:
    return [{"name": m.name, "year": m.year, "title": m.title} for m in catalog.methods().values()]


def _references() -> Rows:
    keys = ("metric", "value", "unit", "dataset", "split")
    return [
        {"name": r.name, "architecture": r.facts["architecture"]} | {key: r.facts.get(key) for key in keys}
        for r in catalog.references().values()
    ]


KINDS: dict[str, Callable[[], Rows]] = {
    "architectures": _architectures,
    "protocols": _protocols,
    "methods": _methods,
    "references": _references,
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("kind", nargs="?", choices=KINDS, default="architectures", help="what to list")
    parser.add_argument("--json", action="store_true", help="print a JSON list")


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    rows = KINDS[args.kind]()
    if args.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return 0
    cells = [["-" if value is None else str(value) for value in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)] if cells else []
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    return 0
