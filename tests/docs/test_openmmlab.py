"""The commands of docs/openmmlab.md work as they stand there."""

import re
import runpy
import shlex
from importlib.util import find_spec
from pathlib import Path

import mmseg

from benchmark.cli import main

TOOLS = Path(mmseg.__file__).parent / ".mim"


def test_every_command_of_the_page(page, monkeypatch, capsys):
    monkeypatch.setattr("mmengine.runner.runner.collect_env", dict)  # it runs compilers
    monkeypatch.setenv("LOCAL_RANK", "0")  # which the tools set
    assert len(page.commands) == 8
    for command in page.commands:
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
