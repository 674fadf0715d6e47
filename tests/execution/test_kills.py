"""A run that is killed at any file operation: the next call leaves the bits of a run that was not."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmark.execution import run
from benchmark.execution.lock import exclusive
from benchmark.errors import UserError
from benchmark.results import record
from benchmark.results.reading import read
from benchmark.results.validate import check

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
            if self.dead and self.torn and self.opened and os.path.isfile(self.opened):
                os.truncate(self.opened, os.path.getsize(self.opened) // 2)

    def see(self, event, arguments):
        path, mode, flags = (*arguments, None, None, None)[:3]
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


@pytest.fixture
def spec(tmp_path, monkeypatch):
    """A tiny run, whose profile costs nothing."""
    _skip_profile(monkeypatch.setattr)
    return _spec(tmp_path)


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
    return spec


def _skip_profile(setattr):
    complexity = record.Complexity(
        params=1, params_total=1, macs=1, macs_torch=1, uncounted=[], size=(64, 64), classes=8
    )
    setattr("benchmark.profiling.complexity.measure", lambda *_: complexity)
    setattr("benchmark.profiling.memory.inference_peak", lambda *_: 1)


def _outcome(spec):
    """What must not depend on kills: the record without its times, and the arrays."""
    (path,) = spec.results.glob("*/*/*.json")
    assert not check(path)
    found = read(path).record
    assert found.status == "ok"
    first = found.training.first_stage
    plain = found.training.model_copy(update={"seconds": 0.0, "first_stage": None})
    stages = [plain, first and first.model_copy(update={"seconds": 0.0})]
    return found.run_id, found.evaluations, found.artifacts, stages, path.with_suffix(".npz").read_bytes()


def _left(folder):
    return [path for path in folder.rglob("*") if path.name.endswith((".tmp", ".new"))]


@pytest.mark.parametrize("torn", [False, True], ids=["whole", "torn"])
def test_a_run_killed_at_any_change_of_a_file_ends_in_the_same_bits(spec, tmp_path, torn):
    run.perform(spec, lambda *_: None)
    with Killer(tmp_path / "again").watching() as counter:
        run.perform(_spec(tmp_path / "again"), lambda *_: None)
    expected = _outcome(spec)
    assert counter.changes > 20
    for at in range(counter.changes):
        killed = _spec(tmp_path / "killed")
        with Killer(tmp_path / "killed", at, torn).watching(), pytest.raises(Killed):
            run.perform(killed, lambda *_: None)
        run.perform(killed, lambda *_: None)
        assert _outcome(killed) == expected, at
        assert not _left(tmp_path / "killed")
        shutil.rmtree(tmp_path / "killed")
