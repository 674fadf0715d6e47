"""Moments are laid out with the weights that they belong to."""

import pytest
import torch
from torch import nn

from benchmark.engine import layout


def _is_last(weight):
    return weight.is_contiguous(memory_format=torch.channels_last)


def test_moments_lie_as_their_weights():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))
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


def test_the_format_is_that_of_a_weight_that_has_one():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3))
    assert layout.memory_format(network) == torch.contiguous_format
    layout.arrange(network, "channels_last")
    assert layout.memory_format(network) == torch.channels_last
    assert layout.memory_format(nn.Sequential(nn.Linear(2, 3), nn.Conv2d(3, 4, 1))) == torch.contiguous_format


class OnGpu(torch.Tensor):
    """A tensor that lies on a GPU until it is moved."""

    def cpu(self):
        return self.as_subclass(torch.Tensor)


@pytest.mark.parametrize(
    ("kind", "settings", "moves"),
    [
        (torch.optim.AdamW, {}, True),
        (torch.optim.AdamW, {"fused": True}, False),
        (torch.optim.NAdam, {"capturable": True}, False),
        (torch.optim.RMSprop, {}, True),
        (torch.optim.SGD, {"momentum": 0.9}, True),
    ],
)
def test_counts_of_steps_lie_where_their_optimizer_reads_them(kind, settings, moves):
    network = nn.Linear(3, 2)
    optimizer = kind(network.parameters(), lr=0.1)
    network(torch.randn(2, 3)).mean().backward()
    optimizer.step()
    for group in optimizer.param_groups:
        group.update(settings)
    for state in optimizer.state.values():
        if "step" in state:
            state["step"] = state["step"].as_subclass(OnGpu)
    layout.counts_to_host(optimizer)
    counts = [state["step"] for state in optimizer.state.values() if "step" in state]
    assert all(isinstance(count, OnGpu) is not moves for count in counts)
    assert bool(counts) is (kind is not torch.optim.SGD)
    assert all(count == 1 for count in counts)
