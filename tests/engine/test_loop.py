"""The training loop starts anywhere, and waits for the device at log points only."""

import logging

import pytest
import torch
from torch import nn

import benchmark.registration  # noqa: F401
from benchmark.configs import compose
from benchmark.engine.loop import _mix, _seed
from benchmark.engine.precision import Float32OptimWrapper
from benchmark.engine.session import Session
from benchmark.engine.timings import EAGER, TrainingMode


def test_accumulated_losses_are_divided():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    wrapper = Float32OptimWrapper(optimizer, accumulative_counts=4)
    assert wrapper.scale_loss(torch.tensor(2.0)) == 0.5


def test_seeds_are_those_of_torch():
    for iteration in range(3):
        seed = _mix(7, iteration, 0)
        torch.manual_seed(seed)
        expected = torch.rand(5)
        _seed(seed)
        assert torch.equal(torch.rand(5), expected)


@pytest.mark.parametrize("architecture", ["enet", "pointrend_fpn_r50", "pspnet_r50-d8"])
def test_nothing_waits_for_the_device_between_log_points(tmp_path, waits, architecture):
    config = compose.compose(architecture, "shapes_64x64_smoke", max_iters=3, deterministic=True)
    config.optim_wrapper.optimizer = {"type": "SGD", "lr": 0.01}  # Adam counts its steps on the CPU, and reads them
    session = Session(config, tmp_path)
    loop, seen = session.runner.train_loop, []
    run_iter = loop.run_iter

    def watched(batch):
        with waits() as watch:
            run_iter(batch)
        seen.append(watch.names)

    loop.run_iter = watched
    session.train()
    assert seen[:-1] == [[], []]


def test_the_watch_sees_what_waits(waits):
    with waits() as watch:
        numbers = torch.arange(4)
        numbers[numbers > 1]
        numbers.sum().item()
        bool(numbers.any())
        torch.bincount(numbers)
    assert len(watch.names) == 4


def test_hooks_that_do_nothing_in_an_iteration_are_not_called(tmp_path):
    config = compose.compose("enet", "shapes_64x64_smoke", max_iters=1, deterministic=True)
    session = Session(config, tmp_path)
    names = [type(hook.__self__).__name__ for hook in session.runner.train_loop._after]
    assert names == ["LossHook", "ParamSchedulerHook", "DeadlineHook"]
    assert session.runner.train_loop._before == []


def _repeat(function):
    """What stands in for a graph: the work itself."""
    result = function()
    return lambda: result.copy_(function()), result


def _undropped(session):
    """A session whose network draws nothing, as on a GPU it draws nothing on the host."""
    for module in session.runner.model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
    return session


def test_replayed_passes_train_as_eager_ones_do_and_wait_for_nothing(tmp_path, waits, monkeypatch):
    monkeypatch.setattr("benchmark.engine.graph.record", _repeat)
    trained, seen = [], []
    for graph in (False, True):
        config = compose.compose("enet", "shapes_64x64_smoke", max_iters=3)
        config.optim_wrapper.optimizer = {"type": "SGD", "lr": 0.01}
        mode = TrainingMode("contiguous", graph, False)
        session = _undropped(Session(config, tmp_path / str(graph), mode=mode))
        loop = session.runner.train_loop
        run_iter = loop.run_iter

        def watched(batch, run_iter=run_iter):
            with waits() as watch:
                run_iter(batch)
            seen.append(watch.names)

        loop.run_iter = watched
        trained.append(session.train())
        assert loop.mode.graph is graph
        assert loop.step == loop._eager
        assert all(weight.grad is None for weight in session.runner.model.parameters())
    eager, replayed = trained
    assert replayed.loss == eager.loss
    assert replayed.last.read_bytes() == eager.last.read_bytes()
    assert seen[3:5] == [[], []]


def test_without_a_gpu_a_graph_is_left_out_in_one_line(tmp_path, caplog):
    config = compose.compose("enet", "shapes_64x64_smoke", max_iters=1)
    session = Session(config, tmp_path, quiet=False, mode=TrainingMode("contiguous", True, False))
    session.runner.logger.addHandler(caplog.handler)
    with caplog.at_level(logging.INFO):
        session.train()
    lines = [record.getMessage() for record in caplog.records if "graph" in record.getMessage()]
    assert lines == ["training without a CUDA graph: no CUDA device is available"]
    assert session.runner.train_loop.mode == EAGER
    assert session.runner.train_loop.compile_seconds is None
