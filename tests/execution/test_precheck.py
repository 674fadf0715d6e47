"""Whatever a network of the user's does before its run costs its own run, and nothing of it is executed here."""

import sys
from pathlib import Path

import pytest

from benchmark.cli import main
from benchmark.execution import batch, plan
from benchmark.execution.plan import Speed
from benchmark.results.store import Store

SOURCE = """
import ctypes, os, signal, subprocess, threading, time
from torch import nn

class Good(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.scores = nn.Conv2d(3, num_classes, 1)
        self.begin()

    def begin(self):
        pass

    def forward(self, images):
        return self.scores(images)

class Exits(Good):
    def begin(self):
        os._exit(0)

class Crashes(Good):
    def begin(self):
        ctypes.string_at(0)

class Sleeps(Good):
    def begin(self):
        time.sleep(10**6)

class Leaves(Good):
    def begin(self):
        command = ["env", "-i", "sleep", "5077"]
        subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        threading.Thread(target=time.sleep, args=(10**6,)).start()
        if os.fork() == 0:
            time.sleep(10**6)

class Moves(Good):
    def begin(self):
        os.chdir("/")

class Own(BaseException):
    pass

class Raises(Good):
    def begin(self):
        raise Own("of the network")
"""

CONFIG = """
custom_imports = dict(imports=["dies"])
model = dict(type="EncoderDecoder")
"""


@pytest.fixture
def specs(tmp_path, monkeypatch):
    """Makes runs of networks of a file; their processes are known by a variable of their environment."""
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(SOURCE)
    folders = {"results": tmp_path / "results", "work_dir": tmp_path / "work"}

    def make(*names, **options):
        names = [f"net.py:{name}" if name.isidentifier() else name for name in names]
        return batch.specs(names, "shapes_64x64_smoke", options.pop("seeds", [0]), "cpu", **folders, **options)

    return make


@pytest.mark.parametrize(
    ("name", "said"),
    [("Exits", "the process died with exit code 0"), ("Crashes", "the process was killed by SIGSEGV")],
)
def test_one_that_ends_its_process_is_left_to_its_run(specs, capsys, name, said):
    wanted = specs(name, "Good", seeds=[0, 1])
    assert batch.trainable(wanted) == (wanted, {})
    assert capsys.readouterr().err == f"segbench: net.py:{name} could not be checked before it is run: {said}\n"


def test_one_that_hangs_is_left_to_its_run(specs, capsys):
    wanted, steps = specs("Sleeps", hang_timeout=3.0), []
    assert batch.trainable(wanted, lambda *step: steps.append(step)) == (wanted, {})
    assert steps[2:] == steps[:1] * (len(steps) - 2) != []  # it is shown that it is waited for
    assert "net.py:Sleeps could not be checked before it is run: it took longer than 3 s" in capsys.readouterr().err


def test_an_exception_of_any_kind_is_an_obstacle(specs):
    raises, good = specs("Raises", "Good")
    left, reasons = batch.trainable([raises, good])
    assert left == [good]
    assert str(reasons[raises]) == "net.py:Raises: Own: of the network"


def test_a_config_whose_imports_end_the_process_is_skipped(specs):
    """It is not known, and so the run has no identity under which it could be recorded."""
    Path("dies.py").write_text("import os; os._exit(3)")
    Path("config.py").write_text(CONFIG)
    dies, good = specs("config.py", "Good")
    left, reasons = batch.trainable([dies, good])
    assert left == [good]
    assert str(reasons[dies]) == "config.py: its config cannot be composed: the process died with exit code 3"


def test_nothing_of_them_goes_on_or_is_executed_here(specs):
    def sleeping():
        return [path for path in Path("/proc").glob("[0-9]*/cmdline") if b"sleep\x005077" in _read(path)]

    before, modules = Path.cwd(), set(sys.modules)
    wanted = specs("Leaves", "Moves")
    assert batch.trainable(wanted)[0] == wanted
    assert sleeping() == []
    assert Path.cwd() == before
    assert not [name for name in set(sys.modules) - modules if name.startswith("_segbench_")]


def _read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_the_estimate_has_their_counts_if_they_are_known(specs, capsys):
    wanted, speed = specs("Good", "Exits"), Speed(macs=1.0, step=0.0)
    batch.trainable(wanted)
    seconds = {job.spec.name: job.seconds for job in plan.plan(wanted, speed)}
    assert seconds["net.py:Exits"] == 0
    here = specs("Good")
    batch.trainable(here, isolate=False)
    assert any(name.startswith("_segbench_") for name in sys.modules)
    assert seconds["net.py:Good"] == plan.plan(here, speed)[0].seconds > 0


def test_the_others_are_run_and_it_is_recorded(specs, tmp_path, capsys):
    specs()
    words = ["--max-iters", "2", "--no-latency", "--device", "cpu", "--results", "here"]
    assert main(["run", "net.py:Exits", "net.py:Moves", *words]) == 1
    found = {each.record.architecture: each.record for each in Store(tmp_path / "here").scan()[0]}
    assert {name: (record.status, record.cause) for name, record in found.items()} == {
        "net.py:Exits": ("failed", "exited"),
        "net.py:Moves": ("ok", None),
    }
    assert "Traceback" not in capsys.readouterr().err


def test_the_folders_of_a_run_in_this_process_are_those_of_the_command(specs, tmp_path, capsys):
    specs()
    words = ["--max-iters", "2", "--no-latency", "--device", "cpu", "--results", "here", "--executor", "debug"]
    assert main(["run", "net.py:Moves", *words]) == 0
    assert Path.cwd() == tmp_path
    assert [path.parent.name for path in tmp_path.glob("here/*/*/*.json")] == ["net.py+Moves"]
    assert (tmp_path / "reports" / "index.html").is_file()


def test_plan_says_it(specs, capsys):
    Path("dies.py").write_text("import os; os._exit(0)")
    Path("config.py").write_text(CONFIG)
    specs()
    assert main(["plan", "net.py:Exits", "net.py:Good", "--device", "cpu"]) == 0
    printed = capsys.readouterr()
    assert "net.py:Exits could not be checked" in printed.err
    assert "2 to run" in printed.out
    assert main(["plan", "config.py", "--device", "cpu"]) == 2
    assert "config.py: its config cannot be composed" in capsys.readouterr().err
