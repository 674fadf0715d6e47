"""What comes of many runs, whatever makes them."""

from datetime import datetime, timezone

import pytest

from benchmark.errors import UserError
from benchmark.execution import batch
from benchmark.execution.executor import InterruptedRun
from benchmark.execution.run import blank
from benchmark.results.reading import read
from benchmark.results.store import Store


class Silent:
    """A listener that records the names of its events."""

    def __init__(self):
        self.events = []

    def begin(self, spec):
        self.events.append(("begin", spec.seed))

    def progress(self, spec, phase, done, total, loss):
        self.events.append((phase, spec.seed))

    def end(self, spec, record):
        self.events.append(("end", spec.seed))

    def interrupt(self, run):
        self.events.append(("interrupt", run.spec.seed))


class Two:
    """An executor of two runs at a time: seed 1 is interrupted, the others fail."""

    def __init__(self, listener):
        self.listener, self.runs, self.most, self.cancelled = listener, [], 0, False

    @property
    def free_slots(self):
        return 2 - len(self.runs)

    @property
    def active(self):
        return len(self.runs)

    def submit(self, spec):
        self.runs.append(spec)
        self.most = max(self.most, len(self.runs))

    def poll(self):
        spec = self.runs.pop(0)
        if spec.seed == 1:
            return [InterruptedRun(spec, "train", 3, 4)]
        if spec.seed == 9:
            raise UserError("disk full")
        return [read(Store(spec.results).add(blank(spec, datetime.now(timezone.utc), "failed", "why"), {}))]

    def cancel(self):
        self.cancelled = True


@pytest.fixture
def jobs(tmp_path):
    """Makes jobs of seeds."""

    def make(*seeds):
        folders = {"results": tmp_path / "results", "work_dir": tmp_path / "work"}
        return batch.ordered(batch.specs(["enet"], "shapes_64x64_smoke", seeds, "cpu", **folders))

    return make


def test_any_executor_makes_the_runs(jobs):
    made, ended = [], []

    def two(listener):
        made.append(Two(listener))
        return made[0]

    found = batch.run(jobs(0, 1, 2, 3), Silent(), executor=two, on_end=ended.append)
    assert [each.record.seed for each in found.stored] == [0, 2, 3]
    assert [each.spec.seed for each in found.interrupted] == [1]
    assert [job.spec.seed for job in found.left] == [1]
    assert found.failed == 3
    assert len(ended) == 4
    assert (made[0].most, made[0].cancelled) == (2, True)


def test_what_cannot_be_stored_ends_all(jobs):
    made = []

    def two(listener):
        made.append(Two(listener))
        return made[0]

    with pytest.raises(UserError, match="disk full"):
        batch.run(jobs(0, 9, 2), Silent(), executor=two)
    assert made[0].cancelled


def test_a_run_in_this_process(jobs, monkeypatch):
    def run_one(spec, on_progress):
        on_progress("train", 1, 2, None)
        return Store(spec.results).add(blank(spec, datetime.now(timezone.utc), "failed", "why"), {})

    monkeypatch.setattr("benchmark.execution.in_process.run_one", run_one)
    listener = Silent()
    found = batch.run(jobs(0, 1), listener, executor="debug")
    assert [each.record.seed for each in found.stored] == [0, 1]
    assert listener.events == [(what, seed) for seed in (0, 1) for what in ("begin", "train", "end")]


def test_nothing_to_run():
    assert batch.run([], Silent()) == batch.Outcome([], [], [])


def test_architectures_that_the_protocol_cannot_train(tmp_path):
    folders = {"results": tmp_path / "results", "work_dir": tmp_path / "work"}
    both = batch.specs(["unet", "espnet"], "camvid_360x480_espnet", [0], "cpu", **folders)
    left, reasons = batch.trainable(both)
    assert [spec.architecture for spec in left] == ["espnet"]
    assert [spec.architecture for spec in reasons] == ["unet"]
    with pytest.raises(UserError, match="unet"):
        batch.trainable(both[:1])


class Unsteady(Two):
    """An executor whose runs end with the causes that they are given, then well."""

    def __init__(self, *causes):
        super().__init__(None)
        self.causes, self.attempts = list(causes), []

    def poll(self):
        spec = self.runs.pop(0)
        self.attempts.append((spec.seed, spec.attempt, spec.retries))
        record = blank(spec, datetime.now(timezone.utc), "failed", "why", self.causes.pop(0))
        return [read(Store(spec.results).add(record, {}))]


@pytest.mark.parametrize(
    ("causes", "retries", "attempts"),
    [
        (["killed", "hung", "exception"], 5, 3),
        (["out_of_memory", "exited", "killed"], 2, 3),
        (["killed"], 0, 1),
        (["time_limit"], 5, 1),
        (["diverged"], 5, 1),
        ([None], 5, 1),
    ],
)
def test_a_run_is_repeated_for_causes_that_may_pass(tmp_path, causes, retries, attempts):
    folders = {"results": tmp_path / "results", "work_dir": tmp_path / "work"}
    (spec,) = batch.specs(["enet"], "shapes_64x64_smoke", [0], "cpu", retries=retries, **folders)
    executor = Unsteady(*causes)
    (ended,) = batch.completed([spec], executor)
    assert ended.record.cause == causes[-1]
    assert executor.attempts == [(0, 1 + made, retries - made) for made in range(attempts)]


def test_a_run_is_not_repeated_after_its_deadline(tmp_path):
    folders = {"results": tmp_path / "results", "work_dir": tmp_path / "work"}
    (spec,) = batch.specs(["enet"], "shapes_64x64_smoke", [0], "cpu", retries=5, deadline=1.0, **folders)
    assert len(list(batch.completed([spec], Unsteady("killed")))) == 1
