"""Trainings on a GPU: deterministic ones come out the same to the last bit, fast ones nearly so."""

import pytest
import torch

from benchmark.configs import compose
from benchmark.engine.session import Session
from benchmark.inputs.batches import TrainingBatches
from benchmark.inputs.gpu_batches import ResidentBatches

pytestmark = pytest.mark.gpu

SMOKE = "shapes_64x64_smoke"


def _config(architecture="enet", iterations=2, **arguments):
    config = compose.compose(architecture, SMOKE, max_iters=iterations, deterministic=True, **arguments)
    config.train_cfg.val_interval = 2
    return config


@pytest.mark.parametrize("architecture", ["enet", "pspnet_r50-d8", "pointrend_fpn_r50", "psanet_r50-d8"])
def test_deterministic_trainings_are_equal(tmp_path, architecture):
    """Adaptive pooling, sampling of points and batched products have no deterministic backward pass of their own."""
    one, two = (Session(_config(architecture), tmp_path / name).train() for name in "ab")
    assert one.loss == two.loss
    assert one.last.read_bytes() == two.last.read_bytes()


class Killed(Exception):
    pass


def test_a_deterministic_training_that_is_resumed_equals_one_that_was_not(tmp_path):
    whole = Session(_config(iterations=6), tmp_path / "whole").train()

    def kill(phase, done, total, loss):
        if (phase, done) == ("train", 5):  # after the state of iteration 4 was saved
            raise Killed

    with pytest.raises(Killed):
        Session(_config(iterations=6), tmp_path / "killed", kill).train()
    resumed = Session(_config(iterations=6), tmp_path / "killed", resume=True).train()
    assert resumed.last.read_bytes() == whole.last.read_bytes()
    assert (resumed.loss, resumed.val_miou) == (whole.loss, whole.val_miou)


def test_a_fast_training_computes_on_the_gpu_and_nearly_the_same(tmp_path):
    """Half precision aside, TF32 keeps 11 bits, and two iterations multiply that by some tens."""
    careful = Session(_config(), tmp_path / "careful").train()
    config = _config()
    config.randomness.deterministic = False
    session = Session(config, tmp_path / "fast")
    fast = session.train()
    assert {weight.device.type for weight in session.runner.model.parameters()} == {"cuda"}
    assert session.execution.batches == "device"
    assert [loss for _, loss in fast.loss] == pytest.approx([loss for _, loss in careful.loss], rel=100 * 2**-11)


@pytest.mark.filterwarnings("error::benchmark.inputs.gpu_batches.ResidentWarning")
def test_resident_batches_are_those_of_the_cpu():
    policy = {"crop_size": (48, 48), "scale": (0.75, 1.5), "flip": 0.5, "photometric": False}
    batches = TrainingBatches({"type": "Shapes", "split": "train"}, 4, policy, "p", 0, 100)
    made = ResidentBatches(batches, "cuda")
    for i in (0, 3, 50, 99):
        assert torch.equal(made[i]["labels"].cpu(), batches[i]["labels"])
        assert (made[i]["inputs"].cpu().float() - batches[i]["inputs"].float()).abs().mean() < 5
