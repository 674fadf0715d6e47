"""Published speeds: compared where device, size, precision and batch are ours, and otherwise shown with the reason."""

from dataclasses import replace

import pytest

from benchmark.verdicts.speed import verdict, verdicts

H100 = "NVIDIA H100 80GB HBM3"


@pytest.fixture
def timed(make_record):
    """Records of one network, one for each median in milliseconds, timed on a GPU; `fields` are of their latency."""

    def timed(*medians, architecture="net", **fields):
        made = []
        for seed, ms in enumerate(medians):
            record, _ = make_record(architecture, seed)
            plain = {"device": H100, "clock": "wall", "size": (512, 1024), "iqr_ms": 0.02 * ms, "repeats": 100}
            latency = record.latency[0].model_copy(update={"median_ms": ms} | plain | fields)
            made.append(record.model_copy(update={"latency": [latency]}))
        return made

    return timed


@pytest.fixture
def published(invent_reference):
    """A published latency of that setting."""

    def published(value=10.0, **fields):
        stated = {"input_size": (512, 1024), "hardware": H100, "precision": "float32", "batch": 1, "crop": None}
        stated |= {"scales": None, "flip": None, "pretraining": None, "extra_data": None, "iterations": None}
        plain = {"metric": "latency_ms", "unit": "ms", "dataset": None, "split": None, "ours": "net"}
        return invent_reference(value, **stated | plain | fields)

    return published


def outcome(records, reference):
    (found,) = verdicts(records, [reference])
    return found.outcome


@pytest.mark.parametrize(
    ("value", "expected"), [(10.0, "reproduced"), (9.3, "reproduced"), (9.07, "inconclusive"), (8.5, "differs")]
)
def test_the_margin_is_of_the_time(timed, published, value, expected):
    records = timed(10.0, 10.1)
    assert outcome(records, published(value)) == expected
    assert outcome(records, published(1000 / value, metric="fps", unit="fps")) == expected


def test_a_faster_one_differs_too(timed, published):
    (found,) = verdicts(timed(10.0, 10.1), [published(12.0)])
    assert (found.outcome, found.reason.split(";")[0]) == ("differs", "faster")
    assert found.measured == pytest.approx(10.05)
    assert found.interval[0] < found.measured - 12 < found.interval[1] < 0


def test_rounding_of_the_figure_is_uncertainty(timed, published):
    assert outcome(timed(7.4, 7.4), published(7, decimals=0)) == "inconclusive"
    assert outcome(timed(7.0, 7.0), published(7.0, decimals=1)) == "reproduced"


def test_a_median_of_few_repeats_is_uncertain(timed, published):
    assert outcome(timed(10.0, iqr_ms=3.0, repeats=7), published(10.0)) == "inconclusive"
    assert outcome(timed(10.0, iqr_ms=3.0, repeats=700), published(10.0)) == "reproduced"


def test_one_timing_alone_differs_only_by_far(timed, published):
    (found,) = verdicts(timed(10.0), [published(6.0)])
    assert (found.outcome, found.reason.split(",")[0]) == ("inconclusive", "one timing")
    assert outcome(timed(10.0), published(4.0)) == "differs"
    assert outcome(timed(10.0, 10.0), published(6.0)) == "differs"


def test_timings_that_disagree_settle_nothing(timed, published):
    assert outcome(timed(10.0, 15.0), published(10.0)) == "inconclusive"


def test_unsteady_timings_are_left_out(timed, published):
    steady, unsteady = timed(10.0), timed(20.0, unsteady="drifted")
    assert outcome(steady + unsteady, published(10.0)) == "reproduced"
    (found,) = verdicts(unsteady, [published(10.0)])
    assert (found.outcome, found.reason.split(";")[0]) == ("inconclusive", "unsteady: drifted")


@pytest.mark.parametrize(
    ("stated", "objection"),
    [
        ({"hardware": "NVIDIA H100 PCIe"}, "device: NVIDIA H100 PCIe, ours NVIDIA H100 80GB HBM3"),
        ({"hardware": None}, "device: not stated, ours NVIDIA H100 80GB HBM3"),
        ({"input_size": (1024, 2048)}, "input size: 1024x2048, ours 512x1024"),
        ({"precision": "float16"}, "precision: float16, ours float32"),
        ({"precision": None}, "precision: not stated, ours float32"),
        ({"batch": 16}, "batch: 16, ours 1"),
        ({"batch": None}, "batch: not stated, ours 1"),
        ({"classes": 150}, "classes: 150, ours 4"),
        ({"confidence": "recalled"}, "source: recalled from memory, not seen in its source"),
    ],
)
def test_another_setting_is_shown_beside_ours_and_not_compared(timed, published, stated, objection):
    (found,) = verdicts(timed(10.0, 10.0), [published(10.0, **stated)])
    assert (found.outcome, found.reason) == ("not comparable", objection)
    assert (found.measured, found.difference, found.interval) == (10.0, None, None)


@pytest.mark.parametrize(
    ("stated", "ours", "same"),
    [
        ("RTX 2080 Ti, batch normalisation folded", "NVIDIA GeForce RTX 2080 Ti", True),
        ("RTX 2080", "NVIDIA GeForce RTX 2080 Ti", False),
        ("NVIDIA Titan X (Maxwell)", "NVIDIA GeForce GTX TITAN X", False),
        ("V100", "Tesla V100-SXM2-16GB", False),
        ("Intel Xeon @ 2.50GHz", "Intel(R) Xeon(R) Processor @ 2.50GHz", True),
    ],
)
def test_a_device_is_the_same_if_no_word_tells_it_apart(timed, published, stated, ours, same):
    found = outcome(timed(10.0, device=ours), published(10.0, hardware=stated))
    assert found == ("reproduced" if same else "not comparable")


def test_threads_that_are_not_stated_explain_a_published_time_that_is_shorter(timed, published):
    records = timed(10.0, 10.0, clock="thread_cpu", device="CPU 1")
    assert outcome(records, published(3.0, hardware="CPU 1")) == "inconclusive"
    assert outcome(records, published(3.0, hardware="CPU 1, 1 thread")) == "differs"
    assert outcome(records, published(3.0, hardware="CPU 1, 8 threads")) == "not comparable"
    assert outcome(records, published(30.0, hardware="CPU 1")) == "differs"
    assert outcome(records, published(10.0, hardware="CPU 1")) == "reproduced"


def test_the_nearest_timing_is_taken(timed, published):
    small, large = timed(5.0, 5.0, size=(360, 640)), timed(10.0, 10.0)
    for records in (small + large, large + small):
        assert outcome(records, published(10.0)) == "reproduced"
    (found,) = verdicts(small + large, [published(10.0, precision=None)])
    assert found.measured == 10.0


def test_images_a_second_of_a_batch(timed, published):
    records = timed(100.0, 100.0, batch=16)
    (found,) = verdicts(records, [published(160.0, metric="fps", unit="fps", batch=16)])
    assert (found.outcome, found.measured) == ("reproduced", 160.0)


def test_what_was_not_timed_is_said(timed, published):
    found = verdict(published(), None)
    assert (found.outcome, found.measured, found.reason) == ("not run", None, "`segbench run net` measures one")
    other = verdict(replace(published(), ours=None), None)
    assert (other.outcome, other.reason) == ("not comparable", "no architecture of ours is this network")
    assert outcome(timed(10.0, architecture="other"), published()) == "not run"
    assert verdicts(timed(10.0), [published(metric="params", unit="M")]) == []
