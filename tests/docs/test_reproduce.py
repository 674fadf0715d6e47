"""The commands of docs/reproduce.md work as they stand there."""

from pathlib import Path


def test_every_command_of_the_page(page, camvid_miniature, monkeypatch, capsys):
    monkeypatch.setenv("SEGBENCH_DATA", str(camvid_miniature))
    assert len(page.commands) == 11
    for command in page.commands:
        ids = [path.stem for path in Path("results").rglob("*.json")]
        page.run(command, RUN_ID=ids[0] if ids else "")
    printed = capsys.readouterr().out
    assert "not run" in printed
    assert "would decide" in printed
    assert "reproduced bitwise" in printed
    assert "1 added" in printed
    assert page.block("architecture ").splitlines()[1].split() in [line.split() for line in printed.splitlines()]
