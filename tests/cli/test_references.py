"""References on the command line: listed, filtered, shown, and beside each other where sources disagree."""

import json
import subprocess
import sys

import pytest

from benchmark.catalog import catalog
from benchmark.cli import main


def rows(capsys, *words):
    assert main(["list", "references", *words, "--json"]) == 0
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


def test_sources(capsys):
    papers, said = rows(capsys)
    assert [row["name"] for row in papers] == list(catalog.references())
    assert said == ""
    zoo, said = rows(capsys, "--source", "mmseg")
    assert len(zoo) > 1000
    assert said.startswith("omitted from mmsegmentation's zoo: 91 figures (36 of a config that two rows name")
    both, _ = rows(capsys, "--source", "all")
    assert len(both) == len(papers) + len(zoo) - 26  # which stand in both


def test_filters(capsys):
    found, _ = rows(capsys, "--source", "mmseg", "--method", "pspnet", "--dataset", "ade20k")
    assert {row["dataset"] for row in found} == {"ade20k"}
    assert {row["ours"] for row in found} == {"pspnet_r50-d8", "pspnet_r101-d8"}
    assert [row["value"] for row in found if row["name"].endswith("r50-d8_4xb4-80k_ade20k-512x512/miou")] == [41.13]
    assert main(["list", "references", "--method", "unet", "--dataset", "cityscapes"]) == 0
    assert "  69.10  " in capsys.readouterr().out  # with the decimals of its source


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["references", "--method", "psnet"], "--method psnet: these references are of deeplabv1, "),
        (["references", "--dataset", "moon"], "--dataset moon: these references are of ade20k, camvid, "),
        (["protocols", "--dataset", "camvid"], "--dataset is of references"),
    ],
)
def test_filters_that_match_nothing(capsys, words, message):
    assert main(["list", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"segbench: error: {message}")
    assert captured.err.count("\n") == 1


def test_show_a_reference(capsys):
    assert main(["show", "enet-camvid-test-miou", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["reference"]
    assert (shown["value"], shown["source"]["kind"], shown["evidence"]) == (51.3, "restated", True)
    assert shown["caveat"].endswith("restate it, the paper itself not seen")
    assert main(["show", "enet-camvid-test-miou-davidtvs", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["reference"]
    assert (shown["value"], shown["source"]["kind"], shown["evidence"]) == (52.1, "third party", False)
    assert main(["show", "mmseg:fcn_r50-d8_4xb2-80k_cityscapes-512x1024/miou-ms"]) == 0
    out = capsys.readouterr().out
    assert "  ours: fcn_r50-d8\n" in out
    assert "  evidence: true\n" in out


def test_an_architecture_names_the_figures_of_the_zoo(capsys):
    assert main(["show", "fcn_r50-d8", "--json"]) == 0
    names = json.loads(capsys.readouterr().out)["architecture"]["references"]
    assert "fcn-r50-d8-cityscapes-val-miou-mmseg-80k" in names
    assert "mmseg:fcn_r50-d8_4xb2-40k_cityscapes-512x1024/miou" in names
    assert "mmseg:fcn_r50-d8_4xb2-80k_cityscapes-512x1024/miou" not in names  # the first of these two


def test_disagreement(capsys):
    """The paper has 41.68 on ADE20K (Table 3), mmsegmentation 41.13 at 80k and 42.48 at 160k iterations."""
    assert main(["show", "pspnet"]) == 0
    out = capsys.readouterr().out
    table = out[out.index("pspnet_r50-d8, miou on ade20k val, single scale, no flip: 3 figures, spread 1.35") :]
    assert [line.split()[0] for line in table.splitlines()[1:5]] == ["figure", "42.48", "41.68", "41.13"]
    assert table.splitlines()[1].split()[:4] == ["figure", "crop", "iterations", "flip"]
    assert table.splitlines()[5] == "they differ in crop, iterations"
    assert main(["show", "pspnet_r50-d8", "--json"]) == 0
    tables = json.loads(capsys.readouterr().out)["disagreement"]
    (found,) = (each for each in tables if each["spread"] == 1.35)
    assert (found["spread"], found["differing"]) == (1.35, ["crop", "iterations"])
    assert main(["show", "camvid_360x480_scratch", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["disagreement"] == []


def test_the_zoo_is_read_only_where_it_is_asked_for():
    code = (
        "import sys; from benchmark.cli import main; main(['list', 'references'])\n"
        "assert 'benchmark.catalog.mmseg_zoo' not in sys.modules\n"
        "main(['list', 'references', '--source', 'mmseg'])\n"
        "heavy = {'torch', 'numpy', 'mmseg', 'mmengine', 'pydantic'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
