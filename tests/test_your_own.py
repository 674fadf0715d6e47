"""The commands of docs/your-own.md work as they stand there."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from benchmark.cli import main
from benchmark.datasets.catalog import open_splits

PAGE = Path(__file__).parents[1] / "docs" / "your-own.md"


def test_every_command_of_the_page(tmp_path, monkeypatch, capsys):
    if not PAGE.is_file():
        pytest.skip("no checkout")
    text = PAGE.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    sources = re.findall(r"```python\n# (\S+\.py)\n(.*?)```", text, re.DOTALL)
    assert {name for name, _ in sources} >= {"net.py", "config.py", "models/mymethod/mymethod_s.py"}
    for name, source in sources:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(source)
    Path("predictions").mkdir()
    test = open_splits("shapes", None)["test"]
    for index, name in enumerate(test.names):
        np.save(f"predictions/{name}.npy", test.label(index))
    commands = [line for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    assert len(commands) == 10
    for command in commands:
        program, *words = shlex.split(command)
        assert program == "segbench"
        assert main(words) == 0, command
    printed = capsys.readouterr().out
    assert "net.py:Net" in printed
    assert "net.py:Net(width=8)" in printed
    assert "mymethod_s" in printed
    assert "mIoU 100.00 %" in printed
