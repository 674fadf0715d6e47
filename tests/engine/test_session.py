"""Training and evaluation: reproducible, resumable, and ended when the loss is no number."""

import math
import subprocess
import sys
import weakref
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook

from benchmark.configs import compose
from benchmark.confusion import scores
from benchmark.engine import session as session_module
from benchmark.engine.device import use
from benchmark.engine.evaluation import EVAL_BATCH_SIZE
from benchmark.engine.hooks import DeadlineHook, Diverged, Interrupted
from benchmark.engine.layout import LAYOUTS, arrange, memory_format
from benchmark.engine.session import Session, enable_fast_paths
from benchmark.engine.step import passes
from benchmark.engine.timings import EAGER, TrainingMode

SMOKE = "shapes_64x64_smoke"


def _config(iterations=6, interval=None, architecture="enet", **arguments):
    config = compose.compose(architecture, SMOKE, max_iters=iterations, deterministic=True, **arguments)
    config.train_cfg.val_interval = interval or iterations
    return config


def test_the_same_seed_gives_the_same_weights_and_metrics(tmp_path):
    trained = []
    for name in "ab":
        session = Session(_config(), tmp_path / name)
        trained.append((session.train(), session.evaluate("test")))
    (one, counted), (two, again) = trained
    assert one.last.read_bytes() == two.last.read_bytes()
    assert one.loss == two.loss
    assert one.val_miou == two.val_miou
    assert np.array_equal(counted.counts, again.counts)
    other = Session(_config(seed=1), tmp_path / "c").train()
    assert other.last.read_bytes() != one.last.read_bytes()


class Killed(Exception):
    pass


def test_a_killed_run_that_is_resumed_equals_one_that_was_not(tmp_path):
    whole = Session(_config(8, interval=2), tmp_path / "whole").train()

    def kill(phase, done, total, loss):
        if phase == "train" and done == 6:  # after the state of iteration 4 was saved
            raise Killed

    with pytest.raises(Killed):
        Session(_config(8, interval=2), tmp_path / "killed", kill).train()
    steps = []

    def watch(phase, done, total, loss):
        if phase == "train":
            steps.append(done)

    resumed = Session(_config(8, interval=2), tmp_path / "killed", watch, resume=True).train()
    assert steps == [5, 6, 7, 8]
    assert resumed.last.read_bytes() == whole.last.read_bytes()
    assert resumed.best.read_bytes() == whole.best.read_bytes()
    assert resumed.loss == whole.loss
    assert resumed.val_miou == whole.val_miou
    assert resumed.best_iteration == whole.best_iteration
    assert not (tmp_path / "killed" / "resume.pth").exists()


def test_the_state_is_written_between_validations_that_are_far_apart(tmp_path, monkeypatch):
    whole = Session(_config(8, interval=8), tmp_path / "whole").train()
    monkeypatch.setattr("benchmark.engine.hooks.STATE_SECONDS", 0.0)
    steps = []

    def kill(phase, done, total, loss):
        if done == 6:
            raise KeyboardInterrupt

    def watch(phase, done, total, loss):
        if phase == "train":
            steps.append(done)

    with pytest.raises(KeyboardInterrupt):
        Session(_config(8, interval=8), tmp_path / "killed", kill).train()
    resumed = Session(_config(8, interval=8), tmp_path / "killed", watch, resume=True).train()
    assert steps[0] in (6, 7)
    assert resumed.last.read_bytes() == whole.last.read_bytes()
    assert resumed.best.read_bytes() == whole.best.read_bytes()
    assert (resumed.loss, resumed.val_miou) == (whole.loss, whole.val_miou)
    assert not (tmp_path / "killed" / "resume.pth").exists()


@pytest.fixture
def looks(monkeypatch):
    """Let a deadline be a number of looks at the clock: before a training, after iterations and batches of images."""

    def is_over(hook):
        hook.deadline -= 1
        return hook.deadline < 0

    monkeypatch.setattr(DeadlineHook, "_is_over", is_over)


def _stopped(config, folder, looks):
    """A training that is taken up as often as it takes; how it came out, and where it was stopped."""
    stops = []
    for deadline in looks:
        try:
            return Session(config, folder, resume=True, deadline=deadline).train(), stops
        except Interrupted as stop:
            stops.append((stop.phase, stop.iteration))
    raise AssertionError(stops)


def test_a_run_that_is_stopped_anywhere_equals_one_that_was_not(tmp_path, looks):
    """It is stopped before it has begun, between validations, before one and within it."""
    config = _config(8, interval=3)
    config.val_dataloader.batch_size = 8
    whole = Session(config, tmp_path / "whole").train()
    trained, stops = _stopped(config, tmp_path / "cut", looks=[0, 2, 1, 2, 99])
    assert stops == [("train", 0), ("train", 2), ("train", 3), ("val", 3)]
    assert trained.last.read_bytes() == whole.last.read_bytes()
    assert trained.best.read_bytes() == whole.best.read_bytes()
    assert trained.loss == whole.loss
    assert trained.val_miou == whole.val_miou
    assert trained.best_iteration == whole.best_iteration
    assert trained.iterations == 8
    assert not (tmp_path / "cut" / "resume.pth").exists()


def test_the_seconds_of_a_training_are_those_of_all_its_sessions(tmp_path, looks):
    with pytest.raises(Interrupted):
        Session(_config(4, interval=2), tmp_path, deadline=2).train()
    state = torch.load(tmp_path / "resume.pth", weights_only=False)
    assert state["train_seconds"] > 0
    state["train_seconds"] = 1000.0
    torch.save(state, tmp_path / "resume.pth")
    assert 1000 < Session(_config(4, interval=2), tmp_path, resume=True).train().seconds < 1100


def test_a_test_that_is_stopped_costs_the_test_alone(tmp_path, looks):
    config = _config(2)
    config.test_dataloader.batch_size = 24
    session = Session(config, tmp_path, deadline=5)
    trained = session.train()
    session.evaluate("test")
    with pytest.raises(Interrupted) as caught:
        session.evaluate("test")
    assert (caught.value.phase, caught.value.iteration) == ("test", 2)
    assert (caught.value.done, caught.value.total) == (48, 64)
    assert trained.last.exists()


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path):
    config = _config(6)
    config.optim_wrapper.optimizer = {"type": "SGD", "lr": 1e30}
    config.optim_wrapper.clip_grad = None
    session = Session(config, tmp_path)
    with pytest.raises(Diverged, match=r"the loss is (nan|inf) at iteration \d") as caught:
        session.train()
    assert 1 < caught.value.iteration <= 6
    assert all(math.isfinite(loss) for _, loss in session.curve)


def test_best_is_the_earliest_of_the_best_on_val(tmp_path):
    trained = Session(_config(6, interval=2), tmp_path).train()
    values = [miou for _, miou in trained.val_miou]
    assert [iteration for iteration, _ in trained.val_miou] == [2, 4, 6]
    assert trained.best_iteration == [2, 4, 6][values.index(max(values))]


def test_evaluation_of_loaded_weights(tmp_path):
    session = Session(_config(4), tmp_path / "train")
    trained = session.train()
    counted = session.evaluate("test", keep=session.runner.test_dataloader.dataset.source.names[:2])
    fresh = Session(_config(4), tmp_path / "eval")
    fresh.load(trained.last)
    assert np.array_equal(fresh.evaluate("test").counts, counted.counts)
    assert list(counted.predictions) == counted.names[:2]
    assert counted.predictions[counted.names[0]].shape == (64, 64)
    on_val = fresh.evaluate("val")
    assert scores(on_val.counts).miou == trained.val_miou[-1][1]
    assert not list((tmp_path / "eval").rglob("*.pth"))


def test_counts_are_those_of_mmsegmentations_metric(tmp_path):
    """mmsegmentation's IoUMetric on the same predictions gives the same mIoU, mAcc and aAcc."""
    from mmseg.evaluation import IoUMetric

    session = Session(_config(4), tmp_path)
    session.train()
    names = session.runner.test_dataloader.dataset.source.names
    counted = session.evaluate("test", keep=names)
    source = session.runner.test_dataloader.dataset.source
    metric = IoUMetric(iou_metrics=["mIoU"])
    metric.dataset_meta = {"classes": source.classes}
    for index, name in enumerate(names):
        prediction = torch.from_numpy(counted.predictions[name].astype(np.int64))
        label = torch.from_numpy(source.label(index).astype(np.int64))
        metric.process({}, [{"pred_sem_seg": {"data": prediction[None]}, "gt_sem_seg": {"data": label[None]}}])
    theirs, ours = metric.evaluate(len(names)), scores(counted.counts)
    assert ours.miou == pytest.approx(theirs["mIoU"], abs=0.006)  # theirs is rounded to two decimals
    assert ours.macc == pytest.approx(theirs["mAcc"], abs=0.006)
    assert ours.aacc == pytest.approx(theirs["aAcc"], abs=0.006)


def test_mixed_precision_trains(tmp_path):
    trained = Session(_config(2, precision="bfloat16"), tmp_path).train()
    assert all(math.isfinite(loss) for _, loss in trained.loss)


ROUNDING = 1e-8
"""Distance up to which two trainings may be in float64 that differ in the order of their sums alone.

What may move most are weights whose gradients are rounding alone, 2^-53 of numbers of size one, which AdamW divides by
its epsilon, 1e-8, and multiplies by the learning rate, 3e-3: 3e-11. The bound leaves 300 times as much for other
processors; a mistake moves weights by a step, which is the learning rate. In float32 such weights are a whole step
apart, as rounding is more than epsilon there, so that no bound would tell one from the other.
"""

SMOOTH = "espnet-c"
"""A network without max-pooling, for which that bound holds.

Where the largest values of a window are equal, as in the flat areas of drawn scenes, rounding chooses among them. The
indices go to another pixel then, and what ENet unpools with them goes along: losses were 5e-7 apart.
"""


def _in_float64(config, folder, mode=None):
    session = Session(config, folder, mode=mode)
    session.runner.model.double()
    trained = session.train()
    return session, np.array([loss for _, loss in trained.loss]), torch.load(trained.last)["state_dict"]


@pytest.fixture(scope="module")
def careful(tmp_path_factory):
    """Losses and weights of a training as its config has it."""
    return _in_float64(_config(2, architecture=SMOOTH), tmp_path_factory.mktemp("careful"))[1:]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_training_on_fast_paths_comes_out_alike_in_every_layout(tmp_path, careful, layout):
    config = _config(2, architecture=SMOOTH)
    enable_fast_paths(config)
    session, losses, weights = _in_float64(config, tmp_path, TrainingMode(layout, graph=False, compiled=False))
    assert session.runner.optim_wrapper.optimizer.defaults["fused"]
    assert session.execution.layout == layout
    assert np.allclose(losses, careful[0], rtol=ROUNDING, atol=0)
    for name, value in weights.items():
        assert torch.allclose(value, careful[1][name], rtol=0, atol=ROUNDING), name


def test_what_a_training_that_is_not_deterministic_may_take(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmark.engine.session.get_device", lambda: "cuda")
    session = Session(_config(2), tmp_path)
    assert session._mode == EAGER
    config = _config(2)
    config.randomness.deterministic = False
    session = Session(config, tmp_path)
    assert session._mode is None
    assert session._config.optim_wrapper.optimizer.fused
    assert session._config.test_dataloader.batch_size == config.test_dataloader.batch_size == 32
    config.test_dataloader.batch_size = 1
    assert Session(config, tmp_path)._config.test_dataloader.batch_size == EVAL_BATCH_SIZE


@pytest.mark.parametrize("device", ["mps", "cuda"])
def test_a_session_computes_on_the_device_that_was_chosen(tmp_path, monkeypatch, device):
    """mmengine takes what it found at its import."""
    monkeypatch.setattr("mmengine.device.utils.DEVICE", device)
    use("cpu")
    session = Session(_config(1), tmp_path)
    session.train()
    assert {weight.device.type for weight in session.runner.model.parameters()} == {"cpu"}


def test_a_resumed_training_takes_the_mode_that_it_was_begun_in(tmp_path, looks):
    with pytest.raises(Interrupted):
        Session(_config(4, interval=2), tmp_path, deadline=2, mode=TrainingMode("channels_last", False, False)).train()
    session = Session(_config(4, interval=2), tmp_path, resume=True)
    assert session.train().execution.layout == "channels_last"


def test_a_validation_that_a_resumed_training_makes_up_for_has_its_memory_layout(tmp_path, looks, monkeypatch):
    """It comes before the first step, and has the bits of one within the training."""
    formats = []
    before = DeadlineHook.after_val_iter

    def note(hook, runner, *args, **kwargs):
        formats.append(memory_format(runner.model))
        before(hook, runner, *args, **kwargs)

    monkeypatch.setattr(DeadlineHook, "after_val_iter", note)
    config = _config(4, interval=2)
    config.val_dataloader.batch_size = 8
    with pytest.raises(Interrupted) as stopped:  # the first look is before the training, one follows each step
        Session(config, tmp_path, deadline=3, mode=TrainingMode("channels_last", False, False)).train()
    assert stopped.value.phase == "val"
    assert formats == [torch.channels_last]
    session = Session(config, tmp_path, resume=True, deadline=1000)
    session.train()
    assert set(formats) == {torch.channels_last}
    assert len(formats) > 2


def test_the_weights_of_a_training_are_evaluated_in_its_memory_layout(tmp_path):
    session = Session(_config(1), tmp_path)
    session.arrange("channels_last")
    assert memory_format(session.runner.model) == torch.channels_last
    session.load(Session(_config(1), tmp_path / "trained").train().last)
    session.evaluate("val")
    assert memory_format(session.runner.model) == torch.channels_last


def test_counts_of_steps_of_a_resumed_training_lie_where_they_are_read(tmp_path, looks, monkeypatch):
    """On a GPU, to which mmengine loads them; on a CPU they are there."""
    moved = []
    monkeypatch.setattr(session_module.layout, "counts_to_host", lambda optimizer: moved.append(_count(optimizer)))
    with pytest.raises(Interrupted):
        Session(_config(4, interval=2), tmp_path, deadline=2).train()
    assert not moved
    Session(_config(4, interval=2), tmp_path, resume=True, deadline=1000).train()
    assert moved == [2]


def _count(optimizer):
    return next(iter(optimizer.state.values()))["step"].item()


def test_building_ahead_changes_no_bit(tmp_path):
    trained = []
    for ahead in (False, True):
        session = Session(_config(2), tmp_path / str(ahead))
        if ahead:
            session.build()
        trained.append(session.train())
    assert trained[0].last.read_bytes() == trained[1].last.read_bytes()


def test_compiling_ahead_changes_no_bit(tmp_path, monkeypatch):
    """The forward passes that it takes draw random numbers and move running statistics."""
    seen = []

    def compile_ahead(tuner, training):
        arrange(training.model, "channels_last")
        passes(training.model, training.batch, training.optim_wrapper)
        training.model.zero_grad()
        seen.append((training.iterations, tuner.interrupted()))

    monkeypatch.setattr("benchmark.engine.autotune.Autotuner.compile_ahead", compile_ahead)
    whole = Session(_config(2), tmp_path / "whole").train()
    session = Session(_config(2), tmp_path / "ahead")
    session.build()
    session.compile_ahead()
    assert seen == []  # how its steps are computed is decided: eagerly
    session._mode = None
    with rehearsed(session.runner.model):
        session.compile_ahead(lambda: True)
    session.tuner.mode = EAGER
    assert seen == [(2, True)]
    assert session.train().last.read_bytes() == whole.last.read_bytes()


@contextmanager
def rehearsed(model):
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    yield
    for name, buffer in model.named_buffers():
        buffer.copy_(buffers[name])


TRAINED = """
import sys
from pathlib import Path
from benchmark.configs import compose
from benchmark.engine.session import Session
config = compose.compose("enet", "shapes_64x64_smoke", max_iters=1, deterministic=True)
session = Session(config, Path(sys.argv[1]))
session.train()
session.evaluate("test")
print(sorted(name for name in sys.modules if name.partition(".")[0] == "matplotlib"))
"""


def test_a_training_does_without_matplotlib(tmp_path):
    """Which looks for fonts for seconds where it has not been used yet."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", TRAINED, tmp_path], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    assert list(tmp_path.rglob("scalars.json"))


def test_memory_of_the_first_stage_is_given_back(two_stages, tmp_path):
    session = Session(compose.compose("enet", two_stages, deterministic=True), tmp_path)
    first = weakref.ref(session._first.runner)
    session.train()
    assert first() is None


def test_the_second_stage_begins_where_the_first_ended(two_stages, tmp_path):
    session = Session(compose.compose("espnet", two_stages, deterministic=True), tmp_path)
    begun = {}

    class Look(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            begun.setdefault("state", {name: value.clone() for name, value in runner.model.state_dict().items()})

    session.runner.register_hook(Look(), priority="LOWEST")
    trained = session.train()
    first, state = torch.load(tmp_path / "first_stage" / "last.pth")["state_dict"], begun["state"]
    assert all(torch.equal(value, state[name]) for name, value in first.items() if name.startswith("backbone."))
    assert torch.equal(first["decode_head.conv_seg.weight"], state["decode_head.level3.weight"])
    assert (session.first_stage.iterations, trained.iterations) == (2, 4)
    assert [iteration for iteration, _ in session.first_stage.val_miou] == [1, 2]


def test_a_training_of_two_stages_that_is_resumed_equals_one_that_was_not(two_stages, tmp_path):
    config = compose.compose("enet", two_stages, deterministic=True)
    session = Session(config, tmp_path / "whole")
    whole, first = session.train(), session.first_stage

    for phase, at, first_steps, steps in [
        ("first_stage", 2, [2], [1, 2, 3, 4]),  # after its state was saved at 1
        ("train", 1, [], [1, 2, 3, 4]),
        ("train", 3, [], [3, 4]),
    ]:
        folder = tmp_path / f"{phase}-{at}"

        def kill(now, done, total, loss, point=(phase, at)):
            if (now, done) == point:
                raise Killed

        with pytest.raises(Killed):
            Session(config, folder, kill).train()
        seen = {"first_stage": [], "train": [], "val": []}

        def watch(now, done, total, loss, seen=seen):
            seen[now].append(done)

        session = Session(config, folder, watch, resume=True)
        resumed = session.train()
        assert (seen["first_stage"], seen["train"]) == (first_steps, steps)
        for name in ("last.pth", "best.pth", "first_stage/last.pth"):
            assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
        assert (resumed.loss, resumed.val_miou) == (whole.loss, whole.val_miou)
        assert (session.first_stage.loss, session.first_stage.val_miou) == (first.loss, first.val_miou)
        assert not (folder / "first_stage" / "trained.json").exists()  # who begins anew begins with the first stage


def test_a_training_of_two_stages_that_is_stopped_anywhere_equals_one_that_was_not(two_stages, tmp_path, looks):
    """It is stopped in both stages between iterations, in a validation, and before it goes on."""
    config = compose.compose("enet", two_stages, deterministic=True)
    config.val_dataloader.batch_size = 8
    whole = Session(config, tmp_path / "whole").train()
    trained, stops = _stopped(config, tmp_path / "cut", looks=[1, 1, 4, 3, 99])
    assert stops == [("first_stage", 1), ("val", 1), ("val", 4), ("train", 4)]
    for name in ("last.pth", "best.pth", "first_stage/last.pth"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert (trained.loss, trained.val_miou) == (whole.loss, whole.val_miou)


def test_a_first_stage_that_diverges(two_stages, tmp_path):
    config = compose.compose("enet", two_stages, max_iters=12, deterministic=True)
    config.first_stage.optim_wrapper.optimizer = {"type": "SGD", "lr": 1e30}
    config.first_stage.optim_wrapper.clip_grad = None
    session = Session(config, tmp_path)
    with pytest.raises(Diverged, match=r"the loss is (nan|inf) at iteration \d of the first stage") as caught:
        session.train()
    assert session.first_stage.iterations == caught.value.iteration
    assert session.partial_result(caught.value).iterations == 0
