"""A replayed step is the eager one, or there is none: with a stand-in for the graph, and on a GPU with a graph."""

import copy
from functools import partial

import pytest
import torch
from mmengine.model import BaseModel
from torch import nn

import benchmark.registration  # noqa: F401
from benchmark.engine import graph
from benchmark.engine.graph import CaptureFailed, GraphedStep, record
from benchmark.engine.precision import BFloat16OptimWrapper, Float16OptimWrapper, Float32OptimWrapper
from benchmark.engine.step import step

SIZE = (16, 24)


class Network(BaseModel):
    """Convolutions with running statistics, and whatever a test wants in between."""

    def __init__(self, between=None):
        from mmseg.models import SegDataPreProcessor

        super().__init__(SegDataPreProcessor(mean=[120.0] * 3, std=[58.0] * 3, size=SIZE))
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.between = between or nn.Identity()
        self.last = nn.Conv2d(8, 5, 1)
        self.unused = nn.Linear(2, 2)

    def forward(self, inputs, data_samples, mode):
        labels = torch.cat([each.gt_sem_seg.data for each in data_samples])
        return {"loss": nn.functional.cross_entropy(self.last(self.between(self.first(inputs))), labels)}


class Host(nn.Module):
    """A random number from the host."""

    def forward(self, maps):
        return maps * float(torch.rand(1))


class Decides(nn.Module):
    """What Python decides by the data, and a capture freezes."""

    factor, frozen = None, False

    def forward(self, maps):
        if not self.frozen:
            left, right = maps.chunk(2, dim=-1)
            self.factor = 1.0 if left.sum() > right.sum() else 3.0
        return maps * self.factor


class Fails(nn.Module):
    def forward(self, maps):
        raise RuntimeError("out of something\nand more")


def stand_in(function):
    """Repeats a function as a graph does: loss and gradients come to where they were at the capture."""
    network = function.args[0]
    result = function()
    decided = getattr(network.between, "factor", None)
    gradients = {weight: weight.grad for weight in network.parameters() if weight.grad is not None}

    def replay():
        before = [weight.grad for weight in gradients]
        network.between.frozen, network.between.factor = True, decided
        result.copy_(function())
        network.between.frozen = False
        for (weight, gradient), attached in zip(gradients.items(), before, strict=True):
            assert attached is gradient
            weight.grad = gradient.copy_(weight.grad)

    return replay, result


def _batches(number, device="cpu"):
    generator = torch.Generator().manual_seed(0)
    for _ in range(number):
        images = torch.randint(256, (4, 3, *SIZE), dtype=torch.uint8, generator=generator)
        labels = torch.randint(5, (4, *SIZE), dtype=torch.uint8, generator=generator)
        yield {"inputs": images.to(device), "labels": labels.to(device)}


def _trained(network, wrapper, train, device="cpu"):
    """Losses of a few steps, as they are kept unread; every one has its own seed."""
    losses = []
    for i, batch in enumerate(_batches(5, device)):
        torch.manual_seed(100 + i)
        for group in wrapper.optimizer.param_groups:
            group["lr"] *= 0.9
        losses.append(train(batch))
    return torch.stack(losses)


def _wrapper(network, kind=Float32OptimWrapper, **arguments):
    return kind(optimizer=torch.optim.AdamW(network.parameters(), lr=0.01), **arguments)


@pytest.mark.parametrize("clip", [None, {"max_norm": 0.1}])
def test_replayed_steps_are_eager_ones(clip):
    torch.manual_seed(0)
    eager = Network()
    replayed = copy.deepcopy(eager)
    wrappers = [_wrapper(network, clip_grad=copy.copy(clip)) for network in (eager, replayed)]
    before = copy.deepcopy(replayed.state_dict())
    graphed = GraphedStep(replayed, next(_batches(1)), wrappers[1], stand_in)
    assert all(torch.equal(value, before[name]) for name, value in replayed.state_dict().items())
    assert wrappers[1]._inner_count == 0
    assert not wrappers[1].optimizer.state
    expected = _trained(eager, wrappers[0], partial(step, eager, optim_wrapper=wrappers[0]))
    wrappers[1].zero_grad()  # nobody need spare the gradients
    assert torch.equal(_trained(replayed, wrappers[1], graphed), expected)
    assert all(torch.equal(value, replayed.state_dict()[name]) for name, value in eager.state_dict().items())


@pytest.mark.parametrize(
    ("between", "reason"),
    [
        (Host(), "random numbers on the host"),
        (Decides(), r"its \w+ would have a relative error of"),
        (Fails(), "^out of something$"),
    ],
)
def test_what_cannot_be_replayed_is_found_out(between, reason):
    torch.manual_seed(0)
    network = Network(between)
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(CaptureFailed, match=reason):
        GraphedStep(network, next(_batches(1)), _wrapper(network), stand_in)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(weight.grad is None for weight in network.parameters())


def _stays(function, what):
    """A replay that leaves something behind."""
    replay, result = stand_in(function)
    network = function.args[0]

    def wrong():
        replay()
        if what == "losses":
            result.mul_(1.05)
        elif what == "gradients":
            network.last.weight.grad.mul_(2)
        elif what == "buffers":
            network.first[1].running_var.mul_(2)
        else:
            result.fill_(torch.nan)

    return wrong, result


@pytest.mark.parametrize("what", ["losses", "gradients", "buffers", "numbers"])
def test_a_replay_is_compared_with_an_eager_step(what):
    torch.manual_seed(0)
    network = Network()
    with pytest.raises(CaptureFailed, match="its losses" if what == "numbers" else f"its {what}"):
        GraphedStep(network, next(_batches(1)), _wrapper(network), partial(_stays, what=what))


def test_accumulated_gradients_and_deterministic_trainings_are_left_alone(monkeypatch):
    network = Network()
    with pytest.raises(CaptureFailed, match="accumulated"):
        GraphedStep(network, next(_batches(1)), _wrapper(network, accumulative_counts=2), stand_in)
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    with pytest.raises(CaptureFailed, match="deterministic"):
        GraphedStep(network, next(_batches(1)), _wrapper(network), stand_in)


def test_without_a_gpu_there_are_no_graphs():
    with pytest.raises(CaptureFailed, match=r"^no CUDA device is available$"):
        GraphedStep(network := Network(), next(_batches(1)), _wrapper(network))


@pytest.mark.gpu
@pytest.mark.parametrize("kind", [Float32OptimWrapper, Float16OptimWrapper, BFloat16OptimWrapper])
def test_graphs_replay_eager_steps(kind):
    """Dropout included, which draws for each step from its own seed."""
    torch.manual_seed(0)
    eager = Network(nn.Dropout(0.5)).cuda()
    replayed = copy.deepcopy(eager)
    wrappers = [_wrapper(network, kind) for network in (eager, replayed)]
    graphed = GraphedStep(replayed, next(_batches(1)), wrappers[1])
    expected = _trained(eager, wrappers[0], partial(step, eager, optim_wrapper=wrappers[0]))
    assert torch.allclose(_trained(replayed, wrappers[1], graphed), expected, rtol=1e-2)
    for name, value in eager.state_dict().items():
        assert torch.allclose(value.float(), replayed.state_dict()[name].float(), atol=5e-3), name


@pytest.mark.gpu
@pytest.mark.parametrize("between", [Decides(), Host()])
def test_after_a_capture_that_failed_training_goes_on(between):
    network = Network(nn.Sequential(nn.Dropout(0.5), between)).cuda()
    wrapper = _wrapper(network)
    with pytest.raises(CaptureFailed):
        GraphedStep(network, next(_batches(1)), wrapper)
    losses = _trained(network, wrapper, partial(step, network, optim_wrapper=wrapper))
    assert losses.isfinite().all()


@pytest.mark.gpu
def test_a_capture_that_broke_leaves_stream_and_generator_usable():
    calls = []

    def function():
        calls.append(True)
        loss = torch.nn.functional.dropout(torch.ones(8, device="cuda")).sum()
        if len(calls) > 4:
            torch.cuda.synchronize()  # forbidden in a capture
        return loss

    before = torch.cuda.current_stream()
    with pytest.raises(RuntimeError):
        record(function)
    assert torch.cuda.current_stream() == before
    torch.cuda.manual_seed(0)
    assert torch.rand(3, device="cuda").isfinite().all()


@pytest.mark.parametrize(
    ("error", "called"), [(None, ["end", "release"]), (RuntimeError("it has ended"), ["end"])], ids=["broken", "whole"]
)
def test_a_pool_that_its_graph_releases_is_not_released_twice(monkeypatch, error, called):
    """Which ends the process: the destructor of the graph finds nothing left to release."""
    calls = []

    def end(device, pool):
        calls.append("end")
        if error:
            raise error

    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", end, raising=False)
    monkeypatch.setattr(torch._C, "_cuda_releasePool", lambda *_: calls.append("release"), raising=False)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch, "Generator", lambda device: None)
    generator = type("Generator", (), {"graphsafe_set_state": lambda *_: None})()
    monkeypatch.setattr(torch.cuda, "default_generators", [generator])
    graph._repair((0, 1))
    assert calls == called
