"""Commands as users call them, on networks of mmsegmentation."""

import argparse

import pytest
from mmengine.registry import DefaultScope

from benchmark.cli import COMMANDS, build_parser, main


@pytest.fixture(scope="module")
def mmseg_scope():
    """Names in a config are mmsegmentation's, as under its Runner."""
    with DefaultScope.overwrite_default_scope("mmseg"):
        yield


@pytest.fixture(autouse=True)
def usual_terminal(monkeypatch):
    """Where a test has a terminal, its lines can be drawn again, whatever the tests are run in."""
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture
def segbench(capsys):
    """Run a command, and return its exit code and what it printed to stdout and stderr."""

    def call(*words):
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return call


@pytest.fixture(scope="session")
def parsers():
    """The parsers of all commands, and of what is below them, by name: `run`, `data list`."""

    def below(name, parser):
        actions = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
        found = {} if actions else {name: parser}
        for word, sub in (pair for action in actions for pair in action.choices.items()):
            found |= below(f"{name} {word}".strip(), sub)
        return found

    return below("", build_parser(*COMMANDS))
