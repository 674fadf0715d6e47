"""The commands of docs/openmmlab.md work as they stand there."""

import re
import runpy
import shlex
from importlib.util import find_spec
from pathlib import Path

import mmseg
import pytest

from benchmark.cli import main

PAGE = Path(__file__).parents[1] / "docs" / "openmmlab.md"
TOOLS = Path(mmseg.__file__).parent / ".mim"


def test_every_command_of_the_page(tmp_path, monkeypatch, capsys):
    if not PAGE.is_file():
        pytest.skip("no checkout")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mmengine.runner.runner.collect_env", dict)  # it runs compilers
    monkeypatch.setenv("LOCAL_RANK", "0")  # which the tools set
    text = PAGE.read_text(encoding="utf-8")
    commands = [line for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    assert len(commands) == 8
    for command in commands:
        program, *words = shlex.split(command)
        file = words[words.index(">") + 1] if ">" in words else None
        if program == "python":
            monkeypatch.setattr("sys.argv", words)
            runpy.run_path(str(TOOLS / words[0]), run_name="__main__")
            continue
        assert program == "segbench"
        if "tensorboard" in words and find_spec("tensorboard") is None:
            continue
        capsys.readouterr()
        assert main(words[: words.index(">")] if file else words) == 0, command
        printed = capsys.readouterr().out
        if file:
            Path(file).write_text(printed)
        elif "score" in words:
            assert re.search(r"mIoU \d", printed)
    assert Path("more/iter_5.pth").is_file()
