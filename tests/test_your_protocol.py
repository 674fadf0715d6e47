"""The commands of docs/your-protocol.md work as they stand there."""

import re
import shlex
from pathlib import Path

import pytest

from benchmark.cli import main

PAGE = Path(__file__).parents[1] / "docs" / "your-protocol.md"


def test_every_command_of_the_page(tmp_path, monkeypatch, capsys):
    if not PAGE.is_file():
        pytest.skip("no checkout")
    text = PAGE.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (source,) = re.findall(r"```python\n# warm\.py\n(.*?)```", text, re.DOTALL)
    Path("warm.py").write_text(source)
    commands = [line for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    assert len(commands) == 6
    for command in commands:
        program, *words = shlex.split(command)
        assert program == "segbench"
        assert main(words) == 0, command
    printed = capsys.readouterr().out
    assert "mine (fingerprint" in printed
    assert "As shapes_64x64_smoke, with another learning rate." in printed
