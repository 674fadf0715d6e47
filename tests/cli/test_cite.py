"""`segbench cite` prints what a LaTeX table cites."""

import json
import re

import pytest

from benchmark.cli import main

PROTOCOL = "shapes_64x64_smoke"


def cite(capsys, *words):
    code = main(["cite", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def keys(bibtex):
    return re.findall(r"^@\w+\{(.+),$", bibtex, re.MULTILINE)


def test_the_keys_are_those_of_the_table(filled, capsys):
    for rows in ([], ["enet"], ["pspnet", "mmseg:*"], ["*"]):
        words = ["-p", PROTOCOL, "--results", filled.root]
        code, bibtex, _ = cite(capsys, *rows, *words)
        assert code == 0
        assert main(["leaderboard", "--format", "latex", *map(str, words), *(["--rows", *rows] if rows else [])]) == 0
        table = capsys.readouterr().out
        cited = {key for found in re.findall(r"\\cite\{(.+?)\}", table) for key in found.split(",")}
        assert cited <= set(keys(bibtex))
        assert keys(bibtex) == sorted(set(keys(bibtex)))


def test_names_choose(filled, capsys):
    _, bibtex, _ = cite(capsys, "enet", "-p", PROTOCOL, "--results", filled.root)
    assert "paszke2016enet" in keys(bibtex)
    assert "zhao2017pspnet" not in keys(bibtex)
    runs = [run for run in filled.summaries()[0] if run.architecture == "enet"]
    assert all(run.run_id in bibtex for run in runs)
    assert "@misc{segbench,\n" in bibtex


def test_without_results_methods_and_data_are_cited(tmp_path, capsys):
    (tmp_path / "results").mkdir()
    words = ["-p", "camvid_360x480_scratch", "--results", tmp_path / "results"]
    code, bibtex, _ = cite(capsys, "pspnet_r50-d8", *words)
    assert code == 0
    assert keys(bibtex) == [
        "badrinarayanan2017segnet",
        "brostow2008camvid",
        "brostow2009camvid",
        "segbench",
        "zhao2017pspnet",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-p", PROTOCOL], "no results in"),
        (["enett", "-p", PROTOCOL], "did you mean enet"),
        (["-p", "camvid"], "did you mean camvid_"),
    ],
)
def test_what_cannot_be_cited_is_a_line(tmp_path, capsys, words, said):
    code, out, err = cite(capsys, *words, "--results", tmp_path)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_a_network_without_a_paper_is_named(store, make_record, capsys):
    record, arrays = make_record("mine")
    store.add(record.model_copy(update={"method": "external"}), arrays)
    code, bibtex, err = cite(capsys, "--results", store.root)
    assert (code, err) == (0, "segbench: no paper is known of mine\n")
    assert record.run_id in bibtex


def test_to_a_file(filled, capsys, tmp_path):
    _, printed, _ = cite(capsys, "--results", filled.root)
    assert cite(capsys, "--results", filled.root, "-o", tmp_path / "refs.bib")[:2] == (0, "")
    assert (tmp_path / "refs.bib").read_text(encoding="utf-8") == printed


def test_json_has_the_keys_of_architectures_and_datasets(tmp_path, capsys):
    (tmp_path / "results").mkdir()
    words = ["pspnet_r50-d8", "-p", "camvid_360x480_scratch", "--results", tmp_path / "results"]
    _, bibtex, _ = cite(capsys, *words)
    code, printed, _ = cite(capsys, *words, "--json")
    found = json.loads(printed)
    assert code == 0
    assert "\n\n".join(each["bibtex"] for each in found["entries"]) == bibtex.rstrip("\n")
    assert [each["key"] for each in found["entries"]] == keys(bibtex)
    assert found["architectures"] == {"pspnet_r50-d8": ["zhao2017pspnet"]}
    assert found["datasets"].keys() == {"camvid"}
    assert set(found["datasets"]["camvid"]) < set(keys(bibtex))
    assert cite(capsys, *words, "--json", "-o", tmp_path / "refs.json")[1] == ""
    assert json.loads((tmp_path / "refs.json").read_text(encoding="utf-8")) == found
