"""Worker processes: whatever becomes of one, its run is recorded and the others go on."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from benchmark.errors import UserError
from benchmark.execution import local
from benchmark.execution.run import Spec
from benchmark.results.store import Store

FORK = multiprocessing.get_context("fork")


class Watcher:
    def __init__(self):
        self.seen = []

    def begin(self, spec):
        self.seen.append("begin")

    def progress(self, phase, done, total, loss):
        self.seen.append((phase, done, total, loss))

    def end(self, record):
        self.seen.append(record.status)


def _spec(tmp_path, architecture="enet", **changes):
    fields = {
        "architecture": architecture,
        "protocol": "shapes_64x64_smoke",
        "seed": 0,
        "device": "cpu",
        "deterministic": True,
        "latency": False,
        "overrides": {"max_iters": 2},
        "root": None,
        "results": tmp_path / "results",
        "work_dir": tmp_path / "work",
        "keep_weights": None,
    }
    return Spec(**(fields | changes))


@pytest.fixture
def in_worker(monkeypatch):
    """Put something in the place of the run, in workers that are forked from this process."""

    def put(perform):
        monkeypatch.setattr(local, "perform", perform)
        return local._isolated

    return put


def _only_record(tmp_path):
    (stored,), problems = Store(tmp_path / "results").scan()
    assert problems == []
    return stored.record


def test_a_killed_worker_leaves_a_record(tmp_path, in_worker):
    isolated = in_worker(lambda spec, tell: os.kill(os.getpid(), signal.SIGKILL))
    path = isolated(FORK, _spec(tmp_path), Watcher())
    record = _only_record(tmp_path)
    assert path == tmp_path / "results" / "shapes_64x64_smoke" / "enet" / f"{record.run_id}.json"
    assert record.status == "out_of_memory"
    assert "killed" in record.error


def test_a_worker_that_exits_leaves_a_record(tmp_path, in_worker):
    in_worker(lambda spec, tell: os._exit(3))(FORK, _spec(tmp_path), Watcher())
    assert _only_record(tmp_path).status == "failed"
    assert "exit code 3" in _only_record(tmp_path).error


def test_a_mistake_of_the_user_stops_everything_and_stores_nothing(tmp_path, in_worker):
    def perform(spec, tell):
        raise UserError("train/a.png is truncated")

    with pytest.raises(UserError, match=r"train/a\.png is truncated"):
        in_worker(perform)(FORK, _spec(tmp_path), Watcher())
    assert not (tmp_path / "results").exists()


def test_an_interrupt_ends_the_worker(tmp_path, in_worker):
    pid = tmp_path / "pid"

    def perform(spec, tell):
        pid.write_text(str(os.getpid()))
        tell("train", 1, 1, None)
        signal.pause()

    class Interrupted(Watcher):
        def progress(self, *args):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_worker(perform)(FORK, _spec(tmp_path), Interrupted())
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_progress_is_told_but_not_too_often(tmp_path, in_worker):
    def perform(spec, tell):
        for i in range(1000):
            tell("train", i + 1, 1000, 0.5)
        return Path("there")

    watcher = Watcher()
    assert in_worker(perform)(FORK, _spec(tmp_path), watcher) == Path("there")
    assert watcher.seen[-1] == ("train", 1000, 1000, 0.5)
    assert len(watcher.seen) < 100


def test_a_failure_is_recorded_and_the_rest_go_on(tmp_path):
    """Two real runs in real workers; the first asks for a network that cannot take part."""
    broken = _spec(tmp_path, "mmseg:san-vit-b16_coco-stuff164k-640x640")
    watcher = Watcher()
    records = [stored.record for stored in local.carry_out([broken, _spec(tmp_path)], watcher)]
    assert [r.architecture for r in records] == [broken.architecture, "enet"]
    assert records[0].status == "failed"
    assert records[0].error
    assert "\n" not in records[0].error
    assert (
        (tmp_path / "work" / "shapes_64x64_smoke")
        .joinpath("mmseg+san-vit-b16_coco-stuff164k-640x640", records[0].run_id, "error.log")
        .exists()
    )
    assert records[1].status == "ok"
    assert [entry for entry in watcher.seen if isinstance(entry, str)] == ["begin", "failed", "begin", "ok"]
    stored, problems = Store(tmp_path / "results").scan()
    assert len(stored) == 2
    assert problems == []
