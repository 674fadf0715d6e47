"""The live display: whatever the width, counter, bar and time left are complete."""

import io

import pytest

from benchmark.catalog import catalog
from benchmark.cli.live import ProgressRow, display, grid

LONGEST = max((*catalog.architectures(), *catalog.zoo()), key=len)


def drawn(rows, width):
    from rich.console import Console

    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(grid(rows, width))
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [64, 80, 100, 200])
@pytest.mark.parametrize("phase", ["start", "profile", "train 1/2", "val", "test"])
def test_names_are_shortened_and_counters_are_not(width, phase):
    row = ProgressRow(
        f"{LONGEST} seed 12", phase, 119999, 160000, "12.3/s", "3d 04:00:00 left", "mIoU 41.5", "loss 0.123"
    )
    (line,) = drawn([row], width)
    assert len(line) <= width
    assert phase in line
    assert "119999/160000" in line
    assert "3d 04:00:00 left" in line
    assert "━" in line
    assert line.startswith(row.name[:6])
    assert width < 80 or " seed 12  " in line


def test_on_a_very_narrow_terminal_names_are_shortened_further():
    rows = [ProgressRow(f"{LONGEST} seed 0", "starting", 0, 4, left="0:16 left"), ProgressRow("all runs", "", 0, 2)]
    first, last = drawn(rows, 38)
    assert max(len(first), len(last)) <= 38
    assert first.endswith("0/4  0:16 left")
    assert "…" in first
    assert last.startswith("all ")


def test_ctrl_c_leaves_no_line_behind(monkeypatch):
    """Its echo, two characters at the end of the last line, does not wrap."""
    shown = display(lambda: [ProgressRow(f"{LONGEST} seed 0", "train", 1, 4, left="0:16 left")])
    monkeypatch.setattr(type(shown.console), "width", 80)
    shown.console.file = io.StringIO()
    shown.console.print(shown.get_renderable())
    (line,) = shown.console.file.getvalue().splitlines()
    assert len(line) <= 80 - len("^C")


def test_a_wide_terminal_shows_everything():
    rows = [
        ProgressRow("enet seed 0", "train", 1, 2, "12.3/s", "0:10 left", "mIoU 41.5", "loss 0.123"),
        ProgressRow("all runs", "", 0, 46),
    ]
    first, last = drawn(rows, 200)
    assert [text in first for text in (rows[0].name, "12.3/s", "mIoU 41.5", "loss 0.123")] == [True] * 4
    assert "0/46" in last


def test_what_is_not_known_is_a_dash():
    (line,) = drawn([ProgressRow("enet", "start", 0, 0)], 80)
    assert "0/-" in line
