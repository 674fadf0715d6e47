"""What the repository shows of itself is what its results give."""

from pathlib import Path

import pytest

from benchmark.cli import main

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch):
    if not (ROOT / "results").is_dir() or not (ROOT / "reports").is_dir():
        pytest.skip("no checkout")
    monkeypatch.chdir(ROOT)


def test_the_results_are_valid(capsys):
    assert main(["validate", "results"]) == 0, capsys.readouterr().out


def test_reports_and_readme_are_what_the_results_give(capsys):
    assert main(["report", "--check"]) == 0, capsys.readouterr().out


def test_the_readme_has_a_leaderboard():
    assert "<!-- segbench:leaderboard camvid_360x480_scratch " in (ROOT / "README.md").read_text(encoding="utf-8")
