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
    assert not found
    assert training >= {"run", "plan", "train", "eval", "score", "profile", "config"}
    assert reading >= {"leaderboard", "verify", "results pack"}


def found_help(parser):
    text = parser._option_string_actions["--protocol"].help
    assert "(default: " in text
    return text
