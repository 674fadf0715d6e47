"""The pages of docs/ whose commands are executed."""

import re
import shlex
from pathlib import Path

import pytest

from benchmark.cli import main

DOCS = Path(__file__).parents[2] / "docs"


class Page:
    """A page of the documentation, whose commands run in the working directory."""

    def __init__(self, text):
        self.text = text
        blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
        self.commands = [line for block in blocks for line in block.splitlines()]

    def block(self, start):
        """Return the one code block that begins with an expression, without the fence."""
        (found,) = re.findall(rf"```\w*\n({start}.*?)```", self.text, re.DOTALL)
        return found

    def files(self):
        """Write the Python code that begins with the comment of a file name, and return the names."""
        sources = re.findall(r"```python\n# (\S+\.py)\n(.*?)```", self.text, re.DOTALL)
        for name, source in sources:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(source)
        return {name for name, _ in sources}

    def run(self, command):
        program, *words = shlex.split(command)
        assert program == "segbench"
        assert main(words) == 0, command


@pytest.fixture
def page(request, tmp_path, monkeypatch):
    """Return the page that a module tests, in an empty folder."""
    path = DOCS / f"{request.module.__name__.rpartition('.')[2].removeprefix('test_').replace('_', '-')}.md"
    if not path.is_file():
        pytest.skip("no checkout")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return Page(path.read_text(encoding="utf-8"))
