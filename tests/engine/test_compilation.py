"""A compiled network trains as the eager one does, and is evaluated as it."""

import copy
from functools import partial

import pytest
import torch
from torch import nn

import benchmark.registration  # noqa: F401
from benchmark import compose
from benchmark.engine import compilation
from benchmark.engine.compilation import compiled
from benchmark.engine.precision import BFloat16OptimWrapper, Float32OptimWrapper
from benchmark.engine.session import Session
from benchmark.engine.step import passes, step
from benchmark.errors import UserError

SIZE = (16, 24)


class Backbone(nn.Module):
    """A stem and a stage, as small as they come."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU())

    def forward(self, images):
        maps = self.layers(images)
        return maps, nn.functional.avg_pool2d(maps, 2)


@pytest.fixture
def segmentor():
    """Two auxiliary heads, which lie in a list."""
    from mmseg.models import EncoderDecoder, SegDataPreProcessor
    from mmseg.registry import MODELS

    MODELS.register_module("TestBackbone", module=Backbone, force=True)
    head = {"type": "FCNHead", "in_channels": 8, "channels": 8, "num_convs": 1, "num_classes": 5}
    head |= {"norm_cfg": {"type": "BN"}, "dropout_ratio": 0.0, "align_corners": False}
    torch.manual_seed(0)
    return EncoderDecoder(
        backbone={"type": "TestBackbone"},
        decode_head=head | {"in_index": 1},
        auxiliary_head=[head | {"in_index": 0}, head | {"in_index": 1}],
        data_preprocessor=SegDataPreProcessor(mean=[120.0] * 3, std=[58.0] * 3, size=SIZE),
        train_cfg={},
        test_cfg={"mode": "whole"},
    )


@pytest.fixture
def batch():
    images, labels = torch.randint(256, (2, 3, *SIZE)), torch.randint(5, (2, *SIZE))
    return {"inputs": images.byte(), "labels": labels.byte()}


@pytest.fixture
def counted(monkeypatch):
    """Compilers that compile nothing, and a list of how often what they return is called."""
    calls = []

    def count(forward):
        def run(*args):
            calls.append(forward.__self__)
            return forward(*args)

        return run

    monkeypatch.setattr(compilation.torch, "compile", count)
    return calls


def _wrapper(network, kind=Float32OptimWrapper):
    return kind(optimizer=torch.optim.SGD(network.parameters(), lr=0.1))


@pytest.mark.parametrize(
    ("kind", "backend"),
    [
        (Float32OptimWrapper, "aot_eager"),
        pytest.param(BFloat16OptimWrapper, "inductor", marks=pytest.mark.slow),
    ],
)
def test_a_compiled_network_trains_alike(segmentor, batch, monkeypatch, kind, backend):
    monkeypatch.setattr(compilation.torch, "compile", partial(torch.compile, backend=backend))
    if kind is Float32OptimWrapper:
        segmentor.double()  # in which what comes out otherwise is no rounding
    eager = copy.deepcopy(segmentor)
    wrappers = [_wrapper(network, kind) for network in (eager, segmentor)]
    assert compiled(segmentor, batch, wrappers[1]) > 0
    for name, value in eager.state_dict().items():
        assert torch.equal(value, segmentor.state_dict()[name])
    losses = [
        [step(network, batch, wrapper).item() for _ in range(3)]
        for network, wrapper in zip((eager, segmentor), wrappers, strict=True)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-10 if kind is Float32OptimWrapper else 2e-2)  # 2^-8 a rounding


def test_all_parts_are_compiled_in_training_and_none_in_evaluation(segmentor, batch, counted):
    wrapper = _wrapper(segmentor)
    names = list(segmentor.state_dict())
    compiled(segmentor, batch, wrapper)
    parts = [segmentor.backbone, segmentor.decode_head, *segmentor.auxiliary_head]
    assert counted == parts
    passes(segmentor, batch, wrapper)
    assert counted == parts * 2
    segmentor.eval()
    segmentor(torch.rand(1, 3, *SIZE))
    assert counted == parts * 2
    assert list(segmentor.state_dict()) == names


def test_what_cannot_be_compiled_is_said_in_one_line(segmentor, batch, monkeypatch):
    def backend(graph, inputs):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(compilation.torch, "compile", partial(torch.compile, backend=backend))
    with pytest.raises(UserError, match=r"^the network cannot be compiled: [^\n]+$"):
        compiled(segmentor, batch, _wrapper(segmentor))


def test_a_session_keeps_the_time_of_compiling_apart(tmp_path, counted):
    trained = []
    for compile in (False, True):
        config = compose.compose("enet", "shapes_64x64_smoke", max_iters=2, deterministic=True)
        session = Session(config, tmp_path / str(compile), compile=compile)
        trained.append(session.train().loss)
        assert (session.runner.train_loop.compile_seconds is not None) is compile
    assert trained[0] == trained[1]
    assert counted
