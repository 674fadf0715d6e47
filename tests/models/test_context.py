"""The controlled comparison: what is held equal is equal, and only the context module is exchanged."""

import pytest
import torch
from mmseg.registry import MODELS
from torch import nn

from benchmark.catalog import catalog
from benchmark.configs import compose

CLASSES = 19
ARCHITECTURES = [name for name, entry in catalog.architectures().items() if entry.method == "context"]

conv3x3 = 9 * 512  # weights of the 3x3 convolution to 512 channels, per channel of its input


def branch(in_channels, kernel=1):
    """Parameters of a convolution to 512 channels with batch normalisation."""
    return kernel**2 * in_channels * 512 + 2 * 512


def separable(in_channels, kernel):
    """Parameters of a separable convolution to 512 channels with batch normalisation."""
    return kernel**2 * in_channels + in_channels * 512 + 2 * 512


# Parameters beyond those of the comparison's baseline: the module, and what it widens the 3x3 convolution by.
MODULE = {
    "none": 0,
    "ppm": 4 * branch(2048) + conv3x3 * 4 * 512,
    "aspp": 2 * branch(2048) + 3 * branch(2048, 3) + conv3x3 * (5 * 512 - 2048),
    "psa": 2 * (branch(2048) + branch(512) + 512 * 97 * 97) + 1024 * 2048 + 2 * 2048 + conv3x3 * 2048,
    "gcn": 2 * (15 * 2048 * 512 + 15 * 512 * 512) + 4 * 512 - conv3x3 * (2048 - 512),
    "daspp": separable(2048, 1)
    + 3 * (separable(2048, 3) + separable(512, 3))
    + branch(2048)
    + separable(2048 + 5 * 512, 1)
    - conv3x3 * (2048 - 512),
    "pointrend": (256 + CLASSES) * 256 + 256 + 2 * (256 * 256 + 256) + 256 * CLASSES + CLASSES,
}


def build(architecture):
    with torch.device("meta"):
        return MODELS.build(compose.model_config(architecture, classes=CLASSES))


def shapes(module):
    return {name: p.shape for name, p in module.state_dict().items()}


def first_head(network):
    """The head that scores; PointRend's refines its scores."""
    head = network.decode_head
    return head[0] if isinstance(head, nn.ModuleList) else head


@pytest.fixture(scope="module")
def baseline():
    return build("context-none_r50-d8")


@pytest.fixture(scope="module", params=ARCHITECTURES)
def architecture(request):
    return request.param


def test_there_is_one_architecture_a_module():
    assert {f"context-{module}_r50-d8" for module in MODULE} == set(ARCHITECTURES)


def test_configs_differ_in_the_decode_head_alone(architecture):
    ours, none = (compose.model_config(name, classes=CLASSES) for name in (architecture, "context-none_r50-d8"))
    assert ours.backbone == none.backbone
    assert ours.auxiliary_head == none.auxiliary_head
    head = ours.decode_head[0] if isinstance(ours.decode_head, list) else ours.decode_head
    shared = set(none.decode_head) - {"type", "num_convs", "concat_input"}
    assert {key: head[key] for key in shared} == {key: none.decode_head[key] for key in shared}
    allowed = {"decode_head"}
    if architecture == "context-pointrend_r50-d8":
        allowed |= {"type", "train_cfg", "test_cfg"}
        assert head == none.decode_head
    assert {key for key in ours if ours.get(key) != none.get(key)} <= allowed


def test_weights_start_from_the_same(architecture):
    pretrained = compose.model_config(architecture, classes=CLASSES, pretrained=True).pretrained
    assert pretrained == "open-mmlab://resnet50_v1c"


def test_what_is_held_equal_is_equal(architecture, baseline):
    network = build(architecture)
    assert repr(network.backbone) == repr(baseline.backbone)
    assert shapes(network.backbone) == shapes(baseline.backbone)
    assert repr(network.auxiliary_head) == repr(baseline.auxiliary_head)
    assert shapes(network.auxiliary_head) == shapes(baseline.auxiliary_head)
    ours, theirs = first_head(network), first_head(baseline)
    assert shapes(ours.conv_seg) == shapes(theirs.conv_seg) == {"weight": (CLASSES, 512, 1, 1), "bias": (CLASSES,)}
    assert repr(ours.dropout) == repr(theirs.dropout)
    last = ours.convs[0] if architecture.split("_")[0] in ("context-none", "context-pointrend") else ours.bottleneck
    assert (last.conv.kernel_size, last.conv.out_channels) == ((3, 3), 512)
    assert isinstance(last.bn, nn.BatchNorm2d)
    assert isinstance(last.activate, nn.ReLU)


def test_parameters_of_the_module(architecture, baseline):
    difference = sum(p.numel() for p in build(architecture).parameters()) - sum(
        p.numel() for p in baseline.parameters()
    )
    assert difference == MODULE[architecture.removeprefix("context-").removesuffix("_r50-d8")]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("context-ppm_r50-d8", "pspnet_r50-d8"),
        ("context-aspp_r50-d8", "deeplabv3_r50-d8"),
        ("context-psa_r50-d8", "psanet_r50-d8"),
    ],
)
def test_three_are_networks_of_their_methods(ours, theirs):
    ours, theirs = build(ours), build(theirs)
    for part in ("backbone", "decode_head", "auxiliary_head"):
        assert repr(ours.get_submodule(part)) == repr(theirs.get_submodule(part))
    assert shapes(ours) == shapes(theirs)


@torch.no_grad()
def test_output_stride_is_8(architecture):
    network = build(architecture).eval()
    maps = network.extract_feat(torch.empty(1, 3, 512, 1024, device="meta"))
    assert first_head(network)(maps).shape == (1, CLASSES, 64, 128)
