"""What commands print for programs, and where the text goes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


class _Format(argparse.Action):
    """`--format json` of a command that prints either text or JSON."""

    def __call__(self, _parser: Any, namespace: argparse.Namespace, value: Any, _option: str | None = None) -> None:
        namespace.json = value == "json"


def json_output(parser: argparse._ActionsContainer, what: str = "print JSON (default: text)") -> None:
    """Add --json, and --format json as another name of it."""
    parser.add_argument("--json", action="store_true", help=what)
    parser.add_argument(
        "--format",
        action=_Format,
        choices=["text", "json"],
        default=argparse.SUPPRESS,
        help="output format; json is the same as --json (default: text)",
    )


def print_json(value: Any) -> None:
    """Print what a command found as JSON, the only text on stdout; `benchmark.cli.outputs` has the schemas."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def output(text: str, path: Path | None) -> None:
    """Print a text, or write it to a file.

    Raises:
        UserError: the file cannot be written.
    """
    if path is None:
        print(text)
        return
    from benchmark.files.atomic import replacing

    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
