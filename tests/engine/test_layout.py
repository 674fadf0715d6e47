"""The faster layout is found by a trial that leaves the network as it was; moments are arranged with it."""

import copy

import pytest
import torch
from torch import nn

from benchmark.engine import layout


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))


def _is_last(weight):
    return weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("faster", layout.LAYOUTS)
def test_the_faster_one_is_found(network, monkeypatch, faster):
    def seconds(step):
        step()
        return 1.0 if _is_last(network[0].weight) == (faster == "channels_last") else 2.0

    monkeypatch.setattr(layout, "_seconds", seconds)
    images = torch.randn(2, 3, 8, 8)
    before = copy.deepcopy(network.state_dict())
    assert layout.fastest(network, lambda: network(images).mean()) == faster
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(weight.grad is None for weight in network.parameters())


def test_a_step_takes_time(network):
    assert layout._seconds(lambda: network(torch.randn(2, 3, 8, 8))) > 0


def test_moments_lie_as_their_weights(network):
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.randn(2, 3, 8, 8)).mean().backward()
    optimizer.step()
    weight = network[0].weight
    before = {name: value.clone() for name, value in optimizer.state[weight].items()}
    layout.arrange(network, "channels_last", optimizer)
    assert _is_last(weight)
    assert _is_last(optimizer.state[weight]["exp_avg"])
    assert all(torch.equal(value, before[name]) for name, value in optimizer.state[weight].items())
    layout.arrange(network, "contiguous", optimizer)
    assert optimizer.state[weight]["exp_avg"].is_contiguous()
