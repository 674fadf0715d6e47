"""A run that is killed at any file operation: the next call leaves the bits of a run that was not."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.configs import compose
from benchmark.confusion import count
from benchmark.engine import stop
from benchmark.engine.hooks import PARTS, POINTER, STATE, Interrupted, ResumeHook, WeightsHook, find_state
from benchmark.engine.session import Counted
from benchmark.engine.trained import ExecutionMode, Trained
from benchmark.errors import UserError
from benchmark.execution import interrupted, run
from benchmark.execution.plan import lookup
from benchmark.files.atomic import replacing
from benchmark.files.lock import exclusive
from benchmark.results import environment, record
from benchmark.results.reading import read
from benchmark.results.validate import check
from benchmark.weights import checkpoint

CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.truncate", "shutil.rmtree")


class Killed(BaseException):
    pass


class Killer:
    """Ends what runs at its n-th change of a file under a folder, and lets nothing be changed after it.

    Args:
        folder: where changes count.
        at: the number of the change that is not made any more, counted from 0; None for no end.
        torn: leave half of the file that was opened last.
        end: ends the process; by default an exception does.
    """

    active: Killer | None = None

    def __init__(self, folder, at=None, torn=False, end=None):
        self.folder, self.at, self.torn, self.end = str(folder), at, torn, end
        self.changes, self.opened, self.dead = 0, None, False

    @contextmanager
    def watching(self):
        Killer.active = self
        try:
            yield self
        finally:
            Killer.active = None
            if self.dead and self.torn and self.opened and (path := Path(self.opened)).is_file():
                os.truncate(path, path.stat().st_size // 2)

    def see(self, event, arguments):
        path, _, flags = (*arguments, None, None, None)[:3]
        writes = event == "open" and (flags or 0) & (os.O_WRONLY | os.O_RDWR)
        if not (writes or event in CHANGES) or not isinstance(path, str | os.PathLike):
            return
        path = os.fspath(path)
        if not path.startswith(self.folder) or "vis_data" in path or path.endswith((".log", ".lock")):
            return  # of mmengine, and never read
        if self.dead or self.changes == self.at:
            self.dead = True
            if self.end:
                self.end()
            raise Killed(event, path)
        self.changes += 1
        if event == "open":
            self.opened = path
        elif event == "os.rename" and path == self.opened:
            self.opened = None  # it was whole before it was renamed


def _audit(event, arguments):
    if Killer.active is not None:
        Killer.active.see(event, arguments)


sys.addaudithook(_audit)  # sees every change that Python makes, by whatever module


class Loop:
    """What the hooks ask of a training loop."""

    def __init__(self, runner):
        self.runner, self.spent, self.seconds, self.mode = runner, 0.0, 1.0, None

    def is_validated(self):
        return self.runner.iter % 2 == 0


class Runner:
    """Trains two weights for four iterations, with the hooks and the files of a training and nothing else of it."""

    max_iters, cfg = 4, {}

    def __init__(self, work_dir):
        self.work_dir, self.iter, self.model = str(work_dir), 0, torch.nn.Linear(2, 1, bias=False)
        torch.nn.init.ones_(self.model.weight)
        self.hooks = [WeightsHook(), ResumeHook()]  # in the order of their priorities
        self.train_loop = Loop(self)

    def call(self, stage, **arguments):
        for hook in self.hooks:
            getattr(hook, stage)(self, **arguments)

    def save_checkpoint(self, folder, name, by_epoch):
        content = {part: {} for part in PARTS} | {"meta": {"iter": self.iter}, "state_dict": self.model.state_dict()}
        self.call("before_save_checkpoint", checkpoint=content)
        with Path(folder, name).open("wb") as file:
            torch.save(content, file)

    def train(self, state):
        if state is not None:
            content = torch.load(state, weights_only=False)
            self.call("after_load_checkpoint", checkpoint=content)
            self.model.load_state_dict(content["state_dict"])
            self.iter = content["meta"]["iter"]
        self.call("before_train")
        while self.iter < self.max_iters:
            with torch.no_grad():
                self.model.weight *= torch.tensor([0.5, 1.25])
            self.iter += 1
            if self.train_loop.is_validated():
                self.call("after_val_epoch", metrics={"mIoU": self.best_at[self.iter]})
                self.call("after_val")
        self.call("after_train_epoch")
        self.call("after_train")


class StubSession:
    """A session around `Runner`: what `execution.run` asks of one."""

    first_stage = peak_memory = None

    def __init__(self, config, folder, tell, **_):
        self.folder, self.tell, self.runner = folder, tell, Runner(folder)

    def train(self):
        self.runner.train(find_state(self.folder))
        kept = self.runner.hooks[0]
        execution = ExecutionMode("host", "contiguous", False, None)
        return Trained(4, 1.0, [(4, 1.0)], kept.curve, kept.best_iteration, execution, self.folder)

    def load(self, path):
        checkpoint.load(self.runner.model, path)

    def evaluate(self, split, keep=()):
        source, wrong = run.sources("shapes", None)["test"], int(self.runner.model.weight[0, 1] * 20)
        labels = [source.label(index) for index in range(len(source))]
        predictions = [np.where(np.arange(64)[:, None] < wrong, 0, label).astype(np.uint8) for label in labels]
        counts = [count(*pair, len(source.classes)) for pair in zip(predictions, labels, strict=True)]
        by_name = dict(zip(source.names, predictions, strict=True))
        return Counted(list(source.names), np.stack(counts), {name: by_name[name] for name in keep})


@pytest.fixture
def stub(monkeypatch):
    """Runs that take milliseconds; what they write is written by the code of a real one."""
    monkeypatch.setattr("benchmark.engine.session.Session", StubSession)
    monkeypatch.setattr("benchmark.results.environment.capture", cache(environment.capture))
    _skip_profile(monkeypatch.setattr)


def _spec(folder, **fields):
    arguments = {"keep_weights": None, "overrides": {"max_iters": 4, "val_interval": 2}} | fields
    spec = run.Spec(
        architecture="enet",
        protocol="shapes_64x64_smoke",
        seed=0,
        device="cpu",
        deterministic=True,
        latency=False,
        root=None,
        results=folder / "results",
        work_dir=folder / "work",
        **arguments,
    )
    spec.__dict__["config"] = _config()
    return spec


@cache
def _config():
    return compose.compose("enet", "shapes_64x64_smoke", deterministic=True, max_iters=4, val_interval=2)


def _skip_profile(setattr):
    complexity = record.Complexity(
        params=1, params_total=1, macs=1, macs_torch=1, uncounted=[], size=(64, 64), classes=8
    )
    setattr("benchmark.profiling.complexity.measure", lambda *_: complexity)
    setattr("benchmark.profiling.memory.inference_peak", lambda *_: 1 << 28)


def _run_one(spec):
    return run.run_one(spec, lambda *_: None)


def _outcome(spec):
    """What must not depend on kills: the record without its times, and the arrays."""
    (path,) = spec.results.glob("*/*/*.json")
    assert not check(path)
    found = read(path).record
    training = found.training.model_copy(update={"seconds": 0.0, "setup_seconds": None})
    return (
        found.status,
        found.run_id,
        found.evaluations,
        found.artifacts,
        training,
        path.with_suffix(".npz").read_bytes(),
    )


def _run_unless_stored(spec):
    """What the repeated command does."""
    (found,) = lookup([spec])
    if found.stored:
        interrupted.clear(spec.folder, keep=spec.keeps_weights)
    else:
        _run_one(spec)


def _left(folder):
    return [path for path in folder.rglob("*") if path.name.endswith((".tmp", ".new"))]


@pytest.mark.parametrize(("torn", "best", "keep"), [(False, 2, False), (True, 4, True)], ids=["whole", "torn"])
def test_a_run_killed_at_any_change_of_a_file_ends_in_the_same_bits(stub, tmp_path, monkeypatch, torn, best, keep):
    monkeypatch.setattr(Runner, "best_at", {2: 10.0, 4: 15.0 if best == 4 else 5.0}, raising=False)
    with Killer(tmp_path / "whole").watching() as counter:
        _run_one(_spec(tmp_path / "whole", keep_weights=keep))
    expected = _outcome(_spec(tmp_path / "whole"))
    assert counter.changes > 40
    for at in range(counter.changes):
        folder = tmp_path / str(at)
        spec = _spec(folder, keep_weights=keep)
        with Killer(folder, at, torn).watching(), pytest.raises(Killed):
            _run_one(spec)
        again = tmp_path / f"again {at}"
        shutil.copytree(folder, again)
        for run_again, place in ((_run_one, folder), (_run_unless_stored, again)):
            spec = _spec(place, keep_weights=keep)
            run_again(spec)
            assert _outcome(spec) == expected, at
            assert not _left(place), at
            assert keep == (spec.folder / "last.pth").exists()
            assert not (spec.folder / STATE).exists()
            assert keep == spec.folder.exists() == spec.folder.parents[1].exists()
            assert not (spec.folder / interrupted.FILE).exists()


def test_a_state_that_is_missing_or_damaged_is_ignored_with_a_word(stub, tmp_path, monkeypatch, capsys):
    """A pointer to nothing, as kills between two removals left it; a torn state; one that holds something else."""
    monkeypatch.setattr(Runner, "best_at", {2: 10.0, 4: 5.0}, raising=False)
    _run_one(_spec(tmp_path / "whole"))
    expected, buffer = _outcome(_spec(tmp_path / "whole")), io.BytesIO()
    torch.save({"state_dict": {}}, buffer)
    for number, content in enumerate([None, b"", b"text", b"PK\x03\x04", buffer.getvalue(), buffer.getvalue()[:-9]]):
        spec = _spec(tmp_path / str(number))
        spec.folder.mkdir(parents=True)
        (spec.folder / POINTER).write_text(str(spec.folder / STATE))
        if content is not None:
            (spec.folder / STATE).write_bytes(content)
        capsys.readouterr()
        _run_one(spec)
        err = capsys.readouterr().err
        assert err.count("is ignored, and the training restarts: ") == err.count("\n") == 1, err
        assert "weights_only" not in err
        assert _outcome(spec) == expected


def test_a_training_whose_weights_are_gone_begins_anew(stub, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Runner, "best_at", {2: 10.0, 4: 5.0}, raising=False)
    with monkeypatch.context() as broken:
        broken.setattr(StubSession, "evaluate", lambda *_, **__: 1 / 0)
        _run_one(_spec(tmp_path))
    spec = _spec(tmp_path)
    assert interrupted.find(spec.folder).record.training is not None
    (spec.folder / "best.pth").write_bytes(b"torn")
    _run_one(spec)
    assert "lacks weights of its training" in capsys.readouterr().err
    assert _outcome(spec)[0] == "ok"


def test_the_seconds_of_a_killed_call_count(stub, tmp_path, monkeypatch):
    monkeypatch.setattr(Runner, "best_at", {2: 10.0, 4: 5.0}, raising=False)
    spec = _spec(tmp_path)
    with Killer(tmp_path, 30).watching(), pytest.raises(Killed):
        _run_one(spec)
    found = interrupted.find(spec.folder)
    before = found.record.model_copy(update={"seconds": 1000.0})
    interrupted.save(spec.folder, interrupted.ResumableRun(found.iteration, before))
    assert 1000 < read(_run_one(spec)).record.seconds < 1100


def test_a_run_that_is_resumed_in_another_environment_has_all_measurements(stub, tmp_path, monkeypatch):
    """For example after a commit that changes no code of runs."""
    monkeypatch.setattr(Runner, "best_at", {2: 10.0, 4: 5.0}, raising=False)
    spec, capture = _spec(tmp_path), environment.capture
    with Killer(tmp_path, 30).watching(), pytest.raises(Killed):
        _run_one(spec)
    assert interrupted.find(spec.folder).record.complexity is not None

    def other(*arguments, **keywords):
        return capture(*arguments, **keywords).model_copy(update={"cores": 99})

    monkeypatch.setattr("benchmark.results.environment.capture", other)
    found = read(_run_one(spec)).record
    assert (found.status, found.environment.cores) == ("ok", 99)
    assert found.complexity is not None
    assert found.memory is not None


def test_two_identical_runs_do_not_share_a_folder(stub, tmp_path, monkeypatch):
    monkeypatch.setattr(Runner, "best_at", {2: 10.0, 4: 5.0}, raising=False)
    spec = _spec(tmp_path)
    with exclusive(spec.folder), pytest.raises(UserError, match=rf"in progress \(process {os.getpid()}\)"):
        _run_one(spec)
    assert not spec.results.exists()
    _run_one(spec)
    assert _outcome(spec)[0] == "ok"


def test_a_run_that_was_asked_to_stop_is_interrupted_whatever_is_raised(stub, tmp_path, monkeypatch):
    """As by the handler of a signal that the network has installed."""

    def stopped(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(StubSession, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        _run_one(_spec(tmp_path))
    monkeypatch.setattr(stop, "is_requested", lambda: True)
    with pytest.raises(Interrupted):
        _run_one(_spec(tmp_path))
    assert not _spec(tmp_path).results.exists()


def test_a_folder_that_is_removed_while_it_is_being_locked_is_created_again(tmp_path, monkeypatch):
    folder, real, removals = tmp_path / "protocol" / "network" / "run", os.open, []

    def removing(path, *arguments, **keywords):
        if str(path).startswith(str(folder)) and not removals:
            removals.append(shutil.rmtree(tmp_path / "protocol"))
        return real(path, *arguments, **keywords)

    monkeypatch.setattr(os, "open", removing)
    with exclusive(folder):
        assert folder.is_dir()
    assert removals


def test_a_lock_ends_with_its_process(tmp_path):
    """Not with that of a child, which a data loader forks and which lives on for seconds."""
    code = (
        "import os, sys, time; from pathlib import Path; from benchmark.files.lock import exclusive\n"
        "with exclusive(Path(sys.argv[1])):\n"
        "    if os.fork():\n        time.sleep(60)\n"
        "    print('held', flush=True)\n"  # by the child, so that it has given the lock up by then
        "    os.close(1); time.sleep(3)"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], **pipes) as process:
        process.stdout.readline()
        with pytest.raises(UserError, match=f"process {process.pid}"), exclusive(tmp_path):
            pass
        process.kill()
        process.wait()
        with exclusive(tmp_path):
            pass
        assert process.stderr.read() == b""  # of the child, which has nothing left to close


def test_what_a_kill_left_is_swept_and_nothing_else(tmp_path):
    left, ours = tmp_path / "first_stage" / ".best.pth.0123abcd.tmp", tmp_path / ".notes.tmp"
    left.parent.mkdir()
    for path in (left, ours):
        path.write_bytes(b"")
    with replacing(tmp_path / "now") as temporary, exclusive(tmp_path):
        assert temporary.exists()
        temporary.write_text("whole")
    assert (left.exists(), ours.exists(), (tmp_path / "now").read_text()) == (False, True, "whole")


@pytest.mark.slow
def test_a_real_training_killed_at_any_change_of_a_file_ends_in_the_same_bits(tmp_path, monkeypatch):
    """Killed by the kernel in a process of its own, and taken up in this one."""
    _skip_profile(monkeypatch.setattr)
    _run_one(_spec(tmp_path / "whole"))
    expected, at = _outcome(_spec(tmp_path / "whole")), 0
    while True:
        spec = _spec(tmp_path / str(at))
        code = subprocess.run([sys.executable, __file__, tmp_path / str(at), str(at)], check=False).returncode
        if code != -signal.SIGKILL:
            break
        _run_one(spec)
        assert _outcome(spec) == expected, at
        assert not _left(tmp_path / str(at)), at
        at += 1
    assert (code, at > 40) == (0, True)


if __name__ == "__main__":
    _skip_profile(lambda name, value: setattr(import_module(name.rpartition(".")[0]), name.rpartition(".")[2], value))
    with Killer(sys.argv[1], int(sys.argv[2]), end=lambda: os.kill(os.getpid(), signal.SIGKILL)).watching():
        _run_one(_spec(Path(sys.argv[1])))
