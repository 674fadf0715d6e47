"""The traps of published tables: each is told by the axis that it hides."""

import re

import pytest

from benchmark import catalog, compose
from benchmark.analysis.comparability import facts, objections, unsaid
from benchmark.datasets import catalog as datasets
from benchmark.references import Source

ENET = {"architecture": "enet"}
CITYSCAPES = {"dataset": "cityscapes", "split": "val", "input_size": None}


def test_the_same_on_every_axis(invent_run, invent_reference):
    assert objections(invent_reference(), invent_run(), "miou") == []


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
    assert objections(invent_reference(**stated), invent_run("enet"), "miou") == [objection]


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
    assert objections(published, invent_run(dataset="cityscapes"), "miou") == [objection]


def test_weights_to_start_from(invent_run, invent_reference):
    ours = invent_run(pretraining="imagenet")
    assert objections(invent_reference(), ours, "miou") == ["pretraining: none, ours imagenet"]
    assert objections(invent_reference(pretraining="imagenet"), ours, "miou") == []


def test_every_axis_is_named(invent_run, invent_reference):
    found = objections(invent_reference(split="val", scales="multi", flip=True), invent_run(), "miou")
    assert [each.split(":")[0] for each in found] == ["split", "scales", "flip"]


def test_a_source_that_restates_a_number(invent_run, invent_reference):
    source = Source("A survey", "third party", None, "Table 9", "https://example.org")
    (found,) = objections(invent_reference(source=source), invent_run(), "miou")
    assert found.startswith("source: a third party's")


def test_what_is_not_stated_keeps_nothing_apart_and_is_listed(invent_run, invent_reference):
    published = invent_reference(input_size=None, flip=None, crop=None, iterations=None, void=None, batch=None)
    assert objections(published, invent_run(), "miou") == []
    assert unsaid(published) == ["input size", "flip", "crop", "iterations", "batch", "void"]
    assert unsaid(invent_reference()) == []


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
    assert objections(invent_reference(**stated), invent_run(overrides=overrides), "miou") == expected


def test_refined_predictions_are_not_compared_with_plain_ones(invent_run, invent_reference):
    refined = {"evaluation": {"crf": {"w1": 4}}, "overrides": {"crf": "deeplabv2"}}
    assert objections(invent_reference(crf=True), invent_run(), "miou") == ["crf: yes, ours no"]
    assert objections(invent_reference(crf=True), invent_run(**refined), "miou") == []


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
    axes = compose.axes(config, "0" * 64)
    ours = facts(invent_run(**axes), "miou")
    assert ours["split"] in ("val", "test")
    named = ours["crop"] if protocol.startswith("cityscapes") else config.protocol.size
    assert "{}x{}".format(*named) in protocol
    assert ours["classes"] == len(datasets.dataset(ours["dataset"]).classes)
    if found := re.search(r"(\d+)k$", protocol):
        assert ours["iterations"] == 1000 * int(found[1])
