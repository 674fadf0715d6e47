"""The command line: `segbench COMMAND`. Each command is a module, which makes heavy imports when it runs."""

from __future__ import annotations

import argparse
import io
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from benchmark import __version__, backend
from benchmark.errors import Terminated, UserError
from benchmark.files.atomic import shortened

COMMANDS = {
    "run": "profile, train and evaluate architectures, record the results, render the report",
    "plan": "list what `run` would do, with an estimate of the time",
    "status": "print how runs of this machine or of Slurm stand",
    "train": "train one architecture",
    "eval": "evaluate a checkpoint",
    "predict": "predict label maps of images with given weights",
    "score": "score predictions of another program and store the result",
    "import": "convert third-party weights",
    "profile": "measure parameters, MACs and latency",
    "verify": "compare results with published figures: a verdict and its reason for each",
    "rerun": "repeat the run of a stored result and check that it is reproduced",
    "compare": "compare two sets of results and report regressions",
    "leaderboard": "print the leaderboard of a protocol from results/",
    "cite": "print the BibTeX of a leaderboard: methods, datasets, the suite, result ids",
    "figure": "draw a figure of a leaderboard for a paper, as PDF, SVG or PNG",
    "bundle": "pack results, configs, environment and references into one archive to cite",
    "report": "render reports/index.html from results/",
    "list": "list architectures, protocols, methods or references",
    "show": "print the details of one of them",
    "config": "print architecture x protocol as one mmsegmentation config",
    "protocol": "write a protocol file of your own",
    "data": "download, prepare and verify datasets",
    "results": "export results to an archive, import results from one",
    "validate": "recompute derived values of stored results, report inconsistencies",
    "schema": "print the JSON Schema of a result, or of the JSON of a command",
    "doctor": "print versions and devices, check the installation",
    "completion": "print a script that completes commands, options, names and files in a shell",
}

MODULES = {"import": "import_"}
"""Modules of commands whose names are Python keywords."""


def build_parser(*commands: str) -> argparse.ArgumentParser:
    """Return the parser; only the modules of `commands` are imported, so that help and listings stay fast."""
    parser = _Parser(prog="segbench", description="A benchmark and reproducibility suite for semantic segmentation.")
    parser.add_argument("--version", action="version", version=f"segbench {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        sub = subparsers.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name in commands:
            module = import_module(f"benchmark.cli.{MODULES.get(name, name)}")
            module.configure(sub)
            sub.set_defaults(run=module.run)
    return parser


class _Parser(argparse.ArgumentParser):
    """A parser that refuses arguments in one line, which names a similar option where there is one."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}; see `{self.prog} --help`\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            alike = get_close_matches(unknown[0].partition("=")[0], self._option_string_actions, n=1, cutoff=0.8)
            hint = f" (did you mean {alike[0]}?)" if alike else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return found, unknown


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0 success, 1 success but the command found a problem, 2 invalid input,
        3 interrupted by the time budget with runs left, 130 interrupted by the user, 143 and 129 ended by SIGTERM and
        SIGHUP.
    """
    backend.silence()
    argv = sys.argv[1:] if argv is None else argv
    command = next((word for word in argv if not word.startswith("-")), None)
    if sys.stdout is None:  # else the next opened file would get its descriptor
        return _fail("the standard output is closed: send it to a file, or to /dev/null", 2)
    try:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # file names need not be valid text
        args = build_parser(*[command] if command in COMMANDS else []).parse_args(argv)
        args.command_line = shlex.join(["segbench", *argv])
        from benchmark.cli import options

        with options.catalog_of(args), _signals_raised():
            code: int = args.run(args)
        sys.stdout.flush()
        return code
    except UserError as error:
        return _fail(str(error), 2)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except Terminated as error:
        return _fail(f"ended by {signal.Signals(error.number).name}", 128 + error.number)
    except BrokenPipeError:  # the reader closed the pipe, as in `segbench list | head`
        _drop_output()
        return 141
    except MemoryError:
        return _fail("out of memory", 2)
    except OSError as error:  # for example an invalid path, a full disk or missing permissions
        _drop_output()
        where = f"{shortened(Path(os.fsdecode(error.filename)))}: " if isinstance(error.filename, str | bytes) else ""
        return _fail(f"{where}{error.strerror or error}", 2)


@contextmanager
def _signals_raised() -> Iterator[None]:
    """Raise `Terminated` at SIGTERM and SIGHUP, so that processes and temporary folders of the command are cleaned up.

    Later signals of these are ignored meanwhile. A signal that is ignored, as under nohup, stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, _: object) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise Terminated(number)

    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        for each, handler in before.items():
            if handler == signal.SIG_DFL:
                signal.signal(each, terminate)
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _fail(message: str, code: int) -> int:
    prefix = "segbench: " if code > 128 else "segbench: error: "
    with suppress(OSError):  # its reader closed the pipe, or the disk is full
        print(f"{prefix}{' '.join(message.split())}", file=sys.stderr)
    return code


def _drop_output() -> None:
    """Redirect unwritten output to the null device; Python flushes it at exit and would raise."""
    with suppress(OSError, ValueError, AttributeError):  # stdout is missing or is not a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
