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
    named = [name for name in re.findall(r"`([\w-]+)`", row) if not name.startswith("--")]
    assert sorted(named) == sorted(catalog.architectures())


def test_figures_of_the_zoo_are_those_of_its_page(page):
    zoo = (page.path.parent / "zoo.md").read_text(encoding="utf-8")
    builds, counted, trained = re.search(r"^(\d+) build, (\d+) count, (\d+) train\.$", zoo, re.MULTILINE).groups()
    text = " ".join(page.text.split())
    assert f"The {len(catalog.zoo())} configs" in text
    assert f"MACs of {counted} are counted for an image of 360x480, and {trained} make a training step" in text
    assert int(builds) >= int(trained)


def test_the_home_page_counts_what_there_is(page):
    home = (page.path.parent / "index.md").read_text(encoding="utf-8")
    methods = {each.method for each in catalog.architectures().values()}
    assert f"The {len(catalog.architectures())} architectures of {len(methods)} methods" in home
