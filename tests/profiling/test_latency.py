import time

import pytest
import torch
from torch import nn

from benchmark.errors import UserError
from benchmark.profiling import latency
from benchmark.profiling.latency import CLOCKS, Budget, alternate, doubts, summary

STEADY = Budget(repeats=6, seconds=0, limit=1)


class Clock:
    """Seconds that pass only when a call is timed."""

    def __init__(self, *durations):
        self.durations, self.seconds, self.calls = durations, 0.0, []

    def now(self):
        return self.seconds

    def timer(self, call):
        index = call()
        self.calls.append(index)
        self.seconds += self.durations[index]
        return 1e3 * self.durations[index]

    def run(self, budget):
        return alternate([lambda: 0, lambda: 1], self.timer, budget, self.now)


def test_calls_are_timed_in_turn():
    clock = Clock(0.3, 0.1)
    times = clock.run(Budget(repeats=3, seconds=0, limit=100))
    assert clock.calls == [0, 1, 0, 1, 0, 1]
    assert times == [[300, 300, 300], [100, 100, 100]]


@pytest.mark.parametrize(
    ("budget", "repeats"),
    [
        (Budget(repeats=5, seconds=0, limit=100), 5),
        (Budget(repeats=5, seconds=10, limit=100), 20),  # 20 * (0.4 + 0.1) s
        (Budget(repeats=50, seconds=1, limit=10), 20),
        (Budget(repeats=5, seconds=1, limit=0), 1),
    ],
)
def test_a_budget_is_repeats_and_seconds_but_never_more_than_its_limit(budget, repeats):
    assert [len(times) for times in Clock(0.375, 0.125).run(budget)] == [repeats, repeats]


def test_summary_by_hand():
    assert summary([5.0, 1.0, 2.0, 3.0, 4.0], [2.0, 4.0, 0.5, 1.0, 1.5]) == {
        "median_ms": 3.0,
        "p90_ms": pytest.approx(4.6),
        "iqr_ms": 2.0,
        "repeats": 5,
        "anchor_median_ms": 1.5,
        "anchor_ratio": 2.0,
    }


def test_a_steady_timing_is_not_doubted():
    assert doubts([10, 10.4, 9.9, 10.1, 10.2, 10], [2, 2.1, 2, 2, 2.1, 2], STEADY) == []


@pytest.mark.parametrize(
    ("network", "anchor", "doubt"),
    [
        ([10] * 6, [2, 2, 2.1, 2.1, 2.3, 2.3], "the anchor drifted by +15% from the first to the last third"),
        ([10, 10, 9, 9, 8, 8], [2] * 6, "the network drifted by -20% from the first to the last third"),
        ([10] * 6, [2, 3, 2, 3, 2, 3], "the interquartile range of the anchor is 40% of its median"),
        ([10] * 4, [2] * 4, "only 4 of 6 repeats in 1 s"),
    ],
)
def test_an_unsteady_timing_is_doubted(network, anchor, doubt):
    found = doubts(network, anchor, STEADY)
    assert len(found) == 1
    assert found[0].startswith(doubt)


def test_one_repeat_says_nothing_of_drift():
    assert doubts([10], [2], STEADY) == ["only 1 of 6 repeats in 1 s"]


def test_the_cpu_clock_does_not_count_waiting():
    name, timer = CLOCKS["cpu", "end_to_end"]
    assert name == "thread_cpu"
    assert timer(lambda: time.sleep(0.05)) < 25

    def work():
        end = time.thread_time() + 0.05
        while time.thread_time() < end:
            pass

    assert timer(work) >= 50


@pytest.fixture
def brief(monkeypatch):
    monkeypatch.setitem(latency.WARM_UP, "cpu", Budget(2, 0, 1))
    monkeypatch.setitem(latency.TIMING, "cpu", Budget(3, 0, 1))


def test_measure(tiny, brief):
    found = latency.measure(tiny(), (32, 40))
    assert (found.regime, found.clock, found.anchor) == ("end_to_end", "thread_cpu", "resnet18")
    assert (found.size, found.batch, found.threads, found.precision) == ((32, 40), 1, 1, "float32")
    assert found.repeats == 3
    assert 0 < found.median_ms <= found.p90_ms
    assert found.anchor_ratio == found.median_ms / found.anchor_median_ms
    assert 0 < found.anchor_ratio < 1  # two convolutions against twenty


def test_network_and_anchor_see_the_same_random_image_in_turn(tiny, brief, monkeypatch):
    seen = []

    class Anchor(nn.Module):
        def forward(self, images):
            seen.append(("anchor", images))

    class Network(nn.Module):
        def __init__(self, model_cfg, size):
            super().__init__()

        def forward(self, images):
            seen.append(("network", images))
            assert torch.get_num_threads() == 1
            return images

    monkeypatch.setattr(latency, "_anchor", Anchor)
    monkeypatch.setattr(latency, "Inference", Network)
    latency.measure(tiny(), (32, 40))
    assert [name for name, _ in seen] == ["network", "anchor"] * 5
    assert {id(image) for _, image in seen} == {id(seen[0][1])}
    image = seen[0][1]
    assert image.shape == (1, 3, 32, 40)
    assert image.std() == pytest.approx(1, abs=0.05)


def test_lower_precision_is_autocast(tiny, brief, monkeypatch):
    seen = []

    class Anchor(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = nn.Conv2d(3, 1, 1)

        def forward(self, images):
            seen.append(self.convolution(images).dtype)

    monkeypatch.setattr(latency, "_anchor", Anchor)
    assert latency.measure(tiny(), (32, 40), precision="bfloat16").precision == "bfloat16"
    assert set(seen) == {torch.bfloat16}


def test_global_state_is_left_alone(tiny, brief):
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        before = torch.get_rng_state()
        latency.measure(tiny(), (32, 40))
        assert torch.get_num_threads() == 2
        assert torch.equal(torch.get_rng_state(), before)
        assert not torch.is_inference_mode_enabled()
        assert not torch.backends.cudnn.benchmark
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_float32_is_that_of_ieee(tiny, brief, monkeypatch, precision):
    seen = []

    class Anchor(nn.Module):
        def forward(self, images):
            seen.append((torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32))

    monkeypatch.setattr(latency, "_anchor", Anchor)
    latency.measure(tiny(), (32, 40), precision=precision)
    assert set(seen) == {(False, False)}
    assert torch.backends.cudnn.allow_tf32


def test_tf32_is_for_gpus(tiny):
    with pytest.raises(UserError, match="tf32 needs a GPU"):
        latency.measure(tiny(), (32, 40), precision="tf32")


def test_graphs_are_recorded_as_those_of_a_training_are(monkeypatch):
    """With its rehearsal and its repairs, so that a network which cannot be captured spoils nothing."""
    recorded = []

    def record(call):
        recorded.append(call)
        return lambda: call() + 100, None

    monkeypatch.setattr(latency, "record", record)
    calls = [lambda: 1, lambda: 2]
    graphs, notes = latency._graphs(calls)
    assert [graph() for graph in graphs] == [101, 102]
    assert recorded == calls
    assert notes == []


@pytest.mark.parametrize(
    "error", [RuntimeError("a wait\nand more"), torch.OutOfMemoryError("a wait"), ValueError("a wait")]
)
def test_what_cannot_be_captured_is_timed_as_it_is(monkeypatch, error):
    def record(call):
        raise error

    monkeypatch.setattr(latency, "record", record)
    calls = [lambda: 1, lambda: 2]
    assert latency._graphs(calls) == (calls, ["timed without a CUDA graph, launches included: a wait"])


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setitem(latency.WARM_UP, "cuda", Budget(3, 0, 5))
    monkeypatch.setitem(latency.TIMING, "cuda", Budget(5, 0, 5))


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
@pytest.mark.parametrize("regime", ["end_to_end", "device"])
def test_measure_on_a_gpu(tiny, short, regime, precision):
    found = latency.measure(tiny(), (32, 40), device="cuda", regime=regime, precision=precision)
    assert (found.regime, found.precision, found.repeats) == (regime, precision, 5)
    assert found.clock == {"end_to_end": "wall", "device": "cuda_event"}[regime]
    assert found.device == torch.cuda.get_device_name()
    assert 0 < found.median_ms <= found.p90_ms
    assert "without a CUDA graph" not in (found.unsteady or "")


@pytest.mark.gpu
def test_a_capture_that_fails_leaves_the_process_able_to_capture_and_to_draw(tiny, short):
    from benchmark.engine.graph import record

    found = latency.measure(tiny(waits=True), (32, 40), device="cuda", regime="device")
    assert found.unsteady.startswith("timed without a CUDA graph, launches included: ")
    assert torch.rand(3, device="cuda").isfinite().all()
    torch.cuda.empty_cache()
    place = torch.zeros(3, device="cuda")
    replay, result = record(lambda: place + 1)
    place.fill_(2)
    replay()
    assert result.tolist() == [3.0, 3.0, 3.0]
    again = latency.measure(tiny(), (32, 40), device="cuda", regime="device")
    assert "without a CUDA graph" not in (again.unsteady or "")
