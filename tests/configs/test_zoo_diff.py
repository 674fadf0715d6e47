"""Composed configs against those of mmsegmentation's zoo."""

import re
from functools import cache

import pytest

from benchmark.catalog import catalog
from benchmark.cli import main
from benchmark.configs import zoo_diff
from benchmark.errors import UserError

SIX = ("fcn", "pspnet", "deeplabv3", "psanet", "pointrend", "unet")
NETWORKS = [name for name, entry in catalog.architectures().items() if entry.method in SIX]
OF_THE_ZOO = [f"{kind}_{depth}-d8" for kind in ("fcn", "pspnet", "deeplabv3") for depth in ("r50", "r101")]
STANDARD = [name for name in catalog.protocols() if re.fullmatch(r"(voc12aug|cityscapes|ade20k)_.*_\d+k", name)]

# The name of the zoo's config of a protocol, behind that of the network.
NAMES = {
    "voc12aug_512x512_20k": "4xb4-20k_voc12aug-512x512",
    "voc12aug_512x512_40k": "4xb4-40k_voc12aug-512x512",
    "cityscapes_512x1024_40k": "4xb2-40k_cityscapes-512x1024",
    "cityscapes_512x1024_80k": "4xb2-80k_cityscapes-512x1024",
    "cityscapes_769x769_40k": "4xb2-40k_cityscapes-769x769",
    "cityscapes_769x769_80k": "4xb2-80k_cityscapes-769x769",
    "ade20k_512x512_80k": "4xb4-80k_ade20k-512x512",
    "ade20k_512x512_160k": "4xb4-160k_ade20k-512x512",
}

compare = cache(zoo_diff.compare)


def _fields(comparison, same=False):
    return {each.field for each in comparison.differences if each.explanation.same is same}


@pytest.mark.parametrize("protocol", STANDARD)
@pytest.mark.parametrize("architecture", NETWORKS)
def test_no_difference_is_unexplained(architecture, protocol):
    found = compare(architecture, protocol)
    assert found.unexplained == []
    assert found.fields > 150


@pytest.mark.parametrize("protocol", NAMES)
@pytest.mark.parametrize("architecture", OF_THE_ZOO)
def test_what_the_zoo_has_is_found_by_what_it_defines_and_is_the_same(architecture, protocol):
    found = compare(architecture, protocol)
    assert found.config == f"{architecture}_{NAMES[protocol]}"
    assert found.lacking == ()
    assert found.comparable


@pytest.mark.parametrize(
    ("architecture", "protocol", "config", "fields"),
    [
        ("pointrend_fpn_r50", "cityscapes_512x1024_80k", "pointrend_r50_4xb2-80k_cityscapes-512x1024", "LinearLR"),
        ("pointrend_fpn_r50", "ade20k_512x512_160k", "pointrend_r50_4xb4-160k_ade20k-512x512", "LinearLR"),
        ("unet-s5-d16", "cityscapes_512x1024_160k", "unet-s5-d16_fcn_4xb4-160k_cityscapes-512x1024", "train.batch"),
    ],
)
def test_what_one_protocol_for_all_keeps_from_being_the_same(architecture, protocol, config, fields):
    found = compare(architecture, protocol)
    assert (found.config, found.lacking) == (config, ())
    assert not found.comparable
    model = {field for field in _fields(found) if field.startswith("model.")}
    heads = {"model.type", "model.num_stages", "model.decode_head.1.type"}  # whose initial weights are set
    assert model == (heads if architecture == "pointrend_fpn_r50" else set())
    assert any(fields in field for field in _fields(found))


def test_what_the_zoo_does_not_have_is_said():
    assert compare("pointrend_fpn_r50", "ade20k_512x512_80k").lacking == ("iterations",)
    assert compare("unet-s5-d16", "ade20k_512x512_80k").lacking == ("dataset", "crop", "iterations")
    assert "dataset" in compare("pointrend_fpn_r50", "voc12aug_512x512_40k").lacking


def test_another_network_of_the_same_name_is_not_comparable():
    """DeepLabv3's 1x1 after ASPP, for one."""
    found = compare("deeplabv3_r101-d16", "cityscapes_512x1024_80k")
    assert "model.decode_head.type" in _fields(found)
    assert "train.dataset.pipeline.3.crop_size" not in _fields(found)


def test_psanet_of_the_authors_is_not_comparable_with_the_zoos():
    found = compare("psanet_r50-d8", "cityscapes_512x1024_80k")
    assert found.config == "psanet_r50-d8_4xb2-80k_cityscapes-512x1024"
    assert _fields(found) == {"model.decode_head.type"}


def test_every_explanation_explains_something():
    every = {each.reason for each in zoo_diff.EXPLANATIONS}
    assert len(every) == len(zoo_diff.EXPLANATIONS)
    used = {each.explanation.reason for a in NETWORKS for p in STANDARD for each in compare(a, p).differences}
    assert used == every


def test_every_value_that_an_explanation_names_is_met():
    met = {
        (each.explanation.reason, str(each.zoo), str(each.ours))
        for architecture in NETWORKS
        for protocol in STANDARD
        for each in compare(architecture, protocol).differences
    }
    for each in zoo_diff.EXPLANATIONS:
        assert {(each.reason, str(theirs), str(ours)) for theirs, ours in each.values} <= met


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"max_iters": 70000}, "train_cfg.max_iters"),
        ({"batch_size": 4}, "train.batch"),
        ({"precision": "bfloat16"}, "optim_wrapper.type"),
        ({"options": {"decode_head.channels": 256}}, "model.decode_head.channels"),
        ({"options": {"backbone.norm_cfg.type": "GN"}}, "model.backbone.norm_cfg.type"),
    ],
)
def test_what_is_changed_is_seen(arguments, field):
    found = zoo_diff.compare("pspnet_r50-d8", "cityscapes_512x1024_80k", **arguments)
    changed = {each.field for each in found.unexplained} | _fields_of_another(found)
    assert field in changed
    assert not found.comparable


def _fields_of_another(found):
    return {each.field for each in found.differences if each.explanation and not each.explanation.same}


def test_a_setting_left_to_the_default_of_its_class_is_that_default():
    base = compare("pspnet_r50-d8", "voc12aug_512x512_40k")
    given = zoo_diff.compare("pspnet_r50-d8", "voc12aug_512x512_40k", options={"decode_head.ignore_index": 255})
    assert given.differences == base.differences
    assert not zoo_diff.compare(
        "pspnet_r50-d8", "voc12aug_512x512_40k", options={"decode_head.ignore_index": 0}
    ).comparable


def test_what_the_zoo_knows_nothing_of():
    with pytest.raises(UserError, match="zoo has no config of enet"):
        zoo_diff.compare("enet", "voc12aug_512x512_40k")
    with pytest.raises(UserError, match="camvid_360x480_scratch has no counterpart"):
        zoo_diff.compare("pspnet_r50-d8", "camvid_360x480_scratch")


def test_the_command_prints_what_differs_and_why(capsys):
    assert main(["config", "pointrend_fpn_r50", "-p", "cityscapes_512x1024_80k", "--diff-zoo"]) == 0
    output = capsys.readouterr().out
    assert "against pointrend_r50_4xb2-80k_cityscapes-512x1024 of mmsegmentation's zoo" in output.splitlines()[0]
    assert "  param_scheduler.PolyLR.begin: 200 -> 0\n" in output
    assert ", 0 unexplained differences\nresults are not comparable" in output
    assert main(["config", "pspnet_r50-d8", "-p", "ade20k_512x512_80k", "--diff-zoo"]) == 0
    assert "results are comparable with what the zoo publishes for pspnet_r50-d8_4xb4-80k" in capsys.readouterr().out


def test_the_command_fails_where_a_difference_has_no_reason(capsys):
    words = ["config", "pspnet_r50-d8", "-p", "ade20k_512x512_80k", "--diff-zoo", "--precision", "bfloat16"]
    assert main(words) == 1
    output = capsys.readouterr().out
    assert "unexplained:\n  optim_wrapper.type: OptimWrapper -> BFloat16OptimWrapper\n" in output
    assert "1 unexplained differences" in output
