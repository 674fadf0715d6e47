"""Commands and options that messages, help texts and documents name: the parser of each takes them."""

import argparse
import ast
import re
import shlex
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest

from benchmark.cli import COMMANDS, build_parser
from benchmark.errors import LISTED, unknown

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*ROOT.glob("benchmark/**/*.py"), *ROOT.glob("segbench/*.py")])
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("model_configs/*.md"), *ROOT.glob("experiments/*.md")]
)
FILLED = "FILLED"
"""What stands for a value that a message is formatted with."""
PROGRAMS = r"(?:python|pip|tensorboard|mlflow|docker|torchrun|sbatch|squeue|scancel|tox|pytest|git|tools/test.py)"
OTHERS = re.compile(rf"^{PROGRAMS} .*|`[^`]*\b{PROGRAMS} [^`]*`|pip install [^;`]*")
"""Commands of others, whose options are not ours."""


class Choices(list):
    """The choices of an argument, or a placeholder for one of them."""

    def __contains__(self, value):
        return super().__contains__(value) or value.isupper()


class Parser(argparse.ArgumentParser):
    """A parser that raises, but not where arguments are missing: a mention names a part of a command."""

    def error(self, message):
        if "arguments are required" not in message:
            raise ValueError(message)


@cache
def parser():
    """Return the parser of all commands, which takes placeholders as well as values."""
    found = build_parser(*COMMANDS)
    for each in subparsers(found):
        each.__class__ = Parser
        each.allow_abbrev = False
        for action in each._actions:
            if isinstance(action, argparse._SubParsersAction):
                continue
            action.type = None
            action.choices = action.choices and Choices(action.choices)
            if action.option_strings and action.nargs is None:
                action.nargs = "?"
    return found


def subparsers(found):
    yield found
    for action in found._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from subparsers(each)


@cache
def options():
    return {option for each in subparsers(parser()) for option in each._option_string_actions}


def texts(path):
    """Yield the texts of a module, with placeholders for values that are formatted."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    parts = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else FILLED for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.value


def commands(text):
    """Yield the commands of segbench in a text: in backquotes, in parentheses, after a colon, or in blocks of code."""
    fenced = "\n".join(re.findall(r"^```(?:bash|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"`(segbench\s[^`]+)`|\((?:see )?(segbench [a-z][^()`]*)\)|: (segbench [a-z][^();:`]*)", text)
    found = [parts for parts in found if not parts[2] or parts[2].split()[1] in COMMANDS]  # else it is prose
    lines = re.findall(r"^(?:\$ )?(segbench [a-z][^#\n]*)", fenced.replace("\\\n", " "), re.MULTILINE)
    for command in [*map("".join, found), *lines]:
        yield re.split(r"[|>&;]| \.\.\.", " ".join(command.replace("\\|", "/").split()))[0]


def check(command):
    """Parse a command as it is typed, with its placeholders.

    Raises:
        ValueError: there is no such command or option, or it takes no such argument.
    """
    words = [re.sub(rf"(?<=\w){FILLED}", "", word) for word in shlex.split(command)[1:]]
    words = [FILLED if FILLED in word else word for word in words if not re.fullmatch(rf"--{FILLED}|[\[(].*", word)]
    if words and words[0] not in ("COMMAND", FILLED):
        with suppress(SystemExit):  # of --help
            parser().parse_args(words)


def messages():
    return [(path, text) for path in SOURCES for text in texts(path) if "segbench " in text or "--" in text]


def test_commands_in_messages():
    wrong, tried = [], 0
    for path, text in messages():
        for command in commands(text):
            tried += 1
            try:
                check(command)
            except ValueError as error:
                wrong.append(f"{path.relative_to(ROOT)}: {command}: {error}")
    assert not wrong, "\n".join(wrong)
    assert tried > 60


def test_options_in_messages():
    wrong = [
        f"{path.relative_to(ROOT)}: {option} in {text[:80]!r}"
        for path, text in messages()
        if " " in text  # else it is an argument of a command of others
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", OTHERS.sub("", text))
        if option not in options()
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_documents(path):
    if path.name == "CHANGELOG.md":
        pytest.skip("names commands of earlier versions, too")
    text = path.read_text(encoding="utf-8")
    wrong = []
    for command in commands(text):
        try:
            check(command)
        except ValueError as error:
            wrong.append(f"{command}: {error}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("kind", LISTED)
def test_an_unknown_name_leads_to_a_list_that_there_is(kind):
    (command,) = commands(str(unknown(kind, "zzzz", [])))
    check(command)


def test_an_unknown_name_of_another_kind_leads_to_no_list():
    assert str(unknown("key", "zzzz", ["a", "b"])) == "unknown key 'zzzz': choose from a, b"
    assert str(unknown("key", "zzzz", map(str, range(20)))).endswith("choose from 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...")


def test_the_check_finds_what_there_is_not():
    for command in ("segbench list names", "segbench run enet --seed 1", "segbench data find camvid", "segbench frob"):
        with pytest.raises(ValueError, match=r"invalid choice|unrecognized"):
            check(command)
    for command in ("segbench run ARCH -p FILLED", "segbench list zoo --check", "segbench train --init OUT"):
        check(command)
