"""The executor of docs/executors.md works as it stands there: with the real command, a run that fails, and Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmark.engine.hooks import STATE
from benchmark.execution.interrupted import find
from benchmark.results.store import Store
from benchmark.results.validate import validate

WORDS = ("--max-iters", "2", "--no-latency", "--device", "cpu", "--executor", "pool.py:Pool")

FAILING = """
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.layer, self.steps = nn.Conv2d(3, num_classes, 1), 0

    def forward(self, images):
        self.steps += self.training
        if self.steps == 2:
            raise ValueError("this one fails")
        return self.layer(images)
"""


def _processes():
    """Return the processes that have the working directory in their environment or command line."""
    found, here = set(), os.fsencode(Path.cwd())
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if here in (folder / "environ").read_bytes():
                found.add(int(folder.name))
        except OSError:
            continue
    return found


@pytest.fixture
def segbench(page, tmp_path):
    """Start the command in a session of its own, whose temporary files are in a folder of their own."""
    assert page.files() == {"pool.py"}
    (tmp_path / "tmp").mkdir()
    environment = os.environ | {"TMPDIR": str(tmp_path / "tmp"), "OF_TEST": str(Path.cwd()), "OMP_NUM_THREADS": "1"}
    started = []

    def start(*words):
        command = [sys.executable, "-m", "segbench", "run", *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, env=environment, start_new_session=True, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def _assert_nothing_is_left(tmp_path):
    deadline = time.monotonic() + 20
    while _processes() and time.monotonic() < deadline:  # helpers of multiprocessing end after their parent
        time.sleep(0.1)
    assert _processes() == set()
    left = [path.name for path in (tmp_path / "tmp").iterdir()]
    assert [name for name in left if not name.startswith("torchinductor_")] == []  # a cache of torch's
    assert not [path for path in Path().rglob("*") if path.name.endswith(".tmp")]


def test_every_command_of_the_page(page, capsys):
    assert page.files() == {"pool.py"}
    assert len(page.commands) == 2
    for command in page.commands:
        page.run(command)
    stored, problems = Store(Path("results")).scan()
    assert (sorted((each.record.architecture, each.record.seed) for each in stored), problems) == (
        [("enet", 0), ("enet", 1), ("enet", 2), ("espnet-c", 0)],
        [],
    )
    assert {each.record.status for each in stored} == {"ok"}


def test_a_run_that_fails_costs_itself_alone(segbench, tmp_path):
    Path("net.py").write_text(FAILING)
    process = segbench("enet", "net.py:Net", "espnet-c", *WORDS)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1, err
    assert "this one fails" in err
    assert "Traceback" not in err
    stored, problems = Store(Path("results")).scan()
    assert problems == []
    assert {each.record.architecture: each.record.status for each in stored} == {
        "enet": "ok",
        "espnet-c": "ok",
        "net.py:Net": "failed",
    }
    assert validate(Path("results"))[1] == []
    assert "espnet-c" in out
    _assert_nothing_is_left(tmp_path)


def test_ctrl_c_leaves_nothing_behind_and_loses_nothing(segbench, tmp_path):
    words = ("enet", "espnet-c", "--val-interval", "5", "--max-iters", "5000", *WORDS[2:])
    process = segbench(*words)
    deadline = time.monotonic() + 200
    while not list(Path("work_dirs").rglob(STATE)):
        assert time.monotonic() < deadline, process.communicate(timeout=10)
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert not Store(Path("results")).files()
    _assert_nothing_is_left(tmp_path)
    resumable = [find(path.parent) for path in Path("work_dirs").rglob("unfinished.json")]
    assert len(resumable) == 2
    assert max(run.iteration for run in resumable) > 0
