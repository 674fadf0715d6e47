"""What would be run, and what is there already."""

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
