"""What of the zoo works here: a handful of networks, one of each kind; all of them in the slow test."""

import json
from importlib.util import find_spec

import pytest

from benchmark.catalog import catalog
from benchmark.cli import main
from benchmark.selftest import zoo

KINDS = {
    "pidnet-s_2xb6-120k_1024x1024-cityscapes": "trains",
    "cgnet_fcn_4xb8-60k_cityscapes-512x1024": "trains",
    "unet-s5-d16_fcn_4xb4-40k_drive-64x64": "trains",
    "beit-base_upernet_8xb2-160k_ade20k-640x640": "fixed size",
    "mobilenet-v3-d8-s_lraspp_4xb4-320k_cityscapes-512x1024": "too small",
    "vpd_sd_4xb8-25k_nyu-480x480": "no segmentor",
    "swin-tiny-patch4-window7_upernet_1xb8-20k_levir-256x256": "no segmentor",
}
FAMILIES = [
    "segformer_mit-b0_8xb2-160k_ade20k-512x512",
    "icnet_r18-d8_4xb2-80k_cityscapes-832x832",
    "bisenetv2_fcn_4xb4-160k_cityscapes-1024x1024",
    "stdc1_4xb12-80k_cityscapes-512x1024",
    "segmenter_vit-t_mask_8xb1-160k_ade20k-512x512",
    "fast_scnn_8xb4-160k_cityscapes-512x1024",
    "ddrnet_23-slim_in1k-pre_2xb6-120k_cityscapes-1024x1024",
]


def _names(names):
    return [catalog.ZOO_PREFIX + name for name in names]


def test_kinds():
    found = list(zoo.check(_names(KINDS)))
    assert {each.name: each.state for each in found} == dict(zip(_names(KINDS), KINDS.values(), strict=True))
    for each in found:
        assert each.counts == (each.macs is not None) == (each.state == "trains")
        assert (each.reason is None) == (each.state == "trains")
        assert "\n" not in (each.reason or "")
    reasons = {each.name: each.reason for each in found}
    assert reasons[_names(KINDS)[3]].endswith("it is built for 640x640")
    assert "720x960 is large enough" in reasons[_names(KINDS)[4]]
    document = zoo.markdown(found, "the command")
    assert "5 build, 3 count, 4 train." in document
    assert "| 1 | beit | fixed size | cannot process an input of 360x480: it is built for 640x640 |" in document


HEAVIER = [
    "swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512",
    "encnet_r50-d8_4xb2-40k_cityscapes-512x1024",
    "knet-s3_r50-d8_fcn_8xb2-adamw-80k_ade20k-512x512",
    "emanet_r50-d8_4xb2-80k_cityscapes-512x1024",
    "ocrnet_hr18s_4xb2-40k_cityscapes-512x1024",
    "dpt_vit-b16_8xb2-160k_ade20k-512x512",
    "san-vit-b16_voc12aug-640x640",
]
OF_PACKAGES = {
    "mask2former_r50_8xb2-90k_cityscapes-512x1024": "mmdet",
    "maskformer_r50-d32_8xb2-160k_ade20k-512x512": "mmdet",
    "convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512": "mmpretrain",
    "fpn_poolformer_s12_8xb4-40k_ade20k-512x512": "mmpretrain",
}


@pytest.mark.parametrize("name", [*FAMILIES, *(pytest.param(name, marks=pytest.mark.slow) for name in HEAVIER)])
def test_families_train(name):
    (found,) = zoo.check(_names([name]))
    assert (found.state, found.reason) == ("trains", None)


@pytest.mark.parametrize(("name", "package"), OF_PACKAGES.items())
def test_networks_of_other_packages(name, package):
    (found,) = zoo.check(_names([name]))
    assert found.state == ("needs a package" if find_spec(package) is None else "trains"), found.reason


def test_a_training_that_fails_is_said(monkeypatch):
    def fail(*_):
        raise RuntimeError("no such\nthing")

    monkeypatch.setattr(zoo, "passes", fail)
    (found,) = zoo.check(_names(["fast_scnn_8xb4-160k_cityscapes-512x1024"]))
    assert (found.state, found.counts, found.trains) == ("counts", True, False)
    assert found.reason == "cannot be trained: no such"


def test_the_command(capsys):
    assert main(["list", "zoo", "--check", "--method", "cgnet", "--no-train", "--json"]) == 0
    out, err = capsys.readouterr()
    assert [(row["name"], row["state"], row["trains"]) for row in json.loads(out)] == [
        ("mmseg:cgnet_fcn_4xb4-60k_cityscapes-680x680", "counts", None),
        ("mmseg:cgnet_fcn_4xb8-60k_cityscapes-512x1024", "counts", None),
    ]
    assert err.splitlines()[0] == "[1/2] mmseg:cgnet_fcn_4xb4-60k_cityscapes-680x680"
    assert main(["list", "zoo", "--check", "--method", "cgnet", "--no-train", "--markdown"]) == 0
    document = capsys.readouterr().out
    assert "`segbench list zoo --check --method cgnet --no-train --markdown`" in document
    assert "2 build, 2 count, training was not tried." in document
    assert "| 2 | cgnet | class weights of 19 other classes are removed |" in document
    assert main(["list", "zoo", "--check", "--method", "cgnet", "--no-train"]) == 0
    line = capsys.readouterr().out.splitlines()[0]
    assert line.split()[:2] == ["mmseg:cgnet_fcn_4xb4-60k_cityscapes-680x680", "counts"]
    assert main(["list", "zoo"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(catalog.zoo())
    assert main(["list", "--check"]) == 2
    assert "segbench list zoo --check" in capsys.readouterr().err
    assert main(["list", "zoo", "--method", "nothing"]) == 2
    assert "the folders of the zoo are ann, " in capsys.readouterr().err


@pytest.mark.slow
def test_the_whole_zoo():
    found = list(zoo.check(catalog.zoo(), train=False))
    assert sum(each.counts for each in found) >= 640
    assert {each.state for each in found} <= {"counts", "fixed size", "too small", "needs a package", "no segmentor"}
