"""The traps of published tables: each is told by the axis that it hides."""

import re

import pytest

from benchmark.catalog import catalog
from benchmark.catalog.references import Source
from benchmark.configs import compose
from benchmark.configs.axes import axes_of
from benchmark.datasets import catalog as datasets
from benchmark.verdicts.accuracy import verdicts
from benchmark.verdicts.comparability import facts, mismatches, unstated

ENET = {"architecture": "enet"}
CITYSCAPES = {"dataset": "cityscapes", "split": "val", "input_size": None}


def test_the_same_on_every_axis(invent_run, invent_reference):
    assert mismatches(invent_reference(), invent_run(), "miou") == []


@pytest.mark.parametrize(
    ("stated", "objection"),
    [
        ({"dataset": "voc12aug"}, "dataset: voc12aug, ours camvid"),
        (ENET | {"split": "val"}, "split: val, ours test"),
        (ENET | {"metric": "macc"}, "metric: macc, ours miou"),  # 68.3 is ENet's class accuracy, and quoted as its mIoU
        ({"metric": "aacc"}, "metric: aacc, ours miou"),
        ({"classes": 32}, "classes: 32, ours 11"),
        ({"input_size": (720, 960)}, "input size: 720x960, ours 360x480"),
        ({"scales": "multi"}, "scales: multi, ours single"),
        ({"flip": True}, "flip: yes, ours no"),
        ({"crop": (473, 473)}, "crop: 473x473, ours 360x480"),
        ({"pretraining": "imagenet"}, "pretraining: imagenet, ours none"),
        ({"extra_data": "coco"}, "extra data: coco, ours none"),
        ({"iterations": 80000}, "iterations: 80000, ours 1000"),
        ({"batch": 16}, "batch: 16, ours 8"),
        ({"void": "false_positive"}, "void: false_positive, ours ignore"),
        ({"network": "without its batch normalisation"}, "network: without its batch normalisation"),
        ({"confidence": "recalled"}, "source: recalled from memory, not seen in its source"),
    ],
)
def test_apart_on_one_axis(invent_run, invent_reference, stated, objection):
    assert mismatches(invent_reference(**stated), invent_run("enet"), "miou") == [objection]


@pytest.mark.parametrize(
    ("stated", "objection"),
    [
        ({"split": "test"}, "split: test, ours val"),  # of its own val: the labels of test are not public
        ({"classes": 7}, "classes: 7, ours 19"),  # category IoU
        ({"extra_data": "coarse"}, "extra data: coarse, ours none"),
    ],
)
def test_cityscapes(invent_run, invent_reference, stated, objection):
    published = invent_reference(**CITYSCAPES | stated)
    assert mismatches(published, invent_run(dataset="cityscapes"), "miou") == [objection]


def test_weights_to_start_from(invent_run, invent_reference):
    ours = invent_run(pretraining="imagenet")
    assert mismatches(invent_reference(), ours, "miou") == ["pretraining: none, ours imagenet"]
    assert mismatches(invent_reference(pretraining="imagenet"), ours, "miou") == []


def test_every_axis_is_named(invent_run, invent_reference):
    found = mismatches(invent_reference(split="val", scales="multi", flip=True), invent_run(), "miou")
    assert [each.split(":")[0] for each in found] == ["split", "scales", "flip"]


def test_a_source_that_restates_a_number(invent_run, invent_reference):
    source = Source("A survey", "third party", None, "Table 9", "https://example.org")
    (found,) = mismatches(invent_reference(source=source), invent_run(), "miou")
    assert found.startswith("source: a third party's")


def test_a_papers_number_that_others_restate_is_compared(invent_run, invent_reference):
    source = Source("A paper", "restated", None, "Table 5", "https://example.org", ("a README", "a survey"))
    assert mismatches(invent_reference(source=source), invent_run(), "miou") == []


@pytest.mark.parametrize("metric", ["miou", "macc"])
@pytest.mark.parametrize(
    ("architecture", "judged", "others"),
    [
        ("enet", {"enet-camvid-test-miou", "enet-camvid-test-macc"}, {"enet-camvid-test-miou-davidtvs"}),
        ("espnet", {"espnet-camvid-test-miou", "espnet-camvid-test-macc"}, {"espnet-camvid-test-miou-liu"}),
    ],
)
def test_the_protocol_of_a_paper_is_judged_by_its_figures(invent_run, architecture, judged, others, metric):
    """Three seeds under it get a verdict on what the authors published, and on nothing that is not theirs."""
    axes = axes_of(compose.compose(architecture, f"camvid_360x480_{architecture}"), "0" * 64)
    runs = [invent_run(architecture, seed, miou=55 + seed / 10, **axes) for seed in range(3)]
    references = [
        each
        for each in catalog.references().values()
        if (each.architecture, each.dataset, each.metric) == (architecture, "camvid", metric)
    ]
    outcomes = {each.reference: each.outcome for each in verdicts(runs, references, metric=metric)}
    found = {name for name, outcome in outcomes.items() if outcome != "not comparable"}
    assert found == {name for name in judged if metric in name}
    assert {name for name in others if metric in name} <= set(outcomes) - found


def test_what_is_not_stated_keeps_nothing_apart_and_is_listed(invent_run, invent_reference):
    published = invent_reference(input_size=None, flip=None, crop=None, iterations=None, void=None, batch=None)
    assert mismatches(published, invent_run(), "miou") == []
    assert unstated(published) == ["input size", "flip", "crop", "iterations", "batch", "void"]
    assert unstated(invent_reference()) == []


@pytest.mark.parametrize(
    ("unknown", "axis", "objection"),
    [
        ({"input": None}, "input_size", "input size: 360x480, ours not known"),
        ({"augmentation": {}}, "crop", "crop: 360x480, ours not known"),
        ({"schedule": {}}, "iterations", "iterations: 1000, ours not known"),
        ({"batch": None}, "batch", "batch: 8, ours not known"),
        ({"void": None}, "void", "void: ignore, ours not known"),
        ({"splits": {}}, None, "split: test, ours not known"),
    ],
)
def test_what_is_not_known_of_ours_keeps_apart_what_the_source_states(
    invent_run, invent_reference, unknown, axis, objection
):
    run = invent_run(**{name: value for name, value in unknown.items() if name != "input"})
    run = run._replace(**{name: value for name, value in unknown.items() if name == "input"})
    assert mismatches(invent_reference(), run, "miou") == [objection]
    if axis:
        assert mismatches(invent_reference(**{axis: None}), run, "miou") == []


def test_a_result_without_its_axes_is_compared_with_nothing(invent_run, invent_reference):
    run = invent_run()
    run = run._replace(conditions=run.conditions._replace(axes={}))
    found = [each.split(":")[0] for each in mismatches(invent_reference(), run, "miou")]
    assert found == ["dataset", "split", "crop", "pretraining", "iterations", "batch", "void"]


def test_a_dataset_that_is_not_known_here_has_no_number_of_classes(invent_run, invent_reference):
    run = invent_run(dataset="loveda")
    assert facts(run, "miou")["classes"] is None
    assert mismatches(invent_reference(dataset="loveda", split="val", input_size=(360, 480)), run, "miou") == []


@pytest.mark.parametrize(
    ("overrides", "stated", "expected"),
    [
        ({"max_iters": 1000}, {}, []),  # as the source states
        ({"max_iters": 1000}, {"iterations": None}, ["iterations: not stated, ours changed to 1000"]),
        ({"batch_size": 8}, {"batch": None}, ["batch: not stated, ours changed to 8"]),
        ({"crf": "deeplabv2"}, {}, ["crf: not stated, ours changed to deeplabv2"]),
        ({"val_interval": 10}, {"iterations": None}, []),
    ],
)
def test_what_the_command_line_changed(invent_run, invent_reference, overrides, stated, expected):
    assert mismatches(invent_reference(**stated), invent_run(overrides=overrides), "miou") == expected


def test_refined_predictions_are_not_compared_with_plain_ones(invent_run, invent_reference):
    refined = {"evaluation": {"crf": {"w1": 4}}, "overrides": {"crf": "deeplabv2"}}
    assert mismatches(invent_reference(crf=True), invent_run(), "miou") == ["crf: yes, ours no"]
    assert mismatches(invent_reference(crf=True), invent_run(**refined), "miou") == []


def test_facts_are_those_of_the_metafiles(invent_run):
    """Each is stated by some reference in the same type, or it could never be found equal."""
    ours = facts(invent_run(), "miou")
    published = [each for each in catalog.references().values() if each.dataset]
    for axis, value in ours.items():
        stated = {type(getattr(each, axis, getattr(each.protocol, axis, None))) for each in published}
        assert type(value) in stated or stated == {type(None)}, axis


@pytest.mark.parametrize("protocol", catalog.protocols())
def test_every_protocol_states_its_facts(invent_run, protocol):
    config = compose.compose("enet", protocol)
    axes = axes_of(config, "0" * 64)
    ours = facts(invent_run(**axes), "miou")
    assert ours["split"] in ("val", "test")
    named = ours["crop"] if protocol.startswith("cityscapes") else config.protocol.size
    assert "{}x{}".format(*named) in protocol
    assert ours["classes"] == len(datasets.dataset(ours["dataset"]).classes)
    if found := re.search(r"(\d+)k$", protocol):
        assert ours["iterations"] == 1000 * int(found[1])
