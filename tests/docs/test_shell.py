"""The commands of docs/shell.md work as they stand there."""

import json
import re

from benchmark.cli import main, outputs


def test_every_command_of_the_page(page, filled, monkeypatch, capsys):
    monkeypatch.chdir(filled.root.parent)
    assert main(["report"]) == 0
    capsys.readouterr()
    for command in page.commands:
        if command.startswith("eval"):
            page.run(re.fullmatch(r'eval "\$\((.*)\)"', command)[1])
            assert re.search(r"complete -o bashdefault|compdef _shtab_segbench", capsys.readouterr().out)
            continue
        page.run(command)
        printed = capsys.readouterr().out
        if "completion" not in command:
            json.loads(printed)
    assert len(page.commands) == 11


def test_every_command_with_json_is_listed(page):
    listed = set(re.findall(r"`([a-z ]+)(?: --[a-z-]+)?`", page.text.partition("| prints |")[2]))
    assert listed >= set(outputs.OUTPUTS)
