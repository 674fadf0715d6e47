import argparse
import re

import pytest

from benchmark.catalog.catalog import DEFAULT_PROTOCOL
from benchmark.cli import main


@pytest.mark.parametrize("command", [["list", "protocols"], ["show", "enet"], ["list", "references"]])
def test_json_and_format_json_are_the_same(command, capsys):
    outputs = []
    for words in (["--json"], ["--format", "json"], ["--format", "text"], []):
        assert main([*command, *words]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] != outputs[2] == outputs[3]
    assert outputs[0].startswith(("[", "{"))


def test_a_protocol_that_is_not_named_is_the_same_for_commands_of_one_kind(parsers):
    """Commands that train or evaluate take the one of minutes, commands that read results all that there are."""
    found = {}
    for name, parser in parsers.items():
        if action := parser._option_string_actions.get("--protocol"):
            assert "-p" in action.option_strings
            found.setdefault((action.default, action.help), set()).add(name)
    assert found.pop((None, found_help(parsers["rerun"]))) == {"rerun"}  # which takes that of the result
    training = found.pop((DEFAULT_PROTOCOL, found_help(parsers["run"])))
    reading = found.pop((None, found_help(parsers["leaderboard"])))
    single = found.pop((None, found_help(parsers["bundle"])))
    assert not found
    assert single == {"bundle", *(name for name in parsers if name.startswith("figure "))}
    assert training >= {"run", "plan", "train", "eval", "score", "profile", "config"}
    assert reading >= {"leaderboard", "verify", "results pack"}


def found_help(parser):
    text = parser._option_string_actions["--protocol"].help
    assert "(default: " in text
    return text


def test_commands_on_one_protocol_say_that_it_must_be_named_where_there_are_several(parsers):
    assert "name one if there are several" in found_help(parsers["figure pareto"])


def test_every_argument_says_what_it_is(parsers):
    """Its default is no explanation, and neither is a page that an installed user does not have."""
    for name, parser in parsers.items():
        for action in parser._actions:
            if isinstance(action, argparse._HelpAction) or action.help == argparse.SUPPRESS:
                continue
            what = f"{name}: {'/'.join(action.option_strings) or action.dest}"
            text = re.sub(r"^default: .*|\(default: .*\)$", "", action.help or "").strip()
            assert len(text) > 5, what
            assert "docs/" not in text, what
        for group in parser._action_groups:
            assert "docs/" not in (group.description or ""), name


def test_a_folder_of_results_is_explained(parsers):
    for name, parser in parsers.items():
        if action := parser._option_string_actions.get("--results"):
            assert re.fullmatch(r"\w.* \(default: .*\)", action.help), name
            assert str(action.default) == "results", name
