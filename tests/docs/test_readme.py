"""The commands of README.md are those of docs/start.md, which tests execute, and print what it shows."""

import re


def test_commands_and_output_are_those_of_the_page(page):
    start = (page.path.parent / "docs" / "start.md").read_text(encoding="utf-8")
    command, *output = page.commands
    assert f"```bash\n{command.removeprefix('$ ')}\n```" in start
    assert output
    assert "\n".join(output) in start
    assert re.search(r"`segbench data get camvid`", page.text)
