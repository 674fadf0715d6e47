"""Worker processes: whatever becomes of one, its run is recorded and the others go on."""

import multiprocessing
import os
import signal
import time
from datetime import datetime, timezone

import pytest

from benchmark.engine.hooks import Stopped
from benchmark.errors import UserError
from benchmark.execution import local
from benchmark.execution.plan import Job
from benchmark.execution.run import Spec, blank
from benchmark.results.store import Store

FORK = multiprocessing.get_context("fork")


class Watcher:
    def __init__(self):
        self.seen = []

    def begin(self, spec):
        self.seen.append("begin")

    def progress(self, spec, phase, done, total, loss):
        self.seen.append((phase, done, total, loss))

    def end(self, spec, record):
        self.seen.append(record.status)

    def cut(self, cut):
        self.seen.append(f"cut at {cut.phase} {cut.done}/{cut.total}")


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
    """Carry out something else in the place of the run, in workers that are forked from this process."""
    monkeypatch.setattr(multiprocessing, "get_context", lambda kind: FORK)
    monkeypatch.setattr(FORK, "set_forkserver_preload", lambda modules: None)

    def carry_out(perform, specs, watcher=None, jobs=1, **settings):
        monkeypatch.setattr(local, "perform", perform)
        return [stored.record for stored in local.carry_out(specs, watcher or Watcher(), jobs, **settings)]

    return carry_out


def _record(spec, tell):
    """What a run leaves that was not carried out."""
    return Store(spec.results).add(blank(spec, datetime.now(timezone.utc), "failed", "not tried"), {})


def test_a_killed_worker_leaves_a_record(tmp_path, in_worker):
    (record,) = in_worker(lambda spec, tell: os.kill(os.getpid(), signal.SIGKILL), [_spec(tmp_path)])
    assert record.status == "out_of_memory"
    assert "killed" in record.error
    (stored,), problems = Store(tmp_path / "results").scan()
    assert stored.record == record
    assert problems == []


def test_a_worker_that_exits_leaves_a_record(tmp_path, in_worker):
    (record,) = in_worker(lambda spec, tell: os._exit(3), [_spec(tmp_path)])
    assert record.status == "failed"
    assert "exit code 3" in record.error


def test_a_result_that_cannot_be_stored_stops_everything(tmp_path, in_worker):
    def perform(spec, tell):
        raise UserError("cannot write results: disk full")

    with pytest.raises(UserError, match="disk full"):
        in_worker(perform, [_spec(tmp_path), _spec(tmp_path, seed=1)])
    assert not (tmp_path / "results").exists()


def test_a_run_that_stops_leaves_no_result_and_is_no_failure(tmp_path, monkeypatch, in_worker):
    def perform(spec, tell):
        if spec.seed == 0:
            raise Stopped("train", 3, 8, 3)
        return _record(spec, tell)

    monkeypatch.setattr(local, "perform", perform)
    watcher, specs = Watcher(), [_spec(tmp_path), _spec(tmp_path, seed=1)]
    cut, stored = local.carry_out(specs, watcher)
    assert cut == local.Cut(specs[0], "train", 3, 8)
    assert stored.record.seed == 1
    assert watcher.seen == ["begin", "cut at train 3/8", "begin", "failed"]
    assert len(Store(tmp_path / "results").scan()[0]) == 1


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_in_turn_each_begins_when_its_turn_comes(tmp_path, monkeypatch, in_worker, device):
    """On a GPU, of a wave whose time is up while one is profiled, the others do not begin."""
    now = [0.0]
    monkeypatch.setattr("benchmark.execution.plan.time.monotonic", lambda: now[0])
    monkeypatch.setattr(local, "perform", _record)

    class Late(Watcher):
        def begin(self, spec):
            super().begin(spec)
            now[0] += 4.0

    jobs = [Job(_spec(tmp_path, seed=seed, device="cpu"), None, 1.0, 0.1) for seed in range(4)]
    ended = list(local.in_turn(jobs, device, Late(), 1 if device == "cpu" else 4, deadline=7.0))
    assert [each.record.seed for each in ended] == [0, 1]


def test_an_interrupt_ends_the_workers(tmp_path, in_worker):
    def perform(spec, tell):
        (tmp_path / f"pid-{spec.seed}").write_text(str(os.getpid()))
        tell("train", 1, 1, None)
        signal.pause()

    class Interrupted(Watcher):
        def progress(self, *args):
            if len(list(tmp_path.glob("pid-*"))) == 2:
                raise KeyboardInterrupt
            time.sleep(0.1)
            self.progress(*args)

    with pytest.raises(KeyboardInterrupt):
        in_worker(perform, [_spec(tmp_path), _spec(tmp_path, seed=1)], Interrupted(), jobs=2)
    for pid in tmp_path.glob("pid-*"):
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)


@pytest.mark.parametrize(("gated", "phase"), [(False, "train"), (True, "profile")])
def test_a_worker_whose_parent_has_gone_gives_up_and_stores_nothing(tmp_path, monkeypatch, gated, phase):
    def perform(spec, tell):
        try:
            tell(phase, 1, 1, None)
            tell("train", 1, 1, None)
        except Exception:
            return _record(spec, tell)

    monkeypatch.setattr(local, "perform", perform)
    ours, theirs = FORK.Pipe()
    worker = FORK.Process(target=local._work, args=(_spec(tmp_path), theirs, gated))
    ours.close()
    worker.start()
    worker.join()
    assert worker.exitcode == 1
    assert not (tmp_path / "results").exists()


def test_progress_is_told_but_not_too_often(tmp_path, in_worker):
    def perform(spec, tell):
        for i in range(1000):
            tell("train", i + 1, 1000, 0.5)
        return _record(spec, tell)

    watcher = Watcher()
    in_worker(perform, [_spec(tmp_path)], watcher)
    assert watcher.seen[-2:] == [("train", 1000, 1000, 0.5), "failed"]
    assert len(watcher.seen) < 100


def test_runs_go_side_by_side(tmp_path, in_worker):
    """Each of the two waits for the other to have begun."""

    def perform(spec, tell):
        (tmp_path / f"begun-{spec.seed}").touch()
        for _ in range(100):
            if len(list(tmp_path.glob("begun-*"))) == 2:
                return _record(spec, tell)
            time.sleep(0.1)
        os._exit(1)

    records = in_worker(perform, [_spec(tmp_path), _spec(tmp_path, seed=1)], jobs=2)
    assert [record.error for record in records] == ["not tried", "not tried"]


def test_gated_runs_are_profiled_one_by_one_and_trained_together(tmp_path, in_worker):
    """Nothing else is at work while one is profiled; one that dies on the way holds up nobody."""
    places = "profiles", "trains"
    for place in places:
        (tmp_path / place).mkdir()
    profiles, trains = (tmp_path / place for place in places)

    def perform(spec, tell):
        here = profiles / str(spec.seed)
        here.touch()
        tell("profile", 0, 1, None)
        time.sleep(0.1)
        alone = len(list(profiles.iterdir())) == 1 and not any(trains.iterdir())
        here.unlink()
        if not alone or spec.seed == 1:
            os._exit(3)
        tell("profile", 1, 1, None)
        (trains / str(spec.seed)).touch()
        while len(list(trains.iterdir())) < 2:
            time.sleep(0.01)
        return _record(spec, tell)

    specs = [_spec(tmp_path, seed=seed) for seed in range(3)]
    records = in_worker(perform, specs, jobs=3, gated=True)
    assert sorted(record.error for record in records) == ["not tried", "not tried", "the process died with exit code 3"]


def test_a_failure_is_recorded_and_the_rest_go_on(tmp_path):
    """Two real runs in real workers; the first asks for a backbone of mmpretrain, which is not installed."""
    broken = _spec(tmp_path, "mmseg:convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512")
    watcher = Watcher()
    records = [stored.record for stored in local.carry_out([broken, _spec(tmp_path)], watcher)]
    assert [r.architecture for r in records] == [broken.architecture, "enet"]
    assert records[0].status == "failed"
    assert records[0].error
    assert "\n" not in records[0].error
    assert (
        (tmp_path / "work" / "shapes_64x64_smoke")
        .joinpath("mmseg+convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512", records[0].run_id, "error.log")
        .exists()
    )
    assert records[1].status == "ok"
    assert [entry for entry in watcher.seen if isinstance(entry, str)] == ["begin", "failed", "begin", "ok"]
    stored, problems = Store(tmp_path / "results").scan()
    assert len(stored) == 2
    assert problems == []
