"""`segbench figure`: what it draws is tested in `tests/reporting/test_figure.py`."""

import pytest

from benchmark.cli import main

PROTOCOL = "shapes_64x64_smoke"


def figure(capsys, *words):
    try:
        code = main(["figure", *map(str, words)])
    except SystemExit as end:
        code = end.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_options_may_be_before_names(filled, capsys, tmp_path):
    words = ["-p", PROTOCOL, "--results", filled.root, "-o", tmp_path / "a.svg", "--cost", "params"]
    code, _, err = figure(capsys, "pareto", *words, "enet", "pspnet*")
    assert code == 0
    assert "not shown: shapes_64x64_smoke with iterations = 3 (--fingerprint " in err
    assert (tmp_path / "a.svg").read_bytes().startswith(b"<?xml")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pareto", "-o", "a.jpg"], "a.jpg: name a file that ends in .pdf, .svg, .png"),
        (["pareto", "enet", "-o", "a.pdf"], "a figure needs two"),
        (["pareto", "nothing", "-o", "a.pdf"], "unknown architecture 'nothing'"),
        (["pareto", "-o", "a.pdf", "--width", "3"], "is not a width of 1.5in to 20in, such as 3.25in"),
        (["pareto", "-o", "a.pdf", "--width", "1mm"], "is not a width"),
        (["pareto", "-o", "a.pdf", "--cost", "watts"], "invalid choice: 'watts'"),
        (["pareto", "-o", "a.pdf", "--fingerprint", "zz"], "no results of fingerprint zz: there are"),
        (["curves", "mmseg:bisenetv1", "-o", "a.pdf"], "none of the chosen networks was trained"),
    ],
)
def test_what_cannot_be_drawn_is_a_line(filled, capsys, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    code, out, err = figure(capsys, *words, "-p", PROTOCOL, "--results", filled.root)
    assert (code, out) == (2, "")
    assert said in err
    assert not list(tmp_path.glob("a.*"))


def test_of_several_protocols_one_is_to_be_named(store, make_record, capsys, tmp_path):
    store.add(*make_record("enet"))
    store.add(*make_record("enet", protocol="camvid_360x480_scratch"))
    code, _, err = figure(capsys, "iou", "--results", store.root, "-o", tmp_path / "a.pdf")
    assert code == 2
    assert "there are results of camvid_360x480_scratch, shapes_64x64_smoke: name one with -p" in err
