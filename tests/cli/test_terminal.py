"""On a terminal no row of a table wraps, whatever the names: columns are left out, names and texts are shortened."""

import sys

import pytest

from benchmark.catalog import catalog
from benchmark.cli import main
from benchmark.execution.plan import Job
from benchmark.execution.spec import Spec
from benchmark.execution.sweep import Manifest
from benchmark.results.store import Store

LONGEST = max(catalog.zoo(), key=len)
SHORT = "mmseg:fcn_hr18s_4xb2-160k_cityscapes-512x1024"


@pytest.fixture
def printed(monkeypatch, capsys, tmp_path):
    """Returns the lines that a command prints on a terminal of a width, where no line is wider."""
    monkeypatch.chdir(tmp_path)

    def call(width, *words):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        monkeypatch.setenv("COLUMNS", str(width))
        main(list(words))
        lines = capsys.readouterr().out.splitlines()
        assert lines
        assert [line for line in lines if len(line) > width] == []
        return lines

    return call


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize(
    "words",
    [
        ["list"],
        ["list", "zoo"],
        ["list", "references"],
        ["data", "list"],
        ["doctor"],
        ["verify", LONGEST],
        ["verify", "--cost", SHORT],
        ["verify", "--speed", LONGEST],
        ["validate", "results"],
        ["report", "--check"],
        ["config", "fcn_r50-d8", "-p", "cityscapes_512x1024_80k", "--diff-zoo"],
    ],
    ids=" ".join,
)
def test_nothing_wraps(printed, tmp_path, make_record, words, width):
    Store(tmp_path / "results").add(*make_record(LONGEST, protocol="ade20k_512x512_160k"))
    printed(width, *words)


@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.parametrize("words", [["leaderboard"], ["compare", "results", "results"]], ids=" ".join)
def test_a_row_of_the_longest_name_shows_its_figures(printed, tmp_path, make_record, words, width):
    for seed in (0, 1):
        record, arrays = make_record(LONGEST, seed)
        Store(tmp_path / "results").add(record, arrays)
    lines = printed(width, *words)
    (row,) = (line for line in lines if line.lstrip("1 ").startswith("mmseg:"))
    assert "…" in row
    assert f"{record.evaluations[0].miou:.0f}"[0] in row.split("…")[1]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_plan_and_the_state_of_a_sweep_keep_seeds_states_and_times(printed, tmp_path, width):
    lines = printed(width, "plan", SHORT, "--max-iters", "2", "--device", "cpu")
    assert "  seed 0  " in lines[0]
    assert ("…" in lines[0]) == (width == 40)
    spec = Spec(SHORT, "shapes_64x64_smoke", 0, "cpu", results=tmp_path / "results", work_dir=tmp_path / "work_dirs")
    Manifest.create([Job(spec, None, 0.0)], "local", 1, f"segbench run {SHORT} --seeds 0,1,2 --no-latency")
    *_, row = printed(width, "status")
    assert row.startswith("  mmseg:")
    assert "pending" in row


def test_a_row_of_costs_says_what_it_is_of(printed):
    lines = printed(40, "verify", "--cost", "enet")
    assert lines[0].split()[:2] == ["architecture", "figure"]
    assert any(line.split()[:2] == ["enet", "macs"] for line in lines)
