"""The pages list every command that takes -p and --data, with the default that it has."""

import argparse
import re
from pathlib import Path

import pytest

from benchmark.cli import COMMANDS, build_parser

DOCS = Path(__file__).parents[2] / "docs"

if not DOCS.is_dir():
    pytest.skip("no checkout", allow_module_level=True)


def commands_with(option):
    """Return the commands that take an option, those with kinds or actions as `data`, or `results pack`."""
    found = {}

    def visit(name, parser):
        if action := parser._option_string_actions.get(option):
            found[name.partition(" ")[0] if name.startswith("figure ") else name] = action
        for action in parser._actions:
            for word, sub in action.choices.items() if isinstance(action, argparse._SubParsersAction) else ():
                visit(f"{name} {word}".strip(), sub)

    visit("", build_parser(*COMMANDS))
    return found


def named(text):
    return set(re.findall(r"`([a-z ]+)`", text))


def test_defaults_of_protocols():
    rows = (DOCS / "start.md").read_text(encoding="utf-8").partition("## What is the default of `-p`?")[2]
    table = re.findall(r"^\| (that .*?|`rerun`) \| (.*?) \|$", rows.partition("\n## ")[0], re.MULTILINE)
    by_default = {}
    for name, action in commands_with("--protocol").items():
        by_default.setdefault(action.help, set()).add(name)
    assert sorted(map(sorted, by_default.values())) == sorted(sorted(named(commands)) for commands, _ in table)


def test_commands_that_take_a_file_of_a_protocol():
    (listed,) = re.findall(r"Wherever `-p` names a protocol\n?\s*\((.*?)\)", text("your-protocol.md"), re.DOTALL)
    assert named(listed) == set(commands_with("--protocol"))


def test_commands_that_take_a_card():
    (listed,) = re.findall(r"The card works with\s(.*?)\.", text("your-data.md"), re.DOTALL)
    assert named(listed) | {"protocol new"} == set(commands_with("--data"))


def text(name):
    return (DOCS / name).read_text(encoding="utf-8")
