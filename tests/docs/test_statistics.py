"""The commands of docs/statistics.md print the figures of its examples, from the committed results."""

import json
import re
from pathlib import Path

import pytest

from benchmark.cli import main

ROOT = Path(__file__).parents[2]


def rows(page, *columns):
    """The rows of the table with these columns, their cells as text."""
    head = r"\| " + r" \| ".join(map(re.escape, columns)) + r" \|\n\|[-: |]+\|\n((?:\|.*\|\n)+)"
    (body,) = re.findall(head, page.text)
    return [[cell.strip(" `") for cell in line.strip("|\n").split("|")] for line in body.splitlines()]


@pytest.fixture
def called(page, monkeypatch, capsys):
    """Return what a command of the page prints as JSON on the committed results."""
    if not (ROOT / "results").is_dir():
        pytest.skip("no checkout")
    monkeypatch.chdir(ROOT)

    def called(start):
        (command,) = (each for each in page.commands if each.startswith(f"segbench {start}"))
        code = main(command.split()[1:])
        capsys.readouterr()
        assert main([*command.split()[1:], "--json"]) == code
        return json.loads(capsys.readouterr().out)

    return called


def test_the_leaderboard(page, called):
    (board,) = called("leaderboard")
    shown = rows(page, "#", "architecture", "mIoU (%)", "sd", "seeds")
    assert shown == [
        [
            f"{row['rank_low']}-{row['rank_high']}",
            row["architecture"],
            f"{row['miou_percent']:.2f}",
            "-" if row["miou_sd_percent"] is None else f"{row['miou_sd_percent']:.2f}",
            str(row["seeds"]),
        ]
        for row in board["rows"]
        if row["miou_percent"] is not None
    ]


def test_the_comparison(page, called):
    changes = {(each["architecture"], each["figure"]): each for each in called("compare")["changes"]}
    for name, base, new, change, interval, outcome in rows(
        page, "architecture", "base", "new", "change", "interval", "outcome"
    ):
        found = changes[name, "miou_percent"]
        numbers = [f"{found['base']:.2f}", f"{found['new']:.2f}", f"{found['change']:+.2f}"]
        assert [base, new, change, outcome] == [*numbers, found["outcome"]]
        assert interval == "{:+.2f} to {:+.2f}".format(*found["interval"])
    assert "sd 1.71" in changes["enet", "miou_percent"]["reason"]
    memory = changes["espnet-a", "inference_memory_bytes"]
    assert (f"{memory['change']:.1%}", memory["outcome"]) == ("5.6%", "regression")


def test_the_verdict(page, called):
    (found,) = (each for each in called("verify") if each["reference"] == "espnet-camvid-test-miou")
    (shown,) = rows(page, "architecture", "published", "ours", "verdict", "reason")
    measured = f"{found['measured']:.2f}"
    assert shown == [
        found["architecture"],
        str(found["published"]),
        measured,
        found["outcome"],
        found["reason"],
    ]


def test_every_outcome_is_explained(page):
    """Verdicts and outcomes of comparisons each have a row."""
    from typing import get_args

    from benchmark.analysis import regression
    from benchmark.verdicts import verdict

    for outcome in {*get_args(verdict.Outcome), *get_args(regression.Outcome)}:
        assert re.search(rf"^\| [^|]*\b{outcome}\b", page.text, re.MULTILINE), outcome
