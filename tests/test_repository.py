"""What the repository shows of itself is what its results give."""

from pathlib import Path

import pytest

from benchmark.analysis.axes import differing
from benchmark.cli import main
from benchmark.configs import compose
from benchmark.configs.axes import axes_of
from benchmark.results.record import fingerprint
from benchmark.results.store import Store

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


def test_a_result_of_the_schedule_before_is_not_ranked_with_those_of_this_one():
    old = Store(Path("results")).find("8460e2c28d695e97").record
    config = compose.compose(old.architecture, old.protocol.name, **old.protocol.overrides)
    now = axes_of(config, old.dataset.digest)
    assert differing(old.protocol.axes, now) == {"precision": ("float32", "bfloat16")}
    assert fingerprint(now) != old.protocol.fingerprint
