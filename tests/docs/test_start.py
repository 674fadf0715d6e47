"""The commands of docs/start.md work as they stand there, and print what it shows."""

import re

import pytest

RUN = r"^\[\d/2\] (\S+) seed 0: mIoU ([\d.]+) %, ([\d.]+) M parameters, ([\d.]+) G MACs"


def test_every_command_of_the_page(page, capsys):
    assert len(page.commands) == 8
    for command in page.commands:
        page.run(command)
    printed, said = capsys.readouterr()
    shown = {name: figures for name, *figures in re.findall(RUN, page.text, re.MULTILINE)}
    made = {name: figures for name, *figures in re.findall(RUN, printed + said, re.MULTILINE)}
    assert len(shown) == 2
    for name, (miou, *costs) in shown.items():
        assert float(made[name][0]) == pytest.approx(float(miou), abs=1.5)  # processors differ in the last bits
        assert made[name][1:] == costs
    assert "no problems" in printed
    assert "reports/index.html" in printed
    assert "2 results, 0 problems" in printed
    exec(compile(page.block("import segbench as sb"), "example", "exec"), {"__name__": "__main__"})
    printed = capsys.readouterr().out
    assert "espnet-c" in printed
