"""`segbench list`: list architectures, protocols, methods, references, or the zoo."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Collection
from dataclasses import asdict
from typing import Any

from benchmark.catalog import catalog
from benchmark.catalog.references import Reference
from benchmark.cli import completion, options, printing
from benchmark.cli.columns import fitted, terminal_width
from benchmark.errors import UserError

Rows = list[dict[str, Any]]


def _architectures() -> Rows:
    return [{"name": a.name, "method": a.method, "summary": a.summary} for a in catalog.architectures().values()]


def _protocols() -> Rows:
    return [{"name": p.name, "summary": p.summary} for p in catalog.protocols().values()]


def _methods() -> Rows:
    return [{"name": m.name, "year": m.year, "title": m.title} for m in catalog.methods().values()]


def _zoo() -> Rows:
    return [{"name": a.name, "method": a.method, "summary": a.summary} for a in catalog.zoo().values()]


KINDS: dict[str, Callable[[], Rows]] = {
    "architectures": _architectures,
    "protocols": _protocols,
    "methods": _methods,
    "zoo": _zoo,
}
REFERENCES, ZOO = "references", "zoo"
SOURCES = ("papers", "mmseg", "all")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    kinds = [*KINDS, REFERENCES]
    parser.add_argument(
        "kind", nargs="?", choices=kinds, default="architectures", help="what to list (default: %(default)s)"
    )
    only = parser.add_argument_group(REFERENCES)
    only.add_argument(
        "--source",
        choices=SOURCES,
        help="source of the references: papers, our metafiles (default); mmseg, mmsegmentation's model zoo",
    )
    method = only.add_argument(
        "--method", metavar="NAME", help="only of this method; with zoo, only of this folder of the zoo"
    )
    dataset = only.add_argument("--dataset", metavar="NAME", help="only figures on this dataset")
    completion.words(method, "methods_of", lambda: {'*" zoo "*': _zoo_folders(), **_known("method")})
    completion.words(dataset, "datasets_of", lambda: _known("dataset"))
    zoo = parser.add_argument_group(ZOO)
    zoo.add_argument(
        "--check", action="store_true", help="build, count and train each config, and print the reason of each failure"
    )
    zoo.add_argument("--no-train", dest="train", action="store_false", help="with --check: do not train")
    zoo.add_argument("--markdown", action="store_true", help="with --check: print Markdown")
    options.models(parser)
    parser.add_argument("--names", action="store_true", help="print the names alone, one a line")
    printing.json_output(parser, "print a JSON list (default: text)")


def run(args: argparse.Namespace) -> int:
    """Print the list; return 2 if a file of it is invalid."""
    if args.kind != ZOO:
        for option in ("check", "markdown"):
            if getattr(args, option):
                raise UserError(f"--{option} is of the zoo: segbench list zoo --check")
    elif args.markdown and not args.check:
        raise UserError("--markdown prints a check: segbench list zoo --check --markdown")
    if args.kind == ZOO and args.check:
        return _check(args)
    if args.kind == REFERENCES:
        found = _references(args.source or "papers", args.method, args.dataset)
        rows = [_row(each, each.value if args.json else each.text) for each in found]
    else:
        for option in ("source", "method", "dataset"):
            if getattr(args, option) and (args.kind, option) != (ZOO, "method"):
                raise UserError(f"--{option} is of references: segbench list references --{option} ...")
        rows = KINDS[args.kind]()
        if args.kind == ZOO and args.method:
            names = _of_method(args.method)
            rows = [row for row in rows if row["name"] in names]
    if args.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return 2 if catalog.faults() else 0
    if args.names:
        for row in rows:
            print(row["name"])
        return 2 if catalog.faults() else 0
    for line in fitted(
        [["-" if value is None else str(value) for value in row.values()] for row in rows], terminal_width()
    ):
        print(line)
    return 2 if catalog.faults() else 0


def _check(args: argparse.Namespace) -> int:
    """Print which configs of the zoo work; return 1 if one fails, except for its size or a missing package."""
    names = _of_method(args.method)

    from benchmark.selftest import zoo

    def on_progress(name: str) -> None:
        print(f"[{names.index(name) + 1}/{len(names)}] {name}", file=sys.stderr)

    width = max(map(len, names))
    checks = []
    for each in zoo.check(names, train=args.train, on_progress=on_progress):
        checks.append(each)
        if not args.json and not args.markdown:  # immediately, as the whole zoo takes half an hour
            said = each.reason or "; ".join(each.adapted)
            print(f"{each.name:{width}}  {each.state:15}  {said}".rstrip(), flush=True)
    if args.json:
        print(json.dumps([asdict(each) for each in checks], indent=2))
    elif args.markdown:
        print(zoo.markdown(checks, args.command_line), end="")
    return 1 if any(each.state == "fails" or each.trains is False for each in checks) else 0


def _zoo_folders() -> list[str]:
    return sorted({each.method for each in catalog.zoo().values()})


def _of_method(method: str | None) -> list[str]:
    """Names of the configs of the zoo, all or those in a folder."""
    known = _zoo_folders()
    if method is not None and method not in known:
        raise UserError(f"--method {method}: the folders of the zoo are {', '.join(known)}")
    return [name for name, each in catalog.zoo().items() if method in (None, each.method)]


def _references(source: str, method: str | None, dataset: str | None) -> list[Reference]:
    """Return the references of a source for a method and a dataset; report omitted ones on stderr."""
    found = _of_source(source)
    if source != "papers":
        from benchmark.catalog import mmseg_zoo

        zoo = mmseg_zoo.published()
        if zoo.left_out:
            counts = ", ".join(f"{len(names)} {reason}" for reason, names in zoo.left_out.items())
            total = sum(map(len, zoo.left_out.values()))
            print(f"omitted from mmsegmentation's zoo: {total} figures ({counts})", file=sys.stderr)
    for kind, wanted in (("method", method), ("dataset", dataset)):
        known = _values(found, kind)
        if wanted and wanted not in known:
            raise UserError(f"--{kind} {wanted}: these references are of {', '.join(known)}")
    return [each for each in found if method in (None, each.method) and dataset in (None, each.dataset)]


def _of_source(source: str) -> Collection[Reference]:
    """Return the references of papers, of mmsegmentation's zoo, or of both."""
    if source == "papers":
        return catalog.references().values()
    from benchmark.catalog import mmseg_zoo

    return (mmseg_zoo.published().references if source == "mmseg" else mmseg_zoo.everything()).values()


def _values(references: Collection[Reference], field: str) -> list[str]:
    return sorted({str(getattr(each, field)) for each in references if getattr(each, field)})


def _known(field: str) -> dict[str, list[str]]:
    """Return the values of a field of references by the source that a line of the shell names, for its completion."""
    return {
        '*" mmseg "*': _values(_of_source("mmseg"), field),
        '*" all "*': _values(_of_source("all"), field),
        "*": _values(_of_source("papers"), field),
    }


def _row(reference: Reference, value: float | str) -> dict[str, Any]:
    """Return the fields that identify a reference; `ours` is our architecture of the same network."""
    return {
        "name": reference.name,
        "architecture": reference.architecture,
        "ours": reference.ours,
        "metric": reference.metric,
        "value": value,
        "unit": reference.unit,
        "dataset": reference.dataset,
        "split": reference.split,
        "scales": reference.protocol.scales,
    }
