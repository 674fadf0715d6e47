"""The fastest mode of a training is found by a trial that leaves the network as it was, and is remembered."""

import copy
import logging

import pytest
import torch
from mmengine.model import BaseModel
from torch import nn

import benchmark.registration  # noqa: F401
from benchmark.engine import autotune, timings
from benchmark.engine.autotune import Autotuner, TrainingTask, median_seconds, timed
from benchmark.engine.compilation import CompilationFailed, CompilationInterrupted
from benchmark.engine.graph import CaptureFailed
from benchmark.engine.layout import LAYOUTS
from benchmark.engine.precision import Float32OptimWrapper
from benchmark.engine.step import passes
from benchmark.engine.timings import EAGER, Timings, TrainingMode
from benchmark.errors import UserError

LOGGER = logging.getLogger("autotune")
GRAPHED = [TrainingMode(layout, True, False) for layout in LAYOUTS]


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
def training(network, wrapper, batch):
    return TrainingTask(network, batch, wrapper, iterations=100)


class Graph:
    """A graph whose replay is the work itself."""

    def __init__(self, model, batch, optim_wrapper, check=True):
        self.passes = lambda batch: passes(model, batch, optim_wrapper)


class Parts:
    """Compiled parts that compute as the eager ones; they note each compilation."""

    made: list[str]

    def __init__(self, model):
        self.active, self.layout = False, None

    def compile(self, model, batch, optim_wrapper, layout):
        self.layout = layout
        self.made.append(layout)


@pytest.fixture
def device(monkeypatch):
    """A device that replays graphs and compiles, on which each mode takes the seconds that are set; what was timed."""

    def there(seconds):
        tried = []

        def time(self, mode, training):
            if mode.compiled:
                self._compile(training, mode.layout)
            tried.append(mode)
            taken = seconds.get(mode, 1.0)
            if isinstance(taken, Exception):
                raise taken
            return taken

        monkeypatch.setattr(Autotuner, "_seconds", time)
        return tried

    monkeypatch.setattr(autotune, "GraphedStep", Graph)
    monkeypatch.setattr(autotune, "CompiledParts", Parts)
    monkeypatch.setattr(Parts, "made", [], raising=False)
    return there


@pytest.mark.parametrize("mode", GRAPHED)
def test_the_fastest_layout_is_found(network, training, device, mode):
    tried = device({mode: 0.5})
    before = copy.deepcopy(network.state_dict())
    assert Autotuner(None).prepare(training, LOGGER).mode == mode
    assert tried == GRAPHED
    memory_format = LAYOUTS[mode.layout]
    assert network.layers[0].weight.is_contiguous(memory_format=memory_format)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(weight.grad is None for weight in network.parameters())


def test_a_network_that_cannot_be_captured_trains_eagerly(training, device, caplog):
    tried = device({GRAPHED[0]: CaptureFailed("it waits"), TrainingMode("channels_last", False, False): 0.5})
    with caplog.at_level(logging.INFO):
        mode = Autotuner(None).prepare(training, LOGGER).mode
    assert mode == TrainingMode("channels_last", False, False)
    assert tried == [GRAPHED[0], EAGER, TrainingMode("channels_last", False, False)]
    assert [record.getMessage() for record in caplog.records] == ["training without a CUDA graph: it waits"]


def test_a_mode_that_takes_too_much_memory_is_left_out(training, device):
    device({GRAPHED[1]: torch.OutOfMemoryError("CUDA out of memory")})
    assert Autotuner(None).prepare(training, LOGGER).mode == GRAPHED[0]


def test_a_network_too_large_for_any_mode_fails_with_the_reason(training, device):
    everywhere = [TrainingMode(layout, graph, False) for layout in LAYOUTS for graph in (True, False)]
    device({mode: torch.OutOfMemoryError("CUDA out of memory") for mode in everywhere})
    with pytest.raises(torch.OutOfMemoryError):
        Autotuner(None).prepare(training, LOGGER)


def test_a_mode_that_fails_in_the_end_leaves_what_is_left_of_it(training, monkeypatch, device, caplog):
    def fail(*_, check=True):
        raise CaptureFailed("its losses would have a relative error of 1")

    device({})
    monkeypatch.setattr(autotune, "GraphedStep", fail)
    with caplog.at_level(logging.INFO):
        assert Autotuner(GRAPHED[1]).prepare(training, LOGGER).mode == GRAPHED[1]._replace(graph=False)
    assert "its losses" in caplog.text


def test_what_was_tried_once_is_not_tried_again(training, device, tmp_path):
    tried = device({GRAPHED[1]: 0.5})
    assert Autotuner(None, memory=tmp_path / "x").prepare(training, LOGGER).mode == GRAPHED[1]
    tried.clear()
    assert Autotuner(None, memory=tmp_path / "x").prepare(training, LOGGER).mode == GRAPHED[1]
    assert tried == []
    (tmp_path / "x.json").write_text("{")
    assert Autotuner(None, memory=tmp_path / "x").prepare(training, LOGGER).mode == GRAPHED[1]
    assert tried == GRAPHED


def test_a_cache_that_cannot_be_written_costs_the_next_trial_alone(training, device, tmp_path):
    (tmp_path / "file").touch()
    device({GRAPHED[1]: 0.5})
    assert Autotuner(None, memory=tmp_path / "file" / "x").prepare(training, LOGGER).mode == GRAPHED[1]


COMPILED = GRAPHED[0]._replace(compiled=True)


@pytest.mark.parametrize(
    ("compile", "iterations", "seconds", "expected"),
    [
        (None, 100, 0.5, GRAPHED[0]),  # 30 s to be saved, 90 to be spent
        (None, 1000, 0.5, COMPILED),
        (None, 1000, 2.0, GRAPHED[0]),  # tried, and slower
        (True, 1, 2.0, COMPILED),
        (False, 1000, 0.5, GRAPHED[0]),
    ],
)
def test_a_network_is_compiled_where_it_pays(network, wrapper, batch, device, tmp_path, compile, iterations, seconds,
                                             expected):  # fmt: skip
    device({COMPILED: seconds})
    tuner = Autotuner(None, compile, tmp_path / "x")
    prepared = tuner.prepare(TrainingTask(network, batch, wrapper, iterations), LOGGER)
    assert prepared.mode == expected
    assert (prepared.compile_seconds is not None) is expected.compiled
    assert tuner._parts is None or tuner._parts.active is expected.compiled


def test_what_is_compiled_ahead_is_taken_if_it_is_faster(training, device, tmp_path):
    for seconds, expected in ((0.5, True), (2.0, False)):
        compiled = TrainingMode("channels_last", True, True)
        tried = device({compiled: seconds})
        tuner = Autotuner(None, memory=tmp_path / str(seconds))
        (tmp_path / f"{seconds}.artifacts").touch()
        tuner.compile_ahead(training)
        assert Parts.made == ["channels_last"]
        assert tuner.prepare(training, LOGGER).mode.compiled is expected
        assert Parts.made == ["channels_last"]
        assert tried == [*GRAPHED, compiled]
        Parts.made.clear()


@pytest.mark.parametrize(
    ("seconds", "artifacts", "iterations", "compile", "expected"),
    [
        ({}, False, 10**6, None, []),  # nothing is known
        ({}, True, 1, None, ["channels_last"]),
        ({}, False, 1, True, ["channels_last"]),  # it is compiled in any case
        ({}, True, 1, False, []),
        ({EAGER: 1.0}, False, 299, None, []),  # 89.7 s to be saved, 90 to be spent
        ({EAGER: 1.0}, False, 301, None, ["contiguous"]),
        ({EAGER: 1.0}, True, 74, None, []),  # a quarter of that
        ({EAGER: 1.0}, True, 76, None, ["contiguous"]),
        ({EAGER: 1.0, COMPILED: 0.9}, False, 1, None, ["contiguous"]),  # what will be taken
        ({EAGER: 1.0, COMPILED: 1.1}, True, 10**6, None, []),  # was tried, and is slower
        ({EAGER: 1.0, COMPILED: 1.1}, True, 1, True, ["contiguous"]),
    ],
)
def test_what_is_not_expected_to_pay_is_not_compiled_ahead(
    network, wrapper, batch, device, tmp_path, seconds, artifacts, iterations, compile, expected
):
    device({})
    if seconds:
        timings.write(tmp_path / "x.json", Timings(seconds))
    if artifacts:
        (tmp_path / "x.artifacts").touch()
    Autotuner(None, compile, tmp_path / "x").compile_ahead(TrainingTask(network, batch, wrapper, iterations))
    assert Parts.made == expected


def test_compiling_ahead_ends_when_the_turn_comes(training, device, monkeypatch):
    """And is made up for in the turn, where nothing interrupts it."""

    def compile(parts, model, batch, optim_wrapper, layout):
        if parts.interrupted():
            raise CompilationInterrupted
        parts.made.append(layout)
        parts.layout = layout

    device({})
    monkeypatch.setattr(Parts, "compile", compile)
    tuner = Autotuner(None, True)
    tuner.interrupted = lambda: True
    tuner.compile_ahead(training)
    assert Parts.made == []
    assert tuner.prepare(training, LOGGER).mode.compiled
    assert len(Parts.made) == 1


def test_trials_and_compilations_leave_no_algorithms_to_the_training(training, device, monkeypatch):
    """They are made where algorithms are not searched for; the step that is taken is not."""
    inside, seen = [], []

    def without_search(function):
        inside.append(True)
        try:
            return function()
        finally:
            inside.pop()

    class Noted(Graph):
        def __init__(self, *args, check=True):
            super().__init__(*args)
            seen.append(("graph", bool(inside)))

    tried = device({})
    time = Autotuner._seconds
    monkeypatch.setattr(Autotuner, "_seconds", lambda *args: seen.append(("time", bool(inside))) or time(*args))
    monkeypatch.setattr(Parts, "compile", lambda *args: seen.append(("compile", bool(inside))))
    monkeypatch.setattr(autotune, "GraphedStep", Noted)
    monkeypatch.setattr(autotune, "without_search", without_search)
    Autotuner(None, True).prepare(training, LOGGER)
    assert len(tried) == 3
    assert {what: {there for which, there in seen if which == what} for what, _ in seen} == {
        "time": {True}, "compile": {True}, "graph": {False},
    }  # fmt: skip
    seen.clear()
    Autotuner(None, True).compile_ahead(training)
    assert seen == [("compile", True)]


def test_compilation_that_is_asked_for_and_fails_is_an_error(training, device):
    device({COMPILED: CompilationFailed("no compiler")})
    with pytest.raises(UserError, match=r"^the network cannot be compiled: no compiler$"):
        Autotuner(None, True).prepare(training, LOGGER)
    assert Autotuner(None).prepare(training, LOGGER).mode == GRAPHED[0]


def test_first_compilations_of_other_networks_tell_what_the_next_takes(tmp_path):
    assert timings.typical_compile_seconds(tmp_path) is None
    for name, seconds in (("a", 10.0), ("b", None), ("c", 30.0)):
        timings.write(tmp_path / f"{name}.json", Timings({EAGER: 1.0}, seconds))
    assert timings.typical_compile_seconds(tmp_path) == 20.0
    assert timings.read(tmp_path / "a.json") == Timings({EAGER: 1.0}, 10.0)


def test_passes_take_time(network, wrapper, batch):
    assert timed(lambda: None) >= 0
    assert median_seconds(lambda batch: passes(network, batch, wrapper), batch) > 0
