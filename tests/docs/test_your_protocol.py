"""The commands of docs/your-protocol.md work as they stand there."""


def test_every_command_of_the_page(page, capsys):
    assert page.files() == {"warm.py"}
    assert len(page.commands) == 6
    for command in page.commands:
        page.run(command)
    printed = capsys.readouterr().out
    assert "mine (fingerprint" in printed
    assert "As shapes_64x64_smoke, with another learning rate." in printed
