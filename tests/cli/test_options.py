import pytest

from benchmark.cli import main


@pytest.mark.parametrize("command", [["list", "protocols"], ["show", "enet"], ["list", "references"]])
def test_json_and_format_json_are_the_same(command, capsys):
    outputs = []
    for words in (["--json"], ["--format", "json"], ["--format", "text"], []):
        assert main([*command, *words]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] != outputs[2] == outputs[3]
    assert outputs[0].startswith(("[", "{"))
