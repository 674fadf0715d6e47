"""The command line: `segbench COMMAND`. One module a command; heavy imports live inside the commands."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from importlib import import_module

from benchmark import __version__, backend
from benchmark.errors import UserError

COMMANDS = {
    "run": "profile, train and evaluate architectures, record the results, render the report",
    "plan": "what run would do, and how long it would take",
    "train": "train one architecture",
    "eval": "evaluate a checkpoint",
    "import": "weights from elsewhere, by the names of our modules",
    "profile": "parameters, MACs and latency",
    "verify": "results against published figures: a verdict for each, with its reason",
    "rerun": "run a result again: is it reproduced?",
    "compare": "two sets of results: what got worse, and by how much",
    "leaderboard": "the table of one protocol, from results/",
    "report": "render reports/index.html from results/",
    "list": "architectures, protocols, methods or references",
    "show": "what is known of one of them",
    "config": "print architecture x protocol as one mmsegmentation config",
    "data": "get and verify datasets",
    "results": "pack results into one archive, add those of an archive",
    "validate": "recompute every stored metric from its counts",
    "schema": "print the JSON Schema of a result",
    "doctor": "versions, devices, and what the backend adapted",
}

MODULES = {"import": "import_"}
"""Modules of commands whose names Python keeps for itself."""


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """The parser; only the module of `command` is imported, so that help and listings stay fast."""
    parser = argparse.ArgumentParser(
        prog="segbench", description="A benchmark and reproducibility suite for semantic segmentation."
    )
    parser.add_argument("--version", action="version", version=f"segbench {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        sub = subparsers.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == command:
            module = import_module(f"benchmark.cli.{MODULES.get(name, name)}")
            module.configure(sub)
            sub.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0 done, 1 done and something is wrong with what was looked at, 2 a mistake in what was given,
        3 stopped by a time budget with something left, 130 interrupted.
    """
    backend.silence()
    argv = sys.argv[1:] if argv is None else argv
    command = next((word for word in argv if not word.startswith("-")), None)
    args = build_parser(command if command in COMMANDS else None).parse_args(argv)
    args.command_line = shlex.join(["segbench", *argv])
    try:
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except UserError as error:
        print(f"segbench: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("segbench: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as in `segbench list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
