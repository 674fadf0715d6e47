"""An executor of the user's by its name: what it is given, and what its mistakes look like."""

from datetime import datetime, timezone
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import segbench as sb
from benchmark.cli import main
from benchmark.errors import UserError
from benchmark.execution import batch, own
from benchmark.execution.executor import Silent
from benchmark.execution.lost import lost
from benchmark.execution.run import blank
from benchmark.results.reading import read
from benchmark.results.store import Store

CODE = '''
from datetime import datetime, timezone

from benchmark.execution.run import blank
from benchmark.results.reading import read
from benchmark.results.store import Store


class One:
    """Stores a failure of each run."""

    slots, most = 4, 0

    def __init__(self, listener, status="failed"):
        self.listener, self.status, self.runs = listener, status, []

    @property
    def free_slots(self):
        return self.slots - len(self.runs)

    @property
    def active(self):
        return len(self.runs)

    def submit(self, spec):
        self.runs.append(spec)
        type(self).most = max(self.most, len(self.runs))
        self.listener.begin(spec)

    def poll(self):
        spec = self.runs.pop()
        ended = read(Store(spec.results).add(blank(spec, datetime.now(timezone.utc), self.status, "why"), {}))
        self.listener.end(spec, ended.record)
        return [ended]

    def cancel(self):
        self.runs.clear()


def make(listener):
    return One(listener, "timed_out")


class Full(One):
    def __init__(self, listener):
        raise OSError("no cluster")


class Without:
    free_slots = active = 0

    def __init__(self, listener):
        pass


class Wrong(One):
    def poll(self):
        self.runs.clear()
        return ["done"]


class Broken(One):
    def poll(self):
        ended = super().poll()
        if self.runs:
            return ended
        raise ValueError("lost\\nand more")
'''


@pytest.fixture
def segbench(tmp_path, monkeypatch, capsys):
    """`segbench run` in a folder with a file of executors: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(CODE)

    def segbench(executor, *words):
        code = main(["run", "enet", "--max-iters", "2", "--device", "cpu", "--executor", executor, *words])
        return code, *capsys.readouterr()

    return segbench


def _statuses():
    return [each.record.status for each in Store(Path("results")).scan()[0]]


@pytest.mark.parametrize(
    ("executor", "status"),
    [("mine.py:One", "failed"), ("mine.py:One(status='timed_out')", "timed_out"), ("mine.py:make", "timed_out")],
)
def test_one_by_its_name(segbench, executor, status):
    code, out, err = segbench(executor, "--seeds", "0,1")
    assert (code, _statuses()) == (1, [status] * 2)
    assert f"[2/2] enet seed 0: {status.replace('_', ' ')}: why" in err
    assert "reports/index.html" in out


def test_jobs_limits_it(segbench):
    module = own.load("mine.py:One")(Silent())._executor.__class__
    segbench("mine.py:One", "--seeds", "0,1,2", "--jobs", "2")
    assert module.most == 2
    assert _statuses() == ["failed"] * 3


def test_one_of_a_package_and_of_an_entry_point(segbench, monkeypatch):
    Path("other").mkdir()
    Path("other", "__init__.py").write_text("")
    Path("other", "engine.py").write_text(CODE)
    point = EntryPoint("mine", "other.engine:make", own.GROUP)
    monkeypatch.setattr(own, "entry_points", lambda group: [point] if group == own.GROUP else [])
    assert segbench("other.engine:One")[0] == 1
    assert segbench("mine", "--seeds", "1")[0] == 1
    assert sorted(_statuses()) == ["failed", "timed_out"]


@pytest.mark.parametrize(
    ("executor", "message"),
    [
        ("slow", "unknown executor 'slow': use local, debug, slurm, FILE.py:CLASS or package.module:CLASS"),
        ("mine.py", "unknown executor 'mine.py': use local, debug, slurm, FILE.py:CLASS or package.module:CLASS"),
        ("none.py:One", "none.py:One: there is no file none.py"),
        ("none.engine:One", "none.engine:One: there is no module none.engine"),
        ("mine.py:Two", "mine.py has no class or function Two"),
        ("mine.py:One(width=3)", "mine.py:One: cannot be made: TypeError: "),
        ("mine.py:One(3)", "mine.py:One(3): arguments are NAME=VALUE"),
        ("mine.py:Full", "mine.py:Full: cannot be made: OSError: no cluster (line "),
        ("mine.py:Without", "mine.py:Without is not an executor: it has no submit, poll or cancel"),
        ("mine.py:Wrong", "mine.py:Wrong: poll returned str, not Stored or InterruptedRun"),
        ("broken.py:One", "broken.py cannot be imported: SyntaxError"),
    ],
)
def test_mistakes_are_one_line(segbench, executor, message):
    Path("broken.py").write_text("def")
    code, out, err = segbench(executor)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert message in err
    with pytest.raises(UserError) as raised:
        sb.run("enet", max_iters=2, device="cpu", executor=executor)
    assert message in str(raised.value)
    assert not Store(Path("results")).files()


def test_an_exception_of_it_ends_the_batch_and_keeps_what_is_stored(segbench):
    code, _, err = segbench("mine.py:Broken", "--seeds", "0,1,2,3")
    assert code == 2
    assert err.splitlines()[-1].startswith("segbench: error: mine.py:Broken: poll: ValueError: lost (line ")
    assert len(_statuses()) == 4


def test_one_is_checked_even_if_nothing_is_to_be_run(segbench):
    with pytest.raises(UserError, match="unknown executor"):
        batch.executor_of("slow")
    assert batch.executor_of("debug") == "debug"
    assert batch.executor_of(Silent) is Silent


def test_a_run_of_which_nothing_is_heard_is_a_failure(tmp_path):
    (spec,) = batch.specs(
        ["enet"], "shapes_64x64_smoke", [0], "cpu", results=tmp_path / "results", work_dir=tmp_path / "work"
    )
    found = lost(spec, "node3 does not\x1banswer").record
    assert (found.status, found.cause) == ("failed", "killed")
    assert found.error.startswith("node3 does not")
    assert "\x1b" not in found.error
    path = Store(spec.results).add(blank(spec, datetime.now(timezone.utc), "ok"), {})
    assert lost(spec, "node3 does not answer") == read(path)
