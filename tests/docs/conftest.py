"""The pages of docs/ whose commands are executed."""

import re
import shlex
from contextlib import nullcontext, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from benchmark.cli import main

DOCS = Path(__file__).parents[2] / "docs"


BLOCK = re.compile(r"(?:<!-- not run: (?P<reason>[^>]*) -->\n)?```(?:bash|console)\n(?P<commands>.*?)```", re.DOTALL)
"""A block of commands, with the reason why tests do not execute it, if they do not."""


class Page:
    """A page of the documentation, whose commands run in the working directory."""

    def __init__(self, path):
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        blocks = [found["commands"] for found in BLOCK.finditer(self.text) if found["reason"] is None]
        self.commands = [line for block in blocks for line in block.splitlines() if line]

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

    def run(self, command, **replaced):
        """Run a command, with some of its words replaced, as a shell does; `> FILE` takes what it prints."""
        program, *words = (replaced.get(word, word) for word in shlex.split(command, comments=True))
        assert program == "segbench"
        file = Path(words[words.index(">") + 1]) if ">" in words else None
        with redirect_stdout(StringIO()) if file else nullcontext() as printed:
            assert main(words[:-2] if file else words) == 0, command
        if file:
            file.write_text(printed.getvalue())


@pytest.fixture
def page(request, tmp_path, monkeypatch):
    """Return the page that a module tests, in an empty folder."""
    name = request.module.__name__.rpartition(".")[2].removeprefix("test_").replace("_", "-")
    path = next((path for path in (DOCS / f"{name}.md", DOCS.parent / f"{name.upper()}.md") if path.is_file()), None)
    if path is None or not DOCS.is_dir():
        pytest.skip("no checkout")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return Page(path)
