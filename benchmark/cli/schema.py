"""`segbench schema`: the JSON Schema of a result as it is written today, or of what a command prints with --json."""

from __future__ import annotations

import argparse
from itertools import pairwise

from benchmark.cli import completion, printing
from benchmark.errors import UserError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the argument of the command."""
    of = parser.add_argument(
        "of",
        nargs="*",
        metavar="COMMAND",
        help="a command with --json, such as `leaderboard` or `data verify` (default: the schema of a result file)",
    )
    completion.words(of, "outputs", _next_words, by="$before")


def _next_words() -> dict[str, list[str]]:
    """Return the words of commands with a schema, by the word before them."""
    from benchmark.cli.outputs import OUTPUTS

    found: dict[str, list[str]] = {}
    for before, word in (pair for name in OUTPUTS for pair in pairwise(["schema", *name.split()])):
        found.setdefault(before, []).append(word)
    return {before: list(dict.fromkeys(words)) for before, words in found.items()}


def run(args: argparse.Namespace) -> int:
    """Print the schema."""
    from benchmark.cli import outputs

    if not args.of:
        from benchmark.results.record import Record

        found = Record.model_json_schema(mode="serialization")
        printing.print_json({"$schema": "https://json-schema.org/draft/2020-12/schema", **found})
        return 0
    command = " ".join(args.of)
    if command not in outputs.OUTPUTS:
        raise UserError(f"{command} prints no JSON: choose from {', '.join(outputs.OUTPUTS)}")
    printing.print_json(outputs.schema(command))
    return 0
