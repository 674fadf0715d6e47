"""The commands of docs/start.md work as they stand there."""


def test_every_command_of_the_page(page, capsys):
    assert len(page.commands) == 8
    for command in page.commands:
        page.run(command)
    printed = capsys.readouterr().out
    assert "no problems" in printed
    assert "reports/index.html" in printed
    assert "2 results, 0 problems" in printed
    exec(compile(page.block("import segbench as sb"), "example", "exec"), {"__name__": "__main__"})
    printed = capsys.readouterr().out
    assert "espnet-c" in printed
