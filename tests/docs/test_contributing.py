"""The commands of CONTRIBUTING.md that try an architecture work as they stand there."""


def test_every_command_of_the_page(page, capsys):
    assert len(page.commands) == 3
    for command in page.commands:
        page.run(command)
    assert "0.364" in capsys.readouterr().out
