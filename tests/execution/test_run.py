"""One run: what it leaves, and that the same run twice leaves the same."""

from dataclasses import replace
from datetime import datetime, timezone

import numpy as np
import pytest
import torch

from benchmark.confusion import scores
from benchmark.engine.hooks import StopHook, Stopped
from benchmark.execution import run, unfinished
from benchmark.execution.unfinished import Unfinished
from benchmark.results.arrays import read_arrays
from benchmark.results.reading import read
from benchmark.results.store import Store


@pytest.fixture
def spec(tmp_path):
    return run.Spec(
        architecture="enet",
        protocol="shapes_64x64_smoke",
        seed=0,
        device="cpu",
        deterministic=True,
        latency=True,
        overrides={"max_iters": 2},
        root=None,
        results=tmp_path / "results",
        work_dir=tmp_path / "work",
        keep_weights=True,
    )


def _told():
    told = []
    return told, lambda *event: told.append(event)


def test_what_a_run_leaves(spec):
    told, tell = _told()
    stored = read(run.perform(spec, tell))
    record, arrays = stored.record, read_arrays(stored)

    assert record.status == "ok"
    assert record.run_id == spec.run_id()
    assert {phase for phase, *_ in told} == {"profile", "train", "val", "test"}
    assert record.complexity.macs == record.complexity.macs_torch > 0
    assert record.latency[0].anchor_ratio > 0
    assert record.training.iterations == 2
    assert record.training.images == 2 * spec.config.train_dataloader.dataset.batch_size
    assert record.memory.training_peak > 0
    assert record.protocol.overrides == {"max_iters": 2}
    last = record.evaluation("last", "test")
    assert arrays["last_test"].shape == (64, 9, 9)
    assert last.miou == scores(arrays["last_test"]).miou
    assert last.images == len(arrays["names_test"]) == 64
    assert arrays["predictions"].shape == (4, 64, 64)
    samples = Store(spec.results).samples(spec.protocol, record.dataset.digest)
    assert samples.names.tolist() == arrays["prediction_names"].tolist()
    assert {a.name for a in record.artifacts} == {"counts", "checkpoint_last", "checkpoint_best"}
    assert (spec.folder / "last.pth").exists()


def test_the_same_run_twice(spec, tmp_path):
    one = read(run.perform(spec, lambda *_: None))
    other = replace(spec, results=tmp_path / "r2", work_dir=tmp_path / "w2")
    two = read(run.perform(other, lambda *_: None))
    assert one.record.run_id == two.record.run_id
    assert one.record.evaluations == two.record.evaluations
    hashes = [{a.name: a.sha256 for a in stored.record.artifacts} for stored in (one, two)]
    assert hashes[0] == hashes[1]


def test_weights_are_dropped_where_the_protocol_says_so(spec):
    spec = replace(spec, keep_weights=None, latency=False)
    record = read(run.perform(spec, lambda *_: None)).record
    assert not spec.folder.exists()
    assert "checkpoint_last" in {a.name for a in record.artifacts}


def test_a_run_that_diverges_is_recorded(spec):
    spec = replace(spec, overrides={"max_iters": 5}, latency=False)
    spec.config.optim_wrapper.optimizer = {"type": "SGD", "lr": 1e30}
    spec.config.optim_wrapper.clip_grad = None
    record = read(run.perform(spec, lambda *_: None)).record
    assert record.status == "diverged"
    assert "iteration" in record.error
    assert record.evaluations == []
    assert record.complexity is not None


def test_a_run_that_fails_keeps_what_was_measured_before(spec, monkeypatch):
    def fail(*_):
        raise RuntimeError("out of luck\nand more")

    monkeypatch.setattr("benchmark.engine.session.Session.train", fail)
    stored = read(run.perform(replace(spec, latency=False), lambda *_: None))
    assert (stored.record.status, stored.record.error) == ("failed", "RuntimeError: out of luck")
    assert stored.record.complexity.params == 363_791 - (11 - 8) * (16 * 2 * 2 + 1)  # 8 classes; 363,791 have 11
    assert stored.record.training is None


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MemoryError(), "out_of_memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), "out_of_memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "out_of_memory"),
        (ValueError("two\nlines"), "failed"),
    ],
)
def test_failures(error, status):
    found = run._failure(error)
    assert found["status"] == status
    assert "\n" not in found["error"]


def test_samples_are_spread_over_the_split():
    class Ten:
        classes, palette, names = ("a",), ((0, 0, 0),), tuple("0123456789")

        def __len__(self):
            return 10

        def image(self, index):
            return np.full((2, 2, 3), index, np.uint8)

        def label(self, index):
            return np.zeros((2, 2), np.uint8)

    assert run._samples(Ten()).names.tolist() == ["1", "3", "6", "8"]


class Clock:
    """Lets the time be up at the n-th look of `StopHook`."""

    def __init__(self, monkeypatch):
        self.looks = 0
        monkeypatch.setattr(StopHook, "_is_over", lambda hook: self.look())

    def look(self):
        self.looks -= 1
        return self.looks < 0


def test_a_run_that_is_stopped_anywhere_leaves_the_result_of_one_that_was_not(spec, tmp_path, monkeypatch):
    """In the training, twice on test, and what was measured before is not measured again."""
    spec.config.test_dataloader.batch_size = 16
    whole = read(run.perform(spec, lambda *_: None))
    clock = Clock(monkeypatch)
    cut = replace(spec, results=tmp_path / "cut", work_dir=tmp_path / "cut-work", deadline=1.0)
    cut.config.test_dataloader.batch_size = 16
    told, tell = _told()
    for looks, stopped in ((1, ("train", 1)), (3, ("test", 2)), (0, ("test", 2))):
        clock.looks = looks
        with pytest.raises(Stopped) as caught:
            run.perform(cut, tell)
        found = unfinished.find(cut.folder)
        assert (caught.value.phase, found.iteration) == stopped
        assert not list((tmp_path / "cut").rglob("*.json"))
    seconds, (latency,) = found.record.seconds, found.record.latency
    told.clear()
    clock.looks = 99
    monkeypatch.setattr("benchmark.profiling.latency.measure", None)
    again = read(run.perform(cut, tell))
    assert {phase for phase, *_ in told} == {"profile", "test"}
    one, two = whole.record, again.record
    assert (one.run_id, one.evaluations, one.artifacts) == (two.run_id, two.evaluations, two.artifacts)
    assert (one.training.loss, one.training.val_miou) == (two.training.loss, two.training.val_miou)
    assert two.training.iterations == 2
    assert two.memory.training_peak > 0
    assert two.latency == [latency]
    assert two.seconds > seconds
    assert unfinished.find(cut.folder) is None
    assert whole.path.with_suffix(".npz").read_bytes() == again.path.with_suffix(".npz").read_bytes()


def test_what_was_measured_elsewhere_is_measured_again(spec):
    draft = run.blank(spec, datetime.now(timezone.utc))
    for cpu, begun in (("Another CPU", False), (draft.environment.cpu, True)):
        environment = draft.environment.model_copy(update={"cpu": cpu})
        before = draft.model_copy(update={"seconds": 7.0, "environment": environment})
        unfinished.save(spec.folder, Unfinished(1, before))
        assert (run._begun(spec).seconds == 7.0) is begun
