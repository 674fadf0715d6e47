"""The workflow of docs/ci.md is one that GitHub reads, and its steps work as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ACTIONS = {
    "actions/checkout@v4": {"path", "ref"},
    "actions/setup-python@v5": {"python-version", "cache", "cache-dependency-path"},
    "actions/cache@v4": {"path", "key"},
    "actions/cache/restore@v4": {"path", "key"},
    "actions/cache/save@v4": {"path", "key"},
    "actions/upload-artifact@v4": {"name", "path"},
}
"""The actions of the workflow, with those of their inputs that it uses."""

NET = """
from torch import nn


class Net(nn.Sequential):
    def __init__(self, num_classes):
        layers = nn.Conv2d(3, WIDTH, 3, 4, 1), nn.BatchNorm2d(WIDTH), nn.ReLU(), nn.Conv2d(WIDTH, num_classes, 1)
        super().__init__(*layers)
"""


@pytest.fixture
def workflow(page):
    return yaml.safe_load(page.block("# .github/workflows/segmentation.yml"))


@pytest.fixture
def place(tmp_path):
    """A workspace with two checkouts, and a PATH with `segbench`, and a `pip` that installs nothing."""
    for checkout, width in (("base", 4), ("new", 4)):
        path = tmp_path / "workspace" / checkout / "net.py"
        path.parent.mkdir(parents=True)
        path.write_text(NET.replace("WIDTH", str(width)))
    for name, line in (
        ("segbench", f'PYTHONPATH={ROOT} exec {sys.executable} -m benchmark "$@"'),
        ("pip", '[ "$*" = "install segbench" ]'),
    ):
        command = tmp_path / "bin" / name
        command.parent.mkdir(exist_ok=True)
        command.write_text(f"#!/bin/sh\n{line}\n")
        command.chmod(0o755)
    return tmp_path


def steps(workflow):
    (job,) = workflow["jobs"].values()
    return job["steps"]


def run_steps(workflow, place):
    """Run the commands of all steps as GitHub does, and return the exit codes by name."""
    workspace = place / "workspace"
    given = {
        name: str(value).replace("${{ github.workspace }}", str(workspace)) for name, value in workflow["env"].items()
    }
    given |= {"NETWORKS": "net.py:Net", "SETTINGS": "--seeds 0 --max-iters 1 --batch-size 2 --no-latency"}
    given |= {"PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    given |= {"GITHUB_STEP_SUMMARY": str(place / "summary.md"), "OMP_NUM_THREADS": "1"}
    codes = {}
    for step in steps(workflow):
        if "run" not in step:
            continue
        flags = ["--noprofile", "--norc", "-eo", "pipefail"] if step.get("shell") == "bash" else ["-e"]
        done = subprocess.run(
            ["bash", *flags, "-c", step["run"]],
            cwd=workspace / step.get("working-directory", "."),
            env=os.environ | given,
            capture_output=True,
            text=True,
        )
        codes[step["name"]] = done.returncode
        assert done.returncode in (0, 1), done.stderr
    return codes


def test_the_workflow_is_whole(workflow):
    assert {"pull_request", "workflow_dispatch"} == set(workflow[True])  # what YAML makes of the key `on`
    assert workflow["permissions"] == {"contents": "read"}
    (job,) = workflow["jobs"].values()
    assert job["timeout-minutes"] <= 360
    for step in steps(workflow):
        assert ("run" in step) != ("uses" in step)
        if "uses" in step:
            assert set(step["with"]) <= ACTIONS[step["uses"]]
        assert set(step) <= {"id", "name", "run", "uses", "with", "if", "shell", "working-directory"}
    used = set(re.findall(r"\$(?:{{ env\.)?([A-Z_]+)", yaml.safe_dump(steps(workflow))))
    assert used - {"GITHUB_STEP_SUMMARY"} <= set(workflow["env"])


def test_the_base_is_cached_before_the_comparison_may_fail(workflow):
    """`actions/cache` saves at the end of a job that succeeded only."""
    found = steps(workflow)
    uses = [step.get("uses", "") for step in found]
    runs = [step.get("run", "") for step in found]
    restore, save = uses.index("actions/cache/restore@v4"), uses.index("actions/cache/save@v4")
    (trained,) = (index for index, run in enumerate(runs) if "--results ../results-base" in run)
    assert restore < trained
    assert save == trained + 1
    assert found[save]["with"]["path"] == found[restore]["with"]["path"] == "results-base"
    assert found[save]["with"]["key"] == f"${{{{ steps.{found[restore]['id']}.outputs.cache-primary-key }}}}"
    assert not [step for step in found if step.get("uses") == "actions/cache@v4" and "results" in step["with"]["path"]]


def test_its_steps_work(workflow, place):
    codes = run_steps(workflow, place)
    assert set(codes.values()) == {0}
    assert len(codes) == 6
    assert "| net.py:Net |" in (place / "summary.md").read_text().replace("`", "").replace("\\", "")
    uploaded = next(step for step in steps(workflow) if step.get("uses", "").startswith("actions/upload"))
    for pattern in uploaded["with"]["path"].split():
        assert list((place / "workspace").glob(pattern)), pattern

    # A network with more weights, whose base has its results in the cache.
    (place / "workspace" / "new" / "net.py").write_text(NET.replace("WIDTH", "5"))
    codes = run_steps(workflow, place)
    assert {name for name, code in codes.items() if code} == {"Compare"}
    assert "regression" in (place / "summary.md").read_text()


def test_stored_results_of_a_release(page, monkeypatch):
    Path("net.py").write_text(NET.replace("WIDTH", "4"))
    git = ["git", "-c", "user.name=n", "-c", "user.email=e@example.org"]
    run, *compare = page.commands
    page.run(run)
    for words in (["init", "-q"], ["add", "results"], ["commit", "-qm", "results"], ["tag", "v1.0"]):
        subprocess.run([*git, *words], check=True)
    for command in compare:
        page.run(command)
    assert len(compare) == 2
