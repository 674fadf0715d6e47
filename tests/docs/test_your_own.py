"""The commands of docs/your-own.md work as they stand there."""

from pathlib import Path

import numpy as np

from benchmark.datasets.catalog import open_splits


def test_every_command_of_the_page(page, capsys):
    assert page.files() >= {"net.py", "config.py", "models/mymethod/mymethod_s.py"}
    Path("predictions").mkdir()
    test = open_splits("shapes", None)["test"]
    for index, name in enumerate(test.names):
        np.save(f"predictions/{name}.npy", test.label(index))
    assert len(page.commands) == 10
    for command in page.commands:
        page.run(command)
    printed = capsys.readouterr().out
    assert "net.py:Net" in printed
    assert "net.py:Net(width=8)" in printed
    assert "mymethod_s" in printed
    assert "mIoU 100.00 %" in printed
