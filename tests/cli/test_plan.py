"""What would be run, and what is there already."""

import json

import pytest

from benchmark.cli import main


def test_a_plan_runs_nothing(tmp_path, capsys):
    words = ["plan", "enet", "unet", "--seeds", "0,1", "--device", "cpu", "--max-iters", "2"]
    assert main([*words, "--results", str(tmp_path / "results")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[:4]] == [
        ["unet", "seed", "0"],
        ["enet", "seed", "0"],
        ["unet", "seed", "1"],
        ["enet", "seed", "1"],
    ]
    assert lines[5] == "4 to run, 0 stored"
    assert lines[6].endswith("(a guess: no results of this device)")
    assert list(tmp_path.iterdir()) == []


def test_names_that_do_not_exist(tmp_path, capsys):
    assert main(["plan", "ennet", "--results", str(tmp_path)]) == 2
    assert "did you mean enet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["pspnet"], ["pspnet_r101-d8", "pspnet_r50-d8"]),
        (["espnet"], ["espnet"]),  # the architecture, although a method has the name, too
        (["espnet-?", "enet", "espnet-a"], ["enet", "espnet-a", "espnet-b", "espnet-c"]),
    ],
)
def test_methods_and_globs_are_expanded_and_shown(tmp_path, capsys, words, names):
    assert main(["plan", *words, "--device", "cpu", "--results", str(tmp_path), "--json"]) == 0
    printed = capsys.readouterr()
    assert sorted(run["architecture"] for run in json.loads(printed.out)["runs"]) == names
    further = [name for name in names if name not in words]
    said = f"segbench: {', '.join(words)} includes {', '.join(further)}\n" if further else ""
    assert printed.err == said


def test_a_glob_of_nothing(tmp_path, capsys):
    assert main(["plan", "nothing*", "--results", str(tmp_path)]) == 2
    assert "unknown architecture 'nothing*': see `segbench list architectures`" in capsys.readouterr().err
