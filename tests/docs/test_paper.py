"""The commands and the code of the page work as they stand there."""

import re
import runpy
from pathlib import Path

from benchmark.reporting.figure import FORMATS


def test_every_command_of_the_page(page, capsys):
    assert len(page.commands) == 11
    for command in page.commands:
        page.run(command)
    printed = capsys.readouterr().out
    assert "4 results, 0 problems" in printed
    cited = {key for name in ("table.tex", "small.tex") for key in _cited(Path(name).read_text(encoding="utf-8"))}
    assert cited <= set(re.findall(r"^@\w+\{(.+),$", Path("refs.bib").read_text(encoding="utf-8"), re.MULTILINE))
    assert {path.suffix[1:] for path in Path().glob("*.*")} >= {*FORMATS, "zip", "bib", "tex"}
    for name in ("table", "small"):
        assert f"\\input{{{name}}}" in page.text
    Path("code.py").write_text(page.block("import segbench as sb"))
    runpy.run_path("code.py")
    assert r"\begin{table" in capsys.readouterr().out


def _cited(text):
    return [key for keys in re.findall(r"\\cite\{(.+?)\}", text) for key in keys.split(",")]
