from pathlib import Path

from benchmark.cli import main


def test_the_last_line_is_the_path(filled, capsys, tmp_path):
    assert main(["report", "--results", str(filled.root), "--output", str(tmp_path / "reports")]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    path = Path(captured.out.splitlines()[-1])
    assert path == tmp_path / "reports" / "index.html"
    assert path.read_text().startswith("<!doctype html>")


def test_a_damaged_result_is_named(filled, capsys, tmp_path):
    path = sorted(filled.root.glob("*/enet/*.json"))[0]
    path.write_text("{")
    assert main(["report", "--results", str(filled.root), "--output", str(tmp_path / "reports")]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"segbench: warning: {path}: ")
    assert captured.out.strip().endswith("index.html")


def test_no_results(capsys, tmp_path):
    assert main(["report", "--results", str(tmp_path), "--output", str(tmp_path / "reports")]) == 2
    assert "no results in" in capsys.readouterr().err
