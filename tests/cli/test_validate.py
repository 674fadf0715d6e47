import json

import pytest

from benchmark.cli import main
from benchmark.results.validate import LIMITS


def test_clean_results(filled, capsys):
    assert main(["validate", str(filled.root)]) == 0
    assert capsys.readouterr().out == f"5 results, 0 problems\n{LIMITS}\n"
    assert all(word in LIMITS for word in ("commit", "device", "seeds", "`segbench rerun`"))


def test_an_edited_score_is_one_line_that_names_the_file(filled, capsys):
    path = sorted(filled.root.glob("*/enet/*.json"))[0]
    data = json.loads(path.read_text())
    data["evaluations"][0]["miou"] += 5
    path.write_text(json.dumps(data))
    assert main(["validate", str(filled.root)]) == 1
    line, summary, _ = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{path}: last on test: miou is ")
    assert summary == "5 results, 1 problems"


def test_json(filled, capsys):
    path = sorted(filled.root.glob("*/enet/*.json"))[0]
    path.write_text("{")
    assert main(["validate", str(filled.root), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["results"] == 5
    assert found["limits"] == LIMITS
    (problem,) = found["problems"]
    assert problem["path"] == str(path)
    assert "Invalid JSON" in problem["why"]


def test_the_default_is_the_folder_results(filled, capsys, monkeypatch):
    monkeypatch.chdir(filled.root.parent)
    assert main(["validate"]) == 0
    assert capsys.readouterr().out.startswith("5 results")


@pytest.mark.parametrize("json_flag", [[], ["--json"]])
def test_a_path_that_does_not_exist(tmp_path, capsys, json_flag):
    assert main(["validate", str(tmp_path / "nothing"), *json_flag]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("segbench: error: ")
    assert captured.err.count("\n") == 1
