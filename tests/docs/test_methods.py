"""The commands of docs/methods.md work, and its table has every architecture."""

import re

from benchmark.catalog import catalog


def test_every_command_of_the_page(page, capsys):
    assert len(page.commands) == 4
    for command in page.commands:
        page.run(command)
    assert "segformer_mit-b0" in capsys.readouterr().out


def test_the_table_has_every_architecture(page):
    row = page.text.partition("|---|---|\n")[2].partition("\n\n")[0]
    named = re.findall(r"`([\w{},-]+)`", row)
    modules = re.fullmatch(r"context-{([a-z,]+)}_r50-d8", next(name for name in named if "{" in name))[1]
    named = [name for name in named if "{" not in name and not name.startswith("--")]
    named += [f"context-{module}_r50-d8" for module in modules.split(",")]
    assert sorted(named) == sorted(catalog.architectures())
