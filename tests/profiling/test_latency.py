import math
import re
import time

import numpy as np
import pytest
import torch
from torch import nn

from benchmark.errors import UserError
from benchmark.profiling import latency
from benchmark.profiling.latency import (
    CLOCKS,
    Budget,
    alternate,
    instabilities,
    is_precise,
    is_stable,
    stable_times,
    summary,
)
from benchmark.results.checks.cost import check_latency

STEADY = Budget(repeats=6, seconds=0, limit=1)
WARMED_UP, TIMED = Budget(10, 0.5, 10.0, 1_000), Budget(9, 0.5, 20.0, 1_000)


class Clock:
    """Seconds that pass only when a call is timed.

    A duration is a number, or a function of the seconds that have passed.
    """

    def __init__(self, *durations):
        self.durations, self.seconds, self.calls = durations, 0.0, []

    def now(self):
        return self.seconds

    def timer(self, call):
        index = call()
        self.calls.append(index)
        duration = self.durations[index]
        if callable(duration):
            duration = duration(self.seconds)
        self.seconds += duration
        return 1e3 * duration

    def run(self, budget, *is_enough):
        return alternate([lambda: 0, lambda: 1], self.timer, budget, self.now, *is_enough)

    def stable_times(self, warm_up=WARMED_UP, timing=TIMED):
        return stable_times([lambda: 0, lambda: 1], self.timer, warm_up, timing, self.now)


def noise(deviation, mean=0.05, seed=0):
    """Durations of normal noise, deviation relative to the mean."""
    rng = np.random.default_rng(seed)
    return lambda seconds: mean * (1 + deviation * rng.standard_normal())


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
        (Budget(repeats=5, seconds=10, limit=100, most=8), 8),
    ],
)
def test_a_budget_is_repeats_and_seconds_but_never_more_than_its_limit(budget, repeats):
    assert [len(times) for times in Clock(0.375, 0.125).run(budget)] == [repeats, repeats]


def test_enough_is_asked_after_the_lower_bounds():
    asked = []

    def is_enough(times):
        asked.append([len(each) for each in times])
        return len(asked) == 3

    times = Clock(0.25, 0.25).run(Budget(repeats=5, seconds=3, limit=100), is_enough)
    assert asked == [[6, 6], [7, 7], [8, 8]]
    assert [len(each) for each in times] == [8, 8]


@pytest.mark.parametrize(
    ("times", "settled"),
    [
        ([100] * 5, False),  # fewer than two windows
        ([100] * 6, True),
        ([100] * 3 + [97] * 3, True),
        ([100] * 3 + [96] * 3, False),
        ([100] * 3 + [104] * 3, False),
        ([900] * 4 + [100] * 6, True),  # what lies before counts no more
        ([100, 100, 100, 900, 100, 100], True),  # one slow repeat is no change
    ],
)
def test_times_have_settled_where_two_windows_have_one_median(times, settled):
    steady = [10] * len(times)
    assert is_stable([times, steady], 3) == settled
    assert is_stable([steady, times], 3) == settled


def test_the_interquartile_range_of_the_median_is_that_of_many_samples():
    """The formula against the quartiles of medians of normal samples."""
    samples = np.random.default_rng(0).normal(10, 1, (4000, 101))
    medians = np.median(samples, axis=1)
    lower, upper = np.percentile(medians / 10, [25, 75])
    assert latency._imprecision(samples[0]) == pytest.approx(upper - lower, rel=0.25)
    found = [latency._imprecision(sample) for sample in samples[:200]]
    assert np.mean(found) == pytest.approx(upper - lower, rel=0.05)


def test_both_medians_have_to_be_precise():
    spread = [9, 10, 11] * 4  # an interquartile range of 2 at most: 0.2 * 1.25 / sqrt(12) = 7 %
    assert is_precise([[10] * 12, [10] * 12])
    assert not is_precise([spread, [10] * 12])
    assert not is_precise([[10] * 12, spread])
    assert is_precise([spread * 9, spread * 9])  # 2.4 %


def slow_at_first(seconds):
    """Twice the time at first and its own after two seconds, as of a machine that speeds up."""
    return 0.05 * (1 + max(0.0, 1 - seconds / 2))


def test_what_is_slow_at_first_is_steady_once_it_has_settled():
    clock = Clock(slow_at_first, slow_at_first)
    network, anchor = clock.stable_times()
    assert len(network) == len(anchor) == 9
    assert max(network) <= 1.03 * min(network)
    assert instabilities(network, anchor, TIMED) == []
    early = Clock(slow_at_first, slow_at_first).run(TIMED)  # as it is without a warm-up
    assert "the network drifted by" in "; ".join(instabilities(*early, TIMED))


@pytest.mark.parametrize("change", [0.1, -0.1])
def test_a_network_that_drifts_on_is_unsteady(change):
    """As of throttling: it changes by as much in every second, for longer than the warm-up lasts at most."""
    clock = Clock(lambda seconds: 0.05 * math.exp(change * seconds), 0.05)
    network, anchor = clock.stable_times(WARMED_UP, Budget(9, 3.0, 20.0))
    assert len(network) >= 9
    (found,) = instabilities(network, anchor, TIMED)
    assert found.startswith(f"the network drifted by {'+' if change > 0 else '-'}")


@pytest.mark.parametrize("seconds", [1.0, 1.4, 1.6])
def test_a_timing_that_began_slow_counts_as_warm_up(seconds):
    """All of the warm-up is equally slow, so that its windows agree."""
    clock = Clock(*[lambda now: 0.05 * (1.4 if now < seconds else 1)] * 2)
    network, anchor = clock.stable_times(Budget(4, 0.3, 10.0), Budget(9, 2.0, 20.0))
    assert max(network) == max(anchor) == 50
    assert instabilities(network, anchor, TIMED) == []
    assert clock.seconds < 7


def test_all_timings_together_keep_to_the_limit():
    clock = Clock(lambda now: 0.05 * math.exp(0.1 * now), 0.05)
    clock.stable_times(Budget(4, 0.0, 1.0), Budget(9, 3.0, 20.0))
    assert clock.seconds <= 22


def test_noise_is_no_drift():
    """Thirds of 3 of 9 times differ by more than 10 % in one of four, at a deviation of 10 %."""
    rng = np.random.default_rng(0)
    samples = 10 * (1 + 0.1 * rng.standard_normal((1000, 9)))
    apart = np.median(samples[:, -3:], axis=1) / np.median(samples[:, :3], axis=1) - 1
    assert np.mean(np.abs(apart) > latency.DRIFT) > 0.15
    assert np.mean([latency.drift(list(sample)) is not None for sample in samples]) < 0.07


@pytest.mark.parametrize("repeats", [3, 6, 8])
def test_few_repeats_say_nothing_of_drift(repeats):
    drifting = [10 * 0.9**index for index in range(repeats)]
    assert "drifted" not in "; ".join(instabilities(drifting, drifting, TIMED))
    assert instabilities(drifting, drifting, TIMED)[0] == f"only {repeats} of 9 repeats in 20 s"


def test_nine_repeats_tell_a_drift():
    drifting = [10 - 0.2 * index for index in range(9)]
    assert instabilities(drifting, [2] * 9, TIMED) == [
        "the network drifted by -12% from the first to the last third of the timing"
    ]


@pytest.mark.parametrize(("deviation", "least", "most"), [(0.0, 9, 9), (0.05, 9, 12), (0.15, 30, 90)])
def test_repeats_go_on_until_the_medians_are_precise(deviation, least, most):
    """About (1.2533 * 1.349 * deviation / 0.03)^2 of them: 45 for a deviation of 0.12."""
    network, anchor = Clock(noise(deviation), noise(deviation, seed=1)).stable_times()
    assert len(network) == len(anchor)
    assert least <= len(network) <= most
    assert is_precise([network, anchor])
    if len(network) > 9:
        assert not is_precise([network[:-1], anchor[:-1]])  # it stops as soon as it may
    assert "median" not in "; ".join(instabilities(network, [2] * len(network), TIMED))


def test_an_imprecise_anchor_goes_on_too():
    network, _ = Clock(0.05, noise(0.15)).stable_times()
    assert len(network) > 20


def test_a_timing_stops_when_the_time_is_up():
    clock = Clock(noise(0.5, mean=1.0), 0.01)
    network, anchor = clock.stable_times(WARMED_UP, Budget(9, 0.5, 20.0))
    assert 20 <= sum(network + anchor) / 1e3 <= 23
    assert clock.seconds <= 34  # 10 s of warm-up and 20 s of timing, and the repeats that were on their way
    assert not is_precise([network, anchor])
    (found,) = instabilities(network, [2] * len(network), Budget(9, 0.5, 20.0))
    assert re.fullmatch(r"the (median of the )?network .*", found)


def test_a_timing_stops_at_the_most_repeats():
    network, _ = Clock(noise(0.5), 0.05).stable_times(Budget(4, 0, 1, most=4), Budget(9, 0.5, 100.0, most=30))
    assert len(network) == 30


def test_an_imprecise_median_is_doubted():
    network = [8, 12] * 6
    assert instabilities(network, [2] * 12, Budget(9, 0.5, 20.0)) == [
        "the median of the network has an interquartile range of 14.5%, not below 3%"
    ]


@pytest.mark.parametrize("network", [[8, 12] * 6, [10, 11, 12] * 3, [5.0, 9.9, 10.3] * 7])
def test_the_note_of_an_imprecise_median_is_what_validation_computes(make_record, network):
    record, _ = make_record("enet", 0)
    anchor = [2] * len(network)
    (note,) = instabilities(network, anchor, TIMED)
    for text, problems in ((note, 0), (note.replace("range of ", "range of 1"), 1)):
        timed = record.latency[0].model_copy(update=summary(network, anchor) | {"unsteady": text})
        found = check_latency(record.model_copy(update={"latency": [timed]}))
        assert sum("the note says" in each for each in found) == problems


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_the_bounds_are_in_order(kind):
    for budget in (latency.WARM_UP[kind], latency.TIMING[kind]):
        assert 0 < budget.repeats < budget.most
        assert 0 < budget.seconds < budget.limit
    assert latency.TIMING[kind].repeats >= latency.DRIFT_REPEATS


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
    assert instabilities([10, 10.4, 9.9, 10.1, 10.2, 10], [2, 2.1, 2, 2, 2.1, 2], STEADY) == []


@pytest.mark.parametrize(
    ("network", "anchor", "doubt"),
    [
        ([10] * 9, [2] * 3 + [2.1] * 3 + [2.3] * 3, "the anchor drifted by +15% from the first to the last third"),
        ([10] * 3 + [9] * 3 + [8] * 3, [2] * 9, "the network drifted by -20% from the first to the last third"),
        ([10] * 6, [2, 3, 2, 3, 2, 3], "the interquartile range of the anchor is 40% of its median"),
        ([10] * 4, [2] * 4, "only 4 of 6 repeats in 1 s"),
    ],
)
def test_an_unsteady_timing_is_doubted(network, anchor, doubt):
    found = instabilities(network, anchor, STEADY)
    assert len(found) == 1
    assert found[0].startswith(doubt)


def test_one_repeat_says_nothing_of_drift():
    assert instabilities([10], [2], STEADY) == ["only 1 of 6 repeats in 1 s"]


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
    monkeypatch.setitem(latency.WARM_UP, "cpu", Budget(2, 0, 1, most=2))
    monkeypatch.setitem(latency.TIMING, "cpu", Budget(3, 0, 1, most=3))


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
    assert latency._graphs(calls) == (calls, ["timed without a CUDA graph, including launches: a wait"])


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setitem(latency.WARM_UP, "cuda", Budget(3, 0, 5, most=3))
    monkeypatch.setitem(latency.TIMING, "cuda", Budget(5, 0, 5, most=5))


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
    assert found.unsteady.startswith("timed without a CUDA graph, including launches: ")
    assert torch.rand(3, device="cuda").isfinite().all()
    torch.cuda.empty_cache()
    place = torch.zeros(3, device="cuda")
    replay, result = record(lambda: place + 1)
    place.fill_(2)
    replay()
    assert result.tolist() == [3.0, 3.0, 3.0]
    again = latency.measure(tiny(), (32, 40), device="cuda", regime="device")
    assert "without a CUDA graph" not in (again.unsteady or "")
