"""`segbench cite`: print the BibTeX of what a leaderboard is made of."""

from __future__ import annotations

import argparse
import json
import sys

from benchmark.catalog import catalog
from benchmark.cli import options, printing, selection
from benchmark.errors import UserError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    selection.chosen_rows(parser)
    selection.stored_protocol(parser)
    options.models(parser)
    selection.mix_code(parser)
    options.results(parser)
    printing.json_output(parser, "print entries, and their keys by architecture and dataset, as JSON (default: BibTeX)")
    options.output(parser)


def run(args: argparse.Namespace) -> int:
    """Print the entries; return 1 if a result could not be read."""
    from benchmark.analysis import view
    from benchmark.reporting import citation

    patterns = view.split(args.architectures)
    protocol, runs, problems = selection.stored_runs(args)
    found = view.groups_of(runs, patterns, [protocol] if protocol and patterns else [])
    if not found:
        if args.protocol:
            catalog.protocol(args.protocol)
        what = f" of {protocol}: name architectures to cite without results, or" if protocol else ":"
        raise UserError(f"no results in {args.results}/{what} make some with `segbench run`")
    rows = [row for group in found for row in (group.table if patterns else view.was_run(group.table))]
    for name in dict.fromkeys(row.architecture for row in rows if citation.key(row.architecture, row.method) is None):
        print(f"segbench: no paper is known of {name}", file=sys.stderr)
    datasets = [_dataset(group.protocol) for group in found if not group.runs]
    entries = citation.cited(found, rows, datasets)
    text = citation.joined(entries)
    if args.json:
        text = json.dumps(
            {
                "entries": [{"key": key, "bibtex": entry} for key, entry in entries.items()],
                "architectures": {row.architecture: citation.keys(row.architecture, row.method) for row in rows},
                "datasets": {name: citation.dataset_keys(name) for name in [*citation.datasets(found), *datasets]},
            },
            indent=2,
            ensure_ascii=False,
        )
    printing.output(text, args.output)
    return 1 if problems else 0


def _dataset(protocol: str) -> str:
    """Return the dataset of a protocol of the catalog."""
    from benchmark.configs import compose

    return str(compose.read_protocol(protocol).protocol.dataset)
