"""One run: what it leaves, and that the same run twice leaves the same."""

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmark.confusion import scores
from benchmark.engine.hooks import DeadlineHook, Interrupted
from benchmark.execution import interrupted, run
from benchmark.execution.interrupted import ResumableRun
from benchmark.results.arrays import read_arrays
from benchmark.results.reading import read
from benchmark.results.record import Complexity, Execution
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


def _recorder():
    events = []
    return events, lambda *event: events.append(event)


def test_what_a_run_leaves(spec):
    events, on_progress = _recorder()
    stored = read(run.run_one(spec, on_progress))
    record, arrays = stored.record, read_arrays(stored)

    assert record.status == "ok"
    assert record.run_id == spec.identity.run_id
    assert {phase for phase, *_ in events} == {"profile", "train", "val", "test"}
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
    one = read(run.run_one(spec, lambda *_: None))
    other = replace(spec, results=tmp_path / "r2", work_dir=tmp_path / "w2")
    two = read(run.run_one(other, lambda *_: None))
    assert one.record.run_id == two.record.run_id
    assert one.record.evaluations == two.record.evaluations
    hashes = [{a.name: a.sha256 for a in stored.record.artifacts} for stored in (one, two)]
    assert hashes[0] == hashes[1]


def test_weights_are_dropped_where_the_protocol_says_so(spec):
    spec = replace(spec, keep_weights=None, latency=False)
    record = read(run.run_one(spec, lambda *_: None)).record
    assert not spec.folder.exists()
    assert "checkpoint_last" in {a.name for a in record.artifacts}


def test_a_run_that_diverges_is_recorded(spec):
    spec = replace(spec, overrides={"max_iters": 5}, latency=False)
    spec.config.optim_wrapper.optimizer = {"type": "SGD", "lr": 1e30}
    spec.config.optim_wrapper.clip_grad = None
    record = read(run.run_one(spec, lambda *_: None)).record
    assert record.status == "diverged"
    assert "iteration" in record.error
    assert record.evaluations == []
    assert record.complexity is not None


def test_a_run_of_two_stages_records_both(spec, two_stages):
    events, on_progress = _recorder()
    spec = replace(spec, protocol=two_stages, overrides={}, latency=False)
    training = read(run.run_one(spec, on_progress)).record.training
    first = training.first_stage
    assert (training.iterations, training.images) == (4, 4 * 4)
    assert (first.iterations, first.images, first.first_stage) == (2, 2 * 6, None)
    assert [iteration for iteration, _ in first.val_miou] == [1, 2]
    assert first.execution == training.execution
    assert [(done, total) for phase, done, total, _ in events if phase == "first_stage"] == [(1, 2), (2, 2)]
    assert [(done, total) for phase, done, total, _ in events if phase == "train"] == [(i, 4) for i in range(1, 5)]


def test_a_first_stage_that_diverges_is_recorded(spec, two_stages):
    spec = replace(spec, protocol=two_stages, overrides={"max_iters": 12}, latency=False)
    spec.config.first_stage.optim_wrapper.optimizer = {"type": "SGD", "lr": 1e30}
    spec.config.first_stage.optim_wrapper.clip_grad = None
    record = read(run.run_one(spec, lambda *_: None)).record
    assert record.status == "diverged"
    assert record.error.endswith(f"at iteration {record.training.first_stage.iterations} of the first stage")
    assert (record.training.iterations, record.training.loss, record.training.execution) == (0, [], None)


def test_a_run_that_fails_keeps_what_was_measured_before(spec, monkeypatch):
    def fail(*_):
        raise RuntimeError("out of luck\nand more")

    monkeypatch.setattr("benchmark.engine.session.Session.train", fail)
    stored = read(run.run_one(replace(spec, latency=False), lambda *_: None))
    assert (stored.record.status, stored.record.error) == ("failed", "RuntimeError: out of luck")
    assert stored.record.complexity.params == 363_791 - (11 - 8) * (16 * 2 * 2 + 1)  # 8 classes; 363,791 have 11
    assert stored.record.training is None


class Clock:
    """Lets the time be up at the n-th look of `DeadlineHook`."""

    def __init__(self, monkeypatch):
        self.looks = 0
        monkeypatch.setattr(DeadlineHook, "_is_over", lambda hook: self.look())

    def look(self):
        self.looks -= 1
        return self.looks < 0


def test_a_run_that_is_stopped_anywhere_leaves_the_result_of_one_that_was_not(spec, tmp_path, monkeypatch):
    """In the training, twice on test, and what was measured before is not measured again."""
    spec.config.test_dataloader.batch_size = 16
    whole = read(run.run_one(spec, lambda *_: None))
    clock = Clock(monkeypatch)
    cut = replace(spec, results=tmp_path / "cut", work_dir=tmp_path / "cut-work", deadline=1.0)
    cut.config.test_dataloader.batch_size = 16
    events, on_progress = _recorder()
    for looks, stopped in ((1, ("train", 1)), (3, ("test", 2)), (0, ("test", 2))):
        clock.looks = looks
        with pytest.raises(Interrupted) as caught:
            run.run_one(cut, on_progress)
        found = interrupted.find(cut.folder)
        assert (caught.value.phase, found.iteration) == stopped
        assert not list((tmp_path / "cut").rglob("*.json"))
    seconds, (latency,) = found.record.seconds, found.record.latency
    events.clear()
    clock.looks = 99
    monkeypatch.setattr("benchmark.profiling.latency.measure", None)
    again = read(run.run_one(cut, on_progress))
    assert {phase for phase, *_ in events} == {"profile", "test"}
    one, two = whole.record, again.record
    assert (one.run_id, one.evaluations, one.artifacts) == (two.run_id, two.evaluations, two.artifacts)
    assert (one.training.loss, one.training.val_miou) == (two.training.loss, two.training.val_miou)
    assert two.training.iterations == 2
    assert two.memory.training_peak > 0
    assert two.latency == [latency]
    assert two.seconds > seconds
    assert interrupted.find(cut.folder) is None
    assert whole.path.with_suffix(".npz").read_bytes() == again.path.with_suffix(".npz").read_bytes()


def test_what_was_measured_elsewhere_is_measured_again(spec):
    draft = run.blank(spec, datetime.now(timezone.utc))
    for cpu, begun in (("Another CPU", False), (draft.environment.cpu, True)):
        environment = draft.environment.model_copy(update={"cpu": cpu})
        before = draft.model_copy(update={"seconds": 7.0, "environment": environment})
        interrupted.save(spec.folder, ResumableRun(1, before))
        assert (run._initial(spec).seconds == 7.0) is begun


def test_what_does_not_depend_on_the_machine_is_kept(spec):
    """A job that is requeued goes on on another node."""
    draft = run.blank(spec, datetime.now(timezone.utc))
    environment = draft.environment.model_copy(update={"cpu": "Another CPU"})
    complexity = Complexity(params=1, params_total=1, macs=1, macs_torch=1, uncounted=[], size=(64, 64), classes=8)
    before = draft.model_copy(update={"environment": environment, "complexity": complexity})
    interrupted.save(spec.folder, ResumableRun(1, before))
    assert run._initial(spec).complexity == complexity
    assert run._initial(spec).environment == draft.environment


class Evaluated(Exception):
    @classmethod
    def begin(cls, *_):
        raise cls


@pytest.mark.parametrize(("layout", "arranged"), [("channels_last", ["channels_last"]), ("contiguous", []), (None, [])])
def test_weights_of_an_earlier_call_are_evaluated_in_the_memory_layout_of_their_training(monkeypatch, layout, arranged):
    """Whether its run is cut before its test or not, that computes the same."""
    seen = []
    execution = layout and Execution(batches="device", layout=layout, graph=True, compile_seconds=None)
    draft = SimpleNamespace(complexity=1, memory=1, latency=[1], training=SimpleNamespace(execution=execution))
    spec = SimpleNamespace(
        config=SimpleNamespace(protocol=SimpleNamespace(size=(8, 8))), latency=True, device="cpu", folder=Path()
    )
    session = SimpleNamespace(load=lambda path: seen.append(path), arrange=lambda layout: seen.append(layout))
    monkeypatch.setattr(run.outcome, "trained", lambda *_: SimpleNamespace(last="weights"))
    monkeypatch.setattr(run, "_evaluate", Evaluated.begin)
    with pytest.raises(Evaluated):
        list(run._measure(spec, run._Preparation(session=session), draft, lambda *_: None, {}))
    assert seen == ["weights", *arranged]
