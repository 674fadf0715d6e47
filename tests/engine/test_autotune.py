"""The fastest way to train is found by a trial that leaves the network as it was."""

import copy
import logging

import pytest
import torch
from mmengine.model import BaseModel
from torch import nn

import benchmark.registration  # noqa: F401
from benchmark.engine import trial
from benchmark.engine.graph import GraphedStep, Unfit
from benchmark.engine.layout import LAYOUTS
from benchmark.engine.precision import Float32OptimWrapper
from benchmark.engine.step import passes
from benchmark.engine.trial import Way, fastest, timed

LOGGER = logging.getLogger("trial")


class Network(BaseModel):
    def __init__(self):
        from mmseg.models import SegDataPreProcessor

        super().__init__(SegDataPreProcessor(mean=[120.0] * 3, std=[58.0] * 3, size=(8, 10)))
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 1))

    def forward(self, inputs, data_samples, mode):
        labels = torch.cat([each.gt_sem_seg.data for each in data_samples])
        return {"loss": nn.functional.cross_entropy(self.layers(inputs), labels)}


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Network()


@pytest.fixture
def wrapper(network):
    return Float32OptimWrapper(torch.optim.SGD(network.parameters(), lr=0.1))


@pytest.fixture
def batch():
    images, labels = torch.randint(256, (2, 3, 8, 10)), torch.randint(5, (2, 8, 10))
    return {"inputs": images.byte(), "labels": labels.byte()}


@pytest.fixture
def graphed(monkeypatch):
    """Graphs whose replay is the work itself."""

    class Stand(GraphedStep):
        def __init__(self, model, batch, optim_wrapper):
            self.passes = lambda batch: passes(model, batch, optim_wrapper)
            self.passes.graphed = True

    monkeypatch.setattr(trial, "GraphedStep", Stand)


@pytest.mark.parametrize("way", [Way(layout, graphed) for layout in LAYOUTS for graphed in (False, True)])
def test_the_fastest_one_is_found(network, wrapper, batch, graphed, monkeypatch, way):
    def seconds(passes, batch):
        passes(batch)
        is_last = network.layers[0].weight.is_contiguous(memory_format=torch.channels_last)
        here = Way("channels_last" if is_last else "contiguous", hasattr(passes, "graphed"))
        return 1.0 if here == way else 2.0

    monkeypatch.setattr(trial, "_seconds", seconds)
    before = copy.deepcopy(network.state_dict())
    assert fastest(network, batch, wrapper, LAYOUTS, True, LOGGER) == way
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(weight.grad is None for weight in network.parameters())


def test_what_cannot_be_graphed_is_not_tried_again(network, wrapper, batch, monkeypatch, caplog):
    tried = []

    def unfit(*_):
        tried.append(True)
        raise Unfit("it waits")

    monkeypatch.setattr(trial, "GraphedStep", unfit)
    with caplog.at_level(logging.INFO):
        assert not fastest(network, batch, wrapper, LAYOUTS, True, LOGGER).graphed
    assert len(tried) == 1
    assert [record.getMessage() for record in caplog.records] == ["trained without a CUDA graph: it waits"]


def test_passes_take_time(network, wrapper, batch):
    assert timed(lambda: None) >= 0
    assert trial._seconds(lambda batch: passes(network, batch, wrapper), batch) > 0
