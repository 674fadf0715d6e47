"""The completion of a shell, as bash calls it: names of the catalog, options, choices and files."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.catalog import catalog
from benchmark.cli import COMMANDS, main

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
        line = (
            'source "$0"; COMP_WORDS=(segbench "$@"); COMP_CWORD=$#; _shtab_segbench; printf "%s\\n" "${COMPREPLY[@]}"'
        )
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
