"""A compiled network trains as the eager one does, and is evaluated as it."""

import copy
import os
import shutil
import subprocess
import sys
from contextlib import nullcontext
from functools import partial

import pytest
import torch
import torch._dynamo
from torch import nn

import benchmark.registration  # noqa: F401
from benchmark.configs import compose
from benchmark.engine import agreement, arithmetic, compilation
from benchmark.engine.agreement import last_bits_changed
from benchmark.engine.arithmetic import without_search
from benchmark.engine.compilation import CompilationFailed, CompilationInterrupted, CompiledParts, load_artifacts
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


def _compiled(network, batch, wrapper):
    parts = CompiledParts(network)
    parts.compile(network, batch, wrapper, "contiguous")
    parts.active = True
    return parts


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
    assert _compiled(segmentor, batch, wrappers[1]).layout == "contiguous"
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
    compiled = _compiled(segmentor, batch, wrapper)
    parts = [segmentor.backbone, segmentor.decode_head, *segmentor.auxiliary_head]
    assert counted == parts * 2  # once to compile, once to compare
    passes(segmentor, batch, wrapper)
    assert counted == parts * 3
    segmentor.eval()
    segmentor(torch.rand(1, 3, *SIZE))
    segmentor.train()
    compiled.active = False
    passes(segmentor, batch, wrapper)
    assert counted == parts * 3
    assert list(segmentor.state_dict()) == names


def test_what_cannot_be_compiled_is_said_in_one_line(segmentor, batch, monkeypatch):
    def backend(graph, inputs):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(compilation.torch, "compile", partial(torch.compile, backend=backend))
    with pytest.raises(CompilationFailed, match=r"^[^\n]*no compiler[^\n]*$"):
        _compiled(segmentor, batch, _wrapper(segmentor))


def test_what_computes_something_else_is_found_out(segmentor, batch, monkeypatch):
    """A head whose compiled version is a tenth off."""

    def wrong(forward):
        return (lambda *args: forward(*args) * 1.1) if forward.__self__ is segmentor.decode_head else forward

    monkeypatch.setattr(compilation.torch, "compile", wrong)
    with pytest.raises(CompilationFailed, match=r"its \w+ would have a relative error of 0\.\d+"):
        _compiled(segmentor, batch, _wrapper(segmentor))


@pytest.mark.parametrize(("factor", "agrees"), [(1.0, True), (1.5, False)])
def test_where_float32_does_not_fit_passes_are_compared_in_the_precision_of_the_training(
    segmentor, batch, monkeypatch, factor, agrees
):
    compared = []

    def outcome(model, optim_wrapper, passes):
        if type(optim_wrapper) is Float32OptimWrapper:
            raise torch.OutOfMemoryError("CUDA out of memory")
        compared.append(True)
        return agreement.outcome(model, optim_wrapper, passes)

    def compiled(forward):
        return (lambda *args: forward(*args) * factor) if forward.__self__ is segmentor.decode_head else forward

    monkeypatch.setattr(compilation.torch, "compile", compiled)
    monkeypatch.setattr(compilation, "outcome", outcome)
    with nullcontext() if agrees else pytest.raises(CompilationFailed, match="relative error"):
        _compiled(segmentor, batch, _wrapper(segmentor, BFloat16OptimWrapper))
    assert (
        len(compared) == 3 + compilation.CHANGES
    )  # compiled, eager, eager as what is expected, and by changed weights


def test_a_precision_that_does_not_fit_either_is_an_error(segmentor, batch, counted, monkeypatch):
    def outcome(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(compilation, "outcome", outcome)
    with pytest.raises(torch.OutOfMemoryError):
        _compiled(segmentor, batch, _wrapper(segmentor))


@pytest.mark.parametrize("part", range(8))
def test_a_compilation_is_interrupted_before_the_next_part(segmentor, batch, counted, part):
    """Four parts are compiled and compared; the network stays as it was, and can be compiled afterwards."""
    before, asked = copy.deepcopy(segmentor.state_dict()), []

    def interrupted():
        asked.append(True)
        return len(asked) > part

    parts = CompiledParts(segmentor)
    parts.interrupted = interrupted
    with pytest.raises(CompilationInterrupted):
        parts.compile(segmentor, batch, _wrapper(segmentor), "contiguous")
    assert len(asked) == part + 1
    assert len(counted) == part
    assert (parts.layout, parts.active) == (None, False)
    assert all(torch.equal(value, before[name]) for name, value in segmentor.state_dict().items())
    assert all(weight.grad is None for weight in segmentor.parameters())
    parts.interrupted = lambda: False
    parts.compile(segmentor, batch, _wrapper(segmentor), "contiguous")
    assert parts.layout == "contiguous"


class Block(nn.Conv2d):
    """What Dynamo does not compile as one with its surroundings."""

    def forward(self, maps):
        torch._dynamo.graph_break()
        return super().forward(maps) + maps.mean(dim=(2, 3), keepdim=True)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_runs_at_several_sizes_is_compiled_for_each(segmentor, batch, monkeypatch, device):
    """Not for any size; in the thread, too, that a GPU has for it."""
    dynamic = []

    def backend(graph, inputs):
        dynamic.extend(value for value in inputs if isinstance(value, torch.SymInt))
        return graph

    monkeypatch.setattr(arithmetic, "get_device", lambda: device)
    monkeypatch.setattr(compilation.torch, "compile", partial(torch.compile, backend=backend))
    torch._dynamo.reset()
    segmentor.backbone.layers.append(
        nn.Sequential(Block(8, 8, 1), nn.AvgPool2d(2), Block(8, 8, 1), nn.Upsample(scale_factor=2))
    )
    setting = torch._dynamo.config.automatic_dynamic_shapes
    parts, wrapper = CompiledParts(segmentor), _wrapper(segmentor)
    without_search(lambda: parts.compile(segmentor, batch, wrapper, "contiguous"))
    assert dynamic == []
    assert torch._dynamo.config.automatic_dynamic_shapes is setting
    parts.active = True
    compiled = passes(segmentor, batch, wrapper)
    parts.active = False
    assert compiled.item() == pytest.approx(passes(segmentor, batch, wrapper).item(), rel=1e-5)


def test_last_bits_are_changed_and_put_back(segmentor):
    before = copy.deepcopy(segmentor.state_dict())
    with last_bits_changed(segmentor, 0):
        for name, weight in segmentor.named_parameters():
            assert torch.allclose(weight, before[name], rtol=2.0**-22, atol=0)
            assert not weight.any() or not torch.equal(weight, before[name])
    assert all(torch.equal(value, before[name]) for name, value in segmentor.state_dict().items())


def test_dropout_draws_what_it_draws_in_an_eager_step(segmentor, batch, monkeypatch):
    """The comparison with eager passes would find other random numbers."""
    monkeypatch.setattr(compilation.torch, "compile", partial(torch.compile, backend="aot_eager"))
    segmentor.decode_head.dropout = nn.Dropout2d(0.5)
    _compiled(segmentor, batch, _wrapper(segmentor))


def test_a_session_keeps_the_time_of_compiling_apart(tmp_path, counted, monkeypatch):
    monkeypatch.setenv("SEGBENCH_CACHE", str(tmp_path))
    trained = []
    for compile in (False, True):
        config = compose.compose("enet", "shapes_64x64_smoke", max_iters=2, deterministic=True)
        session = Session(config, tmp_path / str(compile), compile=compile)
        trained.append(session.train())
        assert (trained[-1].execution.compile_seconds is not None) is compile
    assert trained[0].loss == trained[1].loss
    assert trained[0].last.read_bytes() == trained[1].last.read_bytes()
    assert counted


def test_a_session_says_that_a_network_cannot_be_compiled(tmp_path, monkeypatch):
    def backend(graph, inputs):
        raise RuntimeError("no compiler")

    monkeypatch.setenv("SEGBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(compilation.torch, "compile", partial(torch.compile, backend=backend))
    config = compose.compose("enet", "shapes_64x64_smoke", max_iters=2, deterministic=True)
    with pytest.raises(UserError, match=r"^the network cannot be compiled: [^\n]+$"):
        Session(config, tmp_path / "work", compile=True).train()


def test_kept_kernels_that_are_missing_or_damaged_are_none(tmp_path):
    assert not load_artifacts(tmp_path / "none")
    (tmp_path / "damaged").write_bytes(b"kernels")
    assert not load_artifacts(tmp_path / "damaged")


RUN = """
import sys
from pathlib import Path
from benchmark.configs import compose
from benchmark.engine.session import Session
folder = Path(sys.argv[1])
config = compose.compose(sys.argv[2], "shapes_64x64_smoke", max_iters=2, deterministic=True)
print(Session(config, folder, compile=True).train().execution.compile_seconds)
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_a_second_run_compiles_in_less_than_a_quarter_of_the_time(tmp_path):
    seconds = []
    cache = {"SEGBENCH_CACHE": str(tmp_path / "cache"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor")}
    for run in ("first", "second"):
        command = [sys.executable, "-W", "ignore", "-c", RUN, str(tmp_path / run), "espnet-c"]
        done = subprocess.run(command, env=os.environ | cache, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        seconds.append(float(done.stdout.split()[-1]))
    assert seconds[1] < seconds[0] / 4
