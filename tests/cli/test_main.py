"""The command line as a user meets it: answers on stdout, one line for a mistake, an exit code."""

import json
import os
import re
import subprocess
import sys

import pytest
import torch

from benchmark import __version__
from benchmark.catalog import catalog
from benchmark.cli import COMMANDS, build_parser, main


def _segbench(*words, cwd=None, **environment):
    return subprocess.run(
        [sys.executable, "-m", "benchmark", *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | environment,
        check=False,
    )


def _mistake(capsys, *words):
    """The one line that a mistake gets."""
    code = main(words)
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert captured.err.startswith("segbench: error: ")
    assert captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize(
    "words", [["run", "enet"], ["train", "enet"], ["config", "enet"], ["score", ".", "--name", "net"]]
)
def test_a_root_that_nothing_is_read_from(words, capsys, tmp_path):
    """The drawn shapes were trained instead, without a word."""
    line = _mistake(capsys, *words, "--root", str(tmp_path))
    assert f"--root {tmp_path} has no effect: shapes_64x64_smoke draws its dataset shapes" in line


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"segbench {__version__}\n"


def test_every_command_has_help(capsys):
    for command in COMMANDS:
        with pytest.raises(SystemExit) as caught:
            main([command, "--help"])
        assert caught.value.code == 0
        assert capsys.readouterr().out.startswith(f"usage: segbench {command}")


def test_no_command():
    with pytest.raises(SystemExit) as caught:
        build_parser().parse_args([])
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("run enet --retyr 3", "segbench run: error: unrecognized arguments: --retyr 3 (did you mean --retry?)"),
        (
            "data verify camvid --rooot=x",
            "data verify: error: unrecognized arguments: --rooot=x (did you mean --root?)",
        ),
        ("run enet --qqq", "segbench run: error: unrecognized arguments: --qqq; see `segbench run --help`"),
        ("run enet --seeds x", "'x' is not a list of whole numbers from 0 to 4294967295 such as 0,1,2; see `segbench"),
        ("rnu", "segbench: error: argument COMMAND: invalid choice: 'rnu' (choose from"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(words, told, capsys):
    with pytest.raises(SystemExit) as refused:
        main(words.split())
    out, err = capsys.readouterr()
    assert (refused.value.code, out, err.count("\n")) == (2, "", 1)
    assert told in err


@pytest.mark.parametrize("kind", ["architectures", "protocols", "methods", "references"])
def test_list(capsys, kind):
    assert main(["list", kind, "--json"]) == 0
    names = [row["name"] for row in json.loads(capsys.readouterr().out)]
    assert names == list(getattr(catalog, kind)())
    assert main(["list", kind]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == names


def test_show(capsys):
    assert main(["show", "enet", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["architecture"]["method"] == "enet"
    assert shown["method"]["arxiv"] == "1606.02147"
    assert main(["show", "camvid_360x480_scratch"]) == 0
    assert "CamVid" in capsys.readouterr().out
    assert main(["show", next(iter(catalog.references()))]) == 0
    assert "source" in capsys.readouterr().out


def test_unknown_names(capsys):
    assert "did you mean pspnet_r50-d8" in _mistake(capsys, "config", "psnet_r50-d8")
    assert "or camvid_360x480_scratch?" in _mistake(capsys, "config", "enet", "-p", "camvid")
    assert "did you mean enet" in _mistake(capsys, "show", "ennet")
    assert "did you mean enet" in _mistake(capsys, "run", "ennet")


def test_an_absent_dataset_names_the_command_that_gets_it(capsys, tmp_path, monkeypatch):
    monkeypatch.delenv("SEGBENCH_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    line = _mistake(capsys, "run", "enet", "-p", "camvid_360x480_scratch", "--root", str(tmp_path))
    assert "segbench data get camvid" in line
    assert not list((tmp_path / "results").rglob("*.json"))


def test_an_absent_device(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert "device cuda is not available" in _mistake(capsys, "run", "enet", "--device", "cuda")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(capsys, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert "cannot write" in _mistake(capsys, "run", "enet", "--results", str(tmp_path / "file" / "results"))


def test_checkpoints_that_cannot_be_used(capsys, tmp_path):
    (tmp_path / "a.pth").write_bytes(b"PK\x03\x04 not much of a zip file")
    assert "a.pth" in _mistake(capsys, "eval", "enet", "--weights", str(tmp_path / "a.pth"))
    assert "no checkpoint at" in _mistake(capsys, "eval", "enet", "--weights", str(tmp_path / "b.pth"))


@pytest.mark.parametrize("seeds", ["a", "0,", "1.5"])
def test_seeds_are_whole_numbers(capsys, seeds):
    with pytest.raises(SystemExit) as caught:
        main(["run", "enet", "--seeds", seeds])
    assert caught.value.code == 2
    assert "whole numbers" in capsys.readouterr().err


def test_the_main_job(tmp_path):
    """Run, run again, train, evaluate: as a user would, in a folder of one's own."""
    job = ["run", "enet", "--seeds", "0,1", "--max-iters", "2", "--device", "cpu", "--no-latency"]
    done = _segbench(*job, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(tmp_path / "reports" / "index.html") or done.stdout.endswith(
        "reports/index.html\n"
    )
    assert (tmp_path / "reports" / "index.html").stat().st_size > 1000
    for seed in (0, 1):  # they go side by side: either may be the first to end
        assert re.search(rf"\[[12]/2\] enet seed {seed}: mIoU", done.stderr)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "results").rglob("*.json")}
    assert len(files) == 2

    again = _segbench(*job, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("skipped") == 2
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "results").rglob("*.json")} == files

    assert _segbench("validate", "results", cwd=tmp_path).returncode == 0

    trained = _segbench("train", "enet", "--max-iters", "2", "--device", "cpu", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    weights = trained.stdout.split()[-1]
    evaluated = _segbench("eval", "enet", "--weights", weights, "--device", "cpu", "--json", cwd=tmp_path)
    assert evaluated.returncode == 0, evaluated.stderr
    answer = json.loads(evaluated.stdout)
    assert set(answer) == {"miou", "macc", "aacc", "iou", "split", "images", "void", "by_void_rule", "verdicts"}
    assert answer["split"] == "test"
    assert answer["images"] == 64
    # The same seed, protocol and iterations: the run and the training end in the same weights.
    records = [json.loads(path.read_text()) for path in files]
    first = next(record for record in records if record["seed"] == 0)
    last = next(e for e in first["evaluations"] if e["checkpoint"] == "last")
    assert answer["miou"] == last["miou"] or answer["miou"] == first["evaluations"][1]["miou"]


def test_bibtex_is_shown_to_be_copied(capsys):
    assert main(["show", "enet"]) == 0
    shown = [line.strip() for line in capsys.readouterr().out.splitlines()]
    bibtex = [line.strip() for line in catalog.methods()["enet"].facts["bibtex"].splitlines()]
    start = shown.index(bibtex[0])
    assert shown[start : start + len(bibtex)] == bibtex


@pytest.mark.parametrize(
    ("redirection", "code", "told"),
    [
        (">/dev/full", 2, "segbench: error: No space left on device"),
        (">&-", 2, "segbench: error: the standard output is closed"),
        ("| true", 141, ""),
    ],
)
def test_an_output_that_takes_nothing(redirection, code, told):
    words = f"set -o pipefail; {sys.executable} -m benchmark list {redirection}"
    found = subprocess.run(["bash", "-c", words], capture_output=True, text=True, check=False)
    assert found.stderr.startswith(told)
    assert found.stderr.count("\n") == bool(told)
    assert found.returncode in (code, 0 if code == 141 else code)  # the list may be written before `true` has gone


@pytest.mark.parametrize(
    "words",
    [
        ["validate", "a" * 300],
        ["leaderboard", "--results", "results", "-o", "b" * 300],
        ["rerun", "c" * 300],
        ["validate", "/dev/zero"],
        ["results", "add", "/dev/zero"],
        ["data", "get", "camvid", "--from", "/dev/zero"],
        ["eval", "enet", "--weights", "/dev/zero"],
        ["rerun", "/dev/zero"],
    ],
)
def test_paths_that_no_file_has_and_files_without_end(words, capsys, tmp_path, monkeypatch, filled):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEGBENCH_DATA", raising=False)  # where CamVid is present, there is nothing to get
    assert main(words) in (1, 2)
    captured = capsys.readouterr()
    assert len(captured.out + captured.err) < 400


@pytest.mark.parametrize("command", ["run", "plan", "train", "config"])
@pytest.mark.parametrize("option", ["--max-iters", "--batch-size", "--val-interval"])
@pytest.mark.parametrize("value", ["0", "-1", "1.5", "1e3", "\u0661", "9" * 400])
def test_a_number_out_of_its_range_is_refused_when_it_is_read(command, option, value, capsys):
    with pytest.raises(SystemExit) as caught:
        main([command, "enet", f"{option}={value}"])
    assert caught.value.code == 2
    assert "is not a whole number from 1 to" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "100001"])
def test_a_number_of_classes_is_one_that_fits_in_memory(value, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["profile", "enet", f"--classes={value}"])
    assert caught.value.code == 2
    assert "is not a whole number from 1 to 100000" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["train", "enet", "--seed=-1"], ["config", "enet", "--seed=4294967296"]])
def test_a_seed_is_one_that_numpy_takes(words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "is not a whole number from 0 to 4294967295" in capsys.readouterr().err
