"""A hook of MkDocs: makes the reference of all commands from their argparse parsers."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmark.cli import COMMANDS, build_parser

PAGE = "commands.md"
HEAD = r"""# Commands

`segbench COMMAND --help` prints the same. Pages: [executors](executors.md), [Slurm](slurm.md),
[several GPUs](several-gpus.md), [protocol files](your-protocol.md), [dataset cards](your-data.md).

## Exit codes

| code | meaning |
| ---: | --- |
| 0 | success |
| 1 | the command found a problem: a failed run, a regression, a missing or invalid result, a verdict "differs" |
| 2 | invalid input, or what cannot be done here, such as a run that `rerun` cannot repeat; one line says why |
| 3 | `run` left runs after `--time-budget`, or another process has them; `status`: some have not ended |
| 3 | `compare --strict`: inconclusive |
| 129 | ended by SIGHUP, as when the terminal closes |
| 130 | interrupted by Ctrl-C |
| 141 | the reader of a pipe closed it, as in `segbench list \| head` |
| 143 | ended by SIGTERM |

## Overview
"""


@event_priority(50)  # before htmlproofer, which looks for targets of links among the files
def on_files(files: Files, config: Any) -> Files:
    """Add the page."""
    files.append(File.generated(config, PAGE, content="\n".join([HEAD, *_overview(), *_reference()])))
    return files


def _overview() -> Iterator[str]:
    yield from ("| command | |", "| --- | --- |")
    for name, summary in COMMANDS.items():
        yield f"| [`segbench {name}`](#segbench-{name}) | {_text(summary)} |"
    yield ""


def _reference() -> Iterator[str]:
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "82"  # of a line of usage
    for name in COMMANDS:
        yield from _section(_parsers(build_parser(name))[name], 2)
    os.environ.update({"COLUMNS": before} if before else {})


def _section(parser: argparse.ArgumentParser, level: int) -> Iterator[str]:
    """Yield a command with its arguments, and the actions below it."""
    yield from (f"{'#' * level} {parser.prog}", "", _text(parser.description or ""), "")
    yield from ("```text", parser.format_usage().removeprefix("usage: ").rstrip(), "```", "")
    for group in parser._action_groups:
        actions = [each for each in group._group_actions if not _is_hidden(each)]
        if not actions:
            continue
        own_title = group.title not in ("positional arguments", "options")
        description = f": {group.description}" if group.description else ""
        yield f"| {_text(f'{group.title}{description}') if own_title else 'argument'} | |"
        yield "| --- | --- |"
        for action in actions:
            yield f"| {_names(action)} | {_help(parser, action)} |"
        yield ""
    if parser.epilog:
        yield from (_text(parser.epilog[0].upper() + parser.epilog[1:]) + ".", "")
    for each in _parsers(parser).values():
        yield from _section(each, level + 1)


def _parsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of the commands or actions below one."""
    found = (each.choices for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    return dict(next(found, {}))


def _is_hidden(action: argparse.Action) -> bool:
    return isinstance(action, argparse._HelpAction | argparse._SubParsersAction) or action.help == argparse.SUPPRESS


def _names(action: argparse.Action) -> str:
    formatter = argparse.HelpFormatter("")
    if not action.option_strings:
        return f"`{formatter._format_args(action, action.metavar or action.dest)}`"
    takes = "" if action.nargs == 0 else f" {formatter._format_args(action, action.metavar or action.dest.upper())}"
    if action.choices is not None:
        takes = f" {{{','.join(map(str, action.choices))}}}"
    return ", ".join(f"`{each}{takes}`".replace("|", r"\|") for each in action.option_strings)


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    text = argparse.HelpFormatter(parser.prog)._expand_help(action) if action.help else ""
    if not action.option_strings and action.choices is not None:
        text += f"; one of {', '.join(f'`{each}`' for each in action.choices)}"
    return _text(text.removeprefix("; "))


def _text(text: str) -> str:
    """Escape what Markdown would read as markup or as the end of a cell, outside of code."""
    parts = text.split("`")
    for index in range(0, len(parts), 2):
        for character in "*_<>[]":
            parts[index] = parts[index].replace(character, f"\\{character}")
    return "`".join(parts).replace("|", r"\|").replace("\n", " ")
