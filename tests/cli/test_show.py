"""What `segbench show` says beyond references: deviations, and figures of other networks."""

import json

import pytest

from benchmark.catalog import catalog
from benchmark.cli import main


def shown(capsys, name):
    assert main(["show", name, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_method_tells_its_deviations_and_whose_they_are(capsys):
    found = shown(capsys, "deeplabv3")["method"]["deviations"]
    assert len(found) == len(catalog.deviations_of("deeplabv3"))
    assert any(each.startswith("deeplabv3_r101-d8, deeplabv3_r50-d8: ") or "0.9997" in each for each in found)


@pytest.mark.parametrize(
    ("architecture", "listed"), [("deeplabv3_r50-d8", True), ("deeplabv3_r101-d16", False), ("psanet_r101-d8", True)]
)
def test_an_architecture_lists_its_own(capsys, architecture, listed):
    found = shown(capsys, architecture)["architecture"]["deviations"]
    assert any("`contract_dilation`" in each for each in found) is listed


def test_of_the_zoo_none_are_recorded(capsys):
    found = shown(capsys, "mmseg:psanet_r50-d8_4xb2-80k_cityscapes-512x1024")
    assert found["architecture"]["deviations"] == []


def test_figures_of_other_networks_are_listed_beside_the_method_and_found_by_name(capsys):
    related = shown(capsys, "fcn")["method"]["related"]
    assert "another network than fcn_r50-d8: torchvision's" in related["fcn-r50-params-torchvision"]
    reference = shown(capsys, "fcn-r50-params-torchvision")["reference"]
    assert reference["network"].startswith("torchvision's")
    assert reference["ours"] is None


def test_a_speed_is_told_with_its_size_and_device(capsys):
    references = shown(capsys, "fcn")["method"]["references"]
    assert references["fcn-32s-vgg16-latency-k40c"].startswith(
        "latency_ms 210 ms at 500x500 on NVIDIA Tesla K40c, Caffe: Fully Convolutional Networks"
    )
    assert shown(capsys, "enet-fps-360x640-tx1")["reference"]["evidence"] is False
