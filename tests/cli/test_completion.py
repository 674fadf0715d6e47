"""The completion of a shell, as bash calls it: names of the catalog, options, choices and files."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.catalog import catalog
from benchmark.cli import COMMANDS, main, outputs

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a `segbench` on its PATH, files, and a network of the user's."""
    folder = tmp_path_factory.mktemp("completion")
    command = folder / "bin" / "segbench"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m benchmark "$@"\n')
    command.chmod(0o755)
    (folder / "here" / "photos").mkdir(parents=True)
    for name in ("streets.yaml", "net.py"):
        (folder / "here" / name).touch()
    network = folder / "networks" / "mine" / "mynetwork.py"
    network.parent.mkdir(parents=True)
    network.write_text('"""A network of mine."""\n_base_ = "mmseg::_base_/models/fcn_unet_s5-d16.py"\nmodel = dict()\n')
    return folder


def script(shell, capsys):
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.fixture
def complete(place, capsys):
    """Return the completions of the last of some words in bash."""
    (place / "completion.bash").write_text(script("bash", capsys))

    def complete(*words):
        line = 'source "$0"; COMP_WORDS=(segbench "$@"); COMP_CWORD=$#; _segbench; printf "%s\\n" "${COMPREPLY[@]}"'
        found = subprocess.run(
            ["bash", "-c", line, str(place / "completion.bash"), *words],
            capture_output=True,
            text=True,
            cwd=place / "here",
            env=os.environ
            | {
                "PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}",
                "SEGBENCH_MODELS": str(place / "networks"),
            },
            check=True,
        )
        return found.stdout.split()

    return complete


def test_commands_and_options(complete):
    assert complete("") == list(COMMANDS)
    assert complete("leader") == ["leaderboard"]
    assert complete("data", "") == ["add", "show", "list", "get", "make", "verify"]
    assert complete("run", "enet", "--max") == ["--max-iters"]
    assert complete("run", "--precision", "b") == ["bfloat16"]
    assert complete("schema", "data", "ver") == ["verify"]


def test_names_are_those_of_the_catalog_at_that_moment(complete):
    names = [name for name in catalog.architectures() if name.startswith("espnet")]
    assert sorted(complete("run", "espnet")) == sorted(names)
    assert sorted(complete("run", "enet", "espnet")) == sorted(names)
    assert complete("verify", "pspnet") == ["pspnet", "pspnet_r101-d8", "pspnet_r50-d8"]  # the first is a method
    assert complete("profile", "mynet") == ["mynetwork"]
    assert complete("run", "enet", "-p", "shapes") == ["shapes_64x64_smoke"]
    assert complete("list", "--method", "psp") == ["pspnet"]
    assert {"pspnet", "pspnet_r50-d8"} <= set(complete("show", "psp"))
    assert complete("data", "show", "cam") == ["camvid", "camvid_180x240"]


def test_paths(complete):
    assert complete("run", "--data", "str") == ["streets.yaml"]
    assert complete("run", "--root", "") == ["photos"]
    assert complete("run", "net") == ["net.py"]
    assert complete("run", "-p", "net") == ["net.py"]
    assert complete("score", "") == ["photos"]
    assert complete("protocol", "new", "ne") == []  # a new name
    assert complete("run", "--profile", "str") == ["streets.yaml"]
    assert sorted(complete("data", "get", "camvid", "--from", "")) == ["net.py", "photos", "streets.yaml"]
    assert complete("data", "add", "mine", "--split", "ph") == ["photos"]
    assert sorted(complete("rerun", "x.json", "-p", "")) == ["net.py", "photos", "streets.yaml"]  # no names


def test_names_of_the_zoo_where_the_word_begins_as_they_do(complete):
    wanted = [each for each in catalog.zoo() if each.startswith("mmseg:encnet_r50-d8_4xb2-40k")]
    whole = complete("run", "enet", "mmseg:encnet_r50-d8_4xb2-40k")
    # As bash breaks the line, it replaces what follows the colon only.
    split = complete("run", "enet", "mmseg", ":", "encnet_r50-d8_4xb2-40k")
    assert wanted
    assert whole == split == [each.partition(":")[2] for each in wanted]
    assert len(complete("train", "mmseg", ":")) == len(catalog.zoo())
    assert not [each for each in complete("run", "") if each.startswith("mmseg:")]


def test_what_is_offered_is_taken(complete):
    assert complete("data", "make", "") == ["cityscapes", "voc12aug"]
    assert complete("data", "get", "") == ["ade20k", "camvid", "cityscapes", "voc12"]
    assert complete("compare", "--gate", "sp") == ["speed"]
    assert complete("compare", "--gate", "accuracy,") == ["accuracy,cost", "accuracy,speed", "accuracy,cost,speed"]
    for line in ("list references", "list references --source mmseg", "list references --source all", "list zoo"):
        words = line.split()
        for option in ("--method", "--dataset") if "references" in words else ("--method",):
            offered = complete(*words, option, "")
            assert offered
            for each in offered:
                assert main([*words, option, each, "--names"]) == 0, (line, option, each)


def test_words_of_schema_are_those_of_commands_with_one(complete):
    offered = complete("schema", "")
    assert sorted(offered) == sorted({name.split()[0] for name in outputs.OUTPUTS})
    for word in ("data", "results"):
        assert [f"{word} {each}" for each in complete("schema", word, "")] == [
            name for name in outputs.OUTPUTS if name.startswith(f"{word} ")
        ]
    assert complete("schema", "leaderboard", "") == []


def test_columns_and_orders(complete):
    assert complete("leaderboard", "--columns", "arch") == ["architecture"]
    assert complete("leaderboard", "--columns", "architecture", "fing") == ["fingerprint"]
    assert complete("leaderboard", "--sort", "g") == ["given"]
    assert complete("leaderboard", "--sort", "miou_p") == ["miou_percent"]
    assert complete("leaderboard", "--rows", "enet", "psp") == ["pspnet", "pspnet_r101-d8", "pspnet_r50-d8"]


def test_sweeps_and_published_figures(complete, place):
    sweeps = place / "here" / "work_dirs" / "sweeps"
    sweeps.mkdir(parents=True)
    (sweeps / "20260101-120000.json").touch()
    try:
        assert complete("status", "2026") == ["20260101-120000"]
    finally:
        shutil.rmtree(place / "here" / "work_dirs")
    assert "espnet-camvid-test-miou" in complete("show", "espnet-cam")


@pytest.mark.parametrize(("shell", "words"), [("bash", ["-n"]), ("zsh", ["-n"]), ("tcsh", ["-fn"])])
def test_a_script_has_no_syntax_error(shell, words, place, capsys):
    path = place / f"completion.{shell}"
    path.write_text(script(shell, capsys))
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    found = subprocess.run([shell, *words, str(path)], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")


def test_without_shtab(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 2
    assert "run `python -m pip install shtab`" in capsys.readouterr().err
