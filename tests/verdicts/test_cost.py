"""Published costs: what is reproduced, what is explained, and that an explanation has to compute."""

from dataclasses import replace

import pytest

from benchmark.catalog import catalog
from benchmark.catalog.references import COST, Reference, Source, StatedProtocol
from benchmark.verdicts.cost import Cost, verdict

PROTOCOL = StatedProtocol(*[None] * 10, classes=10)
SOURCE = Source("A paper", "paper", None, "Table 1", "https://example.org")


def measure(architecture, size, classes):
    """A network of 1,000,000 parameters and 10,000 a class, 0.2 M of them in an auxiliary head; 1 kMAC a pixel, of
    which 400 in 1x1 and 450 in 3x3 convolutions."""
    params = 1_000_000 + 10_000 * classes
    pixels = size[0] * size[1]
    return Cost(
        params,
        params + 200_000,
        1000 * pixels,
        {"relu": 50 * pixels, "add": 10 * pixels},
        {1: 400 * pixels, 9: 450 * pixels},
    )


def reference(metric="params", value=1.1, decimals=2, *, network=None, explanation=None, **protocol):
    return Reference(
        *("net-figure", "paper", "net", metric, value, "M" if metric == "params" else "G", decimals, None, None),
        protocol=replace(PROTOCOL, **protocol),
        runs=None,
        selection="unknown",
        confidence="seen",
        source=SOURCE,
        note=None,
        network=network,
        explanation=explanation,
    )


def macs(value, **facts):
    return reference("macs", value, **{"input_size": [100, 100], "flop_convention": "mac"} | facts)


@pytest.mark.parametrize(("value", "outcome"), [(1.1, "reproduced"), (1.11, "reproduced"), (1.112, "differs")])
def test_within_one_percent(value, outcome):
    found = verdict(reference(value=value, decimals=3), measure)
    assert found.outcome == outcome
    assert found.measured == 1.1
    assert found.difference == pytest.approx(100 * (1.1 / value - 1))


@pytest.mark.parametrize(("value", "said"), [(1100.0, "a thousand times ours"), (0.0011, "a thousandth of ours")])
def test_a_figure_in_another_unit_is_asked_after(value, said):
    found = verdict(reference(value=value, decimals=4), measure)
    assert found.outcome == "differs"
    assert f"the published figure is {said}: is its unit M?" in found.reason
    assert "unit" not in verdict(reference(value=2.0, decimals=4), measure).reason


def test_rounding_explains_half_a_unit_of_the_last_decimal():
    assert verdict(reference(value=1.0, decimals=0, classes=20), measure).outcome == "explained"
    found = verdict(reference(value=1.1, decimals=1, classes=14), measure)
    assert (found.outcome, found.measured) == ("explained", 1.14)
    assert "rounded to 0.1 M" in found.reason
    assert verdict(reference(value=1.1, decimals=1, classes=16), measure).outcome == "differs"


def test_the_number_of_classes():
    assert verdict(reference(value=1.31, classes=31), measure).outcome == "reproduced"
    assert "19 classes (not stated)" in verdict(reference(value=1.19, classes=None), measure).reason
    found = verdict(reference(value=1.31, classes=None, explanation={"classes": 31}), measure)
    assert (found.outcome, found.reason) == ("explained", "31 classes")


def test_the_auxiliary_head():
    assert verdict(reference(value=1.3, params_include="auxiliary head"), measure).outcome == "reproduced"
    found = verdict(reference(value=1.3), measure)
    assert (found.outcome, found.reason) == ("explained", "the auxiliary head counted")


def test_an_unused_classifier():
    found = verdict(reference(value=1.6, explanation={"unused_classifier": [499, 1000]}), measure)
    assert (found.outcome, found.measured) == ("explained", 1.6)  # 499 x 1000 weights and 1000 biases
    assert found.reason == "a classifier 499 to 1000 counted that never runs"


def test_a_file_size():
    found = verdict(reference(value=4.2, explanation={"file_size": True}), measure)
    assert (found.outcome, found.measured) == ("explained", 1.1e6 * 4 / 2**20)


def test_rounding_and_a_habit_together():
    found = verdict(reference(value=1.0, decimals=0), measure)  # 1.3 with the auxiliary head
    assert found.outcome == "explained"
    found = verdict(reference(value=2.0, decimals=0, classes=40), measure)  # 1.4, and 1.6 with it
    assert (found.outcome, found.measured) == ("explained", 1.6)
    assert found.reason == "the auxiliary head counted; the published figure is rounded to 1 M"


def test_a_multiply_add_counted_twice():
    assert verdict(macs(0.01), measure).outcome == "reproduced"
    assert verdict(macs(0.02, flop_convention="2mac"), measure).outcome == "reproduced"
    assert verdict(macs(0.02), measure).outcome == "explained"
    assert verdict(macs(0.01, flop_convention="2mac"), measure).outcome == "differs"
    assert verdict(macs(0.04, flop_convention="2mac"), measure).outcome == "differs"


def test_another_input():
    found = verdict(macs(0.04, input_size=None, explanation={"input_size": [200, 200]}), measure)
    assert (found.outcome, found.reason) == ("explained", "an input of 200x200 (not stated)")
    assert verdict(macs(0.04, input_size=None), measure).outcome == "not comparable"


def test_operations_beside_the_macs():
    found = verdict(macs(0.0112, decimals=4, explanation={"elementwise": {"relu": 2, "add": 2}}), measure)
    assert found.outcome == "explained"
    assert found.measured == pytest.approx(0.01 + 2 * 50e4 / 1e9 + 2 * 10e4 / 1e9)


def test_operations_of_kernels():
    """A 3x3 kernel takes 9 products and 8 sums; the sum over channels is not counted, so a 1x1 counts once."""
    found = verdict(macs(0.014, decimals=4, explanation={"kernel_operations": True}), measure)
    assert (found.outcome, found.measured) == ("explained", (1000 + 450 // 9 * 8) * 10_000 / 1e9)


def test_an_explanation_that_does_not_compute_is_not_believed():
    found = verdict(macs(0.02, explanation={"elementwise": {"relu": 2}}), measure)
    assert found.outcome == "differs"
    assert found.measured == 0.01
    assert "counted in addition to the MACs, per element: 2 of relu would give 0.011 G" in found.reason


def test_a_figure_of_another_network():
    found = verdict(reference(value=1.1, network="without batch normalisation"), measure)
    assert (found.outcome, found.measured, found.difference) == ("not comparable", None, None)
    assert "without batch normalisation" in found.reason


def test_every_published_cost_is_of_an_architecture():
    for each in catalog.references().values():
        if each.metric in COST and "global_convolution" not in (each.explanation or {}):
            assert verdict(each, lambda *_: Cost(1, 1, 1, {}, {})).outcome in {"differs", "not comparable"}


def test_transposed_convolutions_at_the_positions_of_their_output():
    def with_surplus(architecture, size, classes):
        return replace(measure(architecture, size, classes), transposed_surplus=100 * size[0] * size[1])

    facts = {"decimals": 4, "flop_convention": "2mac", "explanation": {"transposed_outputs": True}}
    found = verdict(macs(0.022, **facts), with_surplus)
    assert (found.outcome, found.measured) == ("explained", 0.022)
    assert "at every position of their output" in found.reason
    assert verdict(macs(0.022, **facts), measure).outcome == "differs"


@pytest.mark.parametrize(("k", "value"), [(3, 0.260), (5, 0.434), (7, 0.608), (9, 0.782), (9, 0.792)])
def test_a_global_convolution_alone(k, value):
    """GCN, Table 2; the last value does not compute."""
    found = verdict(reference(value=value, decimals=3, explanation={"global_convolution": [k, 2048, 21]}), measure)
    assert found.outcome == ("differs" if value == 0.792 else "explained")
    assert f"2 ({k} x 2048 x 21 + {k} x 21 x 21) weights" in found.reason


def test_the_global_convolution_of_the_explanation_is_the_module():
    import torch

    import benchmark.registration  # noqa: F401 (activates the backend)
    from benchmark.models.layers.gcn import GlobalConvolution

    with torch.device("meta"):
        module = GlobalConvolution(2048, 21, 7)
    weights = sum(p.numel() for name, p in module.named_parameters() if name.endswith("weight"))
    found = verdict(reference(value=0.608, decimals=3, explanation={"global_convolution": [7, 2048, 21]}), measure)
    assert found.measured == weights / 1e6
