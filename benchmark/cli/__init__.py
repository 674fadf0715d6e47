"""The command line: `segbench COMMAND`. One module a command; heavy imports live inside the commands."""

from __future__ import annotations

import argparse
import io
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from benchmark import __version__, backend
from benchmark.errors import UserError
from benchmark.files.atomic import shortened

COMMANDS = {
    "run": "profile, train and evaluate architectures, record the results, render the report",
    "plan": "what run would do, and how long it would take",
    "train": "train one architecture",
    "eval": "evaluate a checkpoint",
    "score": "score the predictions of another program, and keep them as a result",
    "import": "convert third-party weights",
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
    "validate": "recompute scores, and name what contradicts itself in results",
    "schema": "print the JSON Schema of a result",
    "doctor": "versions, devices, and what the backend adapted",
}

MODULES = {"import": "import_"}
"""Modules of commands whose names Python keeps for itself."""


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """Return the parser; only the module of `command` is imported, so that help and listings stay fast."""
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
    if sys.stdout is None:  # or the next file that is opened would be it
        return _fail("the standard output is closed: send it to a file, or to /dev/null", 2)
    try:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # names of files need not be text
        args = build_parser(command if command in COMMANDS else None).parse_args(argv)
        args.command_line = shlex.join(["segbench", *argv])
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except UserError as error:
        return _fail(str(error), 2)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:  # the reader of our output has gone, as in `segbench list | head`
        _drop_output()
        return 141
    except MemoryError:
        return _fail("the memory of this machine does not suffice", 2)
    except OSError as error:  # of a path that no file system takes, a disk that is full, a folder that may not be read
        _drop_output()
        where = f"{shortened(Path(os.fsdecode(error.filename)))}: " if isinstance(error.filename, str | bytes) else ""
        return _fail(f"{where}{error.strerror or error}", 2)


def _fail(message: str, code: int) -> int:
    prefix = "segbench: " if code == 130 else "segbench: error: "
    with suppress(OSError):  # its reader has gone, or its disk is full
        print(f"{prefix}{' '.join(message.split())}", file=sys.stderr)
    return code


def _drop_output() -> None:
    """Let what is still to be written go nowhere: Python writes it at its end, and would complain."""
    with suppress(OSError, ValueError, AttributeError):  # there is no stdout, or one that is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
