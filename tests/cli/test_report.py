from pathlib import Path

import pytest

from benchmark.cli import main

MARKERS = "# Mine\n\n<!-- segbench:leaderboard shapes_64x64_smoke -->\n<!-- /segbench:leaderboard -->\n"


@pytest.fixture
def report(filled, capsys, tmp_path):
    """The command on a store of some results: its exit code, and what it prints."""

    def run(*arguments):
        code = main(["report", "--results", str(filled.root), "--output", str(tmp_path / "reports"), *arguments])
        return code, *capsys.readouterr()

    return run


def test_the_last_line_is_the_path(report, tmp_path):
    code, out, err = report()
    assert (code, err) == (0, "")
    path = Path(out.splitlines()[-1])
    assert path == tmp_path / "reports" / "index.html"
    assert path.read_text().startswith("<!doctype html>")


def test_a_damaged_result_is_named(report, filled):
    path = sorted(filled.root.glob("*/enet/*.json"))[0]
    path.write_text("{")
    code, out, err = report()
    assert code == 1
    assert err.startswith(f"segbench: warning: {path}: ")
    assert out.strip().endswith("index.html")


def test_no_results(capsys, tmp_path):
    assert main(["report", "--results", str(tmp_path), "--output", str(tmp_path / "reports")]) == 2
    assert "no results in" in capsys.readouterr().err


def test_photographs_are_for_those_who_ask(report, tmp_path):
    report()
    assert "Ground truth" not in (tmp_path / "reports" / "index.html").read_text()
    report("--photographs")
    assert "Ground truth" in (tmp_path / "reports" / "index.html").read_text()


def test_the_readme_beside_the_reports_gets_its_table(report, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("# Mine\n")
    report()
    assert readme.read_text() == "# Mine\n"
    readme.write_text(MARKERS)
    report()
    assert "| `pspnet_r50-d8` |" in readme.read_text()


def test_another_readme_is_named(report, tmp_path):
    readme = tmp_path / "docs.md"
    readme.write_text(MARKERS)
    report("--readme", str(readme))
    assert "| `pspnet_r50-d8` |" in readme.read_text()
    readme.write_text("nothing")
    code, _, err = report("--readme", str(readme))
    assert code == 2
    assert "has no place for a table: write <!-- segbench:leaderboard PROTOCOL ... -->" in err


def test_a_check_writes_nothing_and_says_what_would_mend(report, filled, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(MARKERS)
    index = tmp_path / "reports" / "index.html"
    code, out, _ = report("--check")
    command = f"segbench report --results {filled.root} --output {index.parent}"
    assert code == 1
    assert out.splitlines() == [
        f"{index} is missing: `{command}` mends it",
        f"{readme} is stale: `{command}` mends it",
    ]
    assert not index.parent.exists()
    assert readme.read_text() == MARKERS
    report()
    code, out, err = report("--check")
    assert (code, out, err) == (0, "2 files are what 5 results give\n", "")


def test_a_check_needs_no_samples(report, filled):
    report()
    next(filled.root.glob("*/samples-*.npz")).unlink()
    assert report("--check")[0] == 0


def test_a_check_finds_results_that_are_not_valid(report, filled):
    report()
    path = sorted(filled.root.glob("*/pspnet_r50-d8/*.json"))[0]
    path.rename(path.with_name("0" * 16 + ".json"))
    code, out, _ = report("--check")
    assert code == 1
    assert f"should be named {path.name}" in out


def test_a_check_is_of_what_may_be_passed_on(report):
    with pytest.raises(SystemExit):
        report("--check", "--photographs")


def test_results_of_different_code_are_averaged_where_that_is_asked_for(store, make_record, capsys, tmp_path):
    for seed, digest in enumerate(("a" * 64, "a" * 64, "b" * 64)):
        store.add(*make_record("enet", seed, 0.6, digest_of_code=digest))
    words = ["report", "--results", str(store.root), "--output", str(tmp_path / "reports")]
    page = tmp_path / "reports" / "index.html"
    assert main(words) == 0
    assert "seed 2 of enet (code bbbbbbbbbbbb)" in page.read_text()
    assert main([*words, "--mix-code", "--check"]) == 1
    assert "--mix-code` mends it" in capsys.readouterr().out
    assert main([*words, "--mix-code"]) == 0
    assert "code aaaaaaaaaaaa + code bbbbbbbbbbbb" in page.read_text()
    assert main([*words, "--mix-code", "--check"]) == 0
