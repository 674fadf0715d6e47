"""The commands of docs/speed.md work as they stand there."""


def test_every_command_of_the_page(page, capsys):
    (command,) = page.commands
    page.run(command)
    printed = capsys.readouterr().out
    assert printed.startswith(page.block("architecture "))
