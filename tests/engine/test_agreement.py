"""What two ways to compute a step leave is compared where the numbers of float16 end, too."""

from contextlib import nullcontext

import pytest
import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn

import benchmark.registration  # noqa: F401
from benchmark.engine import agreement
from benchmark.engine.agreement import distances, outcome
from benchmark.engine.graph import CaptureFailed, GraphedStep
from benchmark.engine.step import passes


class Half(torch.autograd.Function):
    """Passes a gradient on in float16, as a convolution under autocast does."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient.half().float()


class Network(nn.Module):
    """Its loss has a gradient of `slope` by its weight."""

    def __init__(self, slope):
        super().__init__()
        from mmseg.models import SegDataPreProcessor

        self.data_preprocessor = SegDataPreProcessor(mean=[0.0] * 3, std=[1.0] * 3, size=(4, 4))
        self.weight = nn.Parameter(torch.ones(1))
        self.slope = slope

    def forward(self, inputs, data_samples, mode):
        return {"loss": (Half.apply(self.weight) * self.slope).sum()}


class Scaled(AmpOptimWrapper):
    """The wrapper of float16, without autocast, on a CPU."""

    def __init__(self, model, scale):
        OptimWrapper.__init__(self, torch.optim.SGD(model.parameters(), lr=0.1))
        self.loss_scaler = torch.amp.GradScaler("cpu", init_scale=scale)

    def optim_context(self, model):
        return nullcontext()


@pytest.fixture
def batch():
    return {"inputs": torch.zeros(1, 3, 4, 4, dtype=torch.uint8), "labels": torch.zeros(1, 4, 4, dtype=torch.uint8)}


@pytest.mark.parametrize(
    ("slope", "scale", "expected"),
    [(8.0, 65536.0, 2), (100.0, 65536.0, 3), (0.5, 65536.0, 1), (1e5, 65536.0, 5), (8.0, 16.0, 1)],
)
def test_gradients_are_compared_at_a_scale_at_which_they_are_finite(batch, slope, scale, expected):
    """65504 is the largest number of float16: 8 * 4096 and 100 * 256 are below it, 8 * 65536 and 100 * 4096 are not."""
    network = Network(slope)
    wrapper = Scaled(network, scale)
    calls = []

    def run():
        calls.append(True)
        return passes(network, batch, wrapper)

    found = outcome(network, wrapper, run)
    assert wrapper.loss_scaler.get_scale() == scale
    assert len(calls) == expected
    if slope < 65504:
        assert found["gradients"][0].item() == pytest.approx(slope, rel=1e-3)
        assert distances(found, found)["gradients"] == 0.0
    else:  # it is the gradient of the training that is none
        assert not found["gradients"][0].isfinite()


@pytest.mark.parametrize(("factor", "alike"), [(1.0, True), (2.0, False), (float("nan"), False)])
def test_a_replay_is_compared_where_scaled_gradients_overflow(batch, factor, alike):
    network = Network(8.0)
    wrapper = Scaled(network, 65536.0)

    def capture(function):
        loss = function()
        gradient = network.weight.grad

        def replay():
            function()
            network.weight.grad = gradient.copy_(network.weight.grad * factor)

        return replay, loss

    with nullcontext() if alike else pytest.raises(CaptureFailed, match="its gradients"):
        GraphedStep(network, batch, wrapper, capture)
    assert wrapper.loss_scaler.get_scale() == 65536.0


def test_a_wrapper_that_does_not_scale_is_asked_for_nothing(batch):
    network = Network(8.0)
    found = outcome(network, wrapper := OptimWrapper(torch.optim.SGD(network.parameters(), lr=0.1)),
                    lambda: passes(network, batch, wrapper))  # fmt: skip
    assert found["gradients"][0].item() == 8.0
    assert agreement.BACKOFF > 1
