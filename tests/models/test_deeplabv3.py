"""DeepLabv3 against its paper: rates, strides, the pyramid of Figure 5 and the cascade of Figure 3b."""

import pytest
import torch
import torchvision
from mmseg.registry import MODELS
from torch import nn

from benchmark.configs import compose

CLASSES = 21


def build(architecture):
    with torch.device("meta"):
        return MODELS.build(compose.model_config(architecture, classes=CLASSES)).eval()


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def rates(block):
    """Dilation rate of each 3x3 convolution."""
    return [m.dilation[0] for m in block.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]


@pytest.fixture(scope="module")
def aspp():
    return build("deeplabv3_r101-d16")


@pytest.fixture(scope="module")
def cascade():
    return build("deeplabv3-cascade_r50-d16")


@pytest.mark.parametrize("name", ["deeplabv3_r101-d16", "deeplabv3-cascade_r50-d16"])
def test_output_stride_is_16(name):
    network = build(name)
    assert network.backbone(torch.empty(1, 3, 512, 1024, device="meta"))[-1].shape == (1, 2048, 32, 64)
    assert network(torch.empty(1, 3, 513, 513, device="meta")).shape == (1, CLASSES, 33, 33)


@pytest.mark.parametrize("name", ["deeplabv3_r101-d16", "deeplabv3-cascade_r50-d16"])
def test_there_is_no_auxiliary_loss(name):
    assert not build(name).with_auxiliary_head


@pytest.mark.parametrize(("name", "depth"), [("deeplabv3_r101-d16", 101), ("deeplabv3-cascade_r50-d16", 50)])
def test_backbone_takes_torchvisions_weights(name, depth):
    ours = {key: p.shape for key, p in build(name).backbone.state_dict().items() if not key.startswith("copies")}
    with torch.device("meta"):
        theirs = {key: p.shape for key, p in getattr(torchvision.models, f"resnet{depth}")().state_dict().items()}
    assert {key: shape for key, shape in theirs.items() if not key.startswith("fc.")} == ours


# Multi-grid and pyramid


def test_multi_grid_is_multiplied_by_the_rate_of_block4(aspp):
    assert rates(aspp.backbone.layer4) == [2 * 1, 2 * 2, 2 * 4]
    assert all(set(rates(block)) == {1} for block in (aspp.backbone.layer1, aspp.backbone.layer2, aspp.backbone.layer3))


def test_pyramid_of_figure_5(aspp):
    head = aspp.decode_head
    branches = [m for m in head.aspp_modules.modules() if isinstance(m, nn.Conv2d)]
    assert [(m.kernel_size[0], m.dilation[0], m.out_channels) for m in branches] == [
        (1, 1, 256),
        (3, 6, 256),
        (3, 12, 256),
        (3, 18, 256),
    ]
    assert isinstance(head.image_pool[0], nn.AdaptiveAvgPool2d)
    assert all(isinstance(m.bn, nn.BatchNorm2d) for m in (*head.aspp_modules, head.image_pool[1], head.bottleneck))


def test_parameters_of_the_pyramid(aspp):
    branches = 2048 * 256 + 3 * 9 * 2048 * 256 + 2048 * 256  # 1x1, three 3x3, image pooling
    fusion = 5 * 256 * 256  # 1x1
    normalisation = 6 * 2 * 256
    classifier = 256 * CLASSES + CLASSES
    assert parameters(aspp.decode_head) == branches + fusion + normalisation + classifier


# Cascade


def test_rates_of_the_cascade(cascade):
    blocks = [cascade.backbone.layer4, *cascade.backbone.copies]
    assert [rates(block) for block in blocks] == [[2, 4, 2], [4, 8, 4], [8, 16, 8], [16, 32, 16]]
    assert set(rates(cascade.backbone.layer3)) == {1}


def test_copies_are_of_block4(cascade):
    unit = 2048 * 512 + 9 * 512 * 512 + 512 * 2048 + 2 * (512 + 512 + 2048)
    for block in cascade.backbone.copies:
        assert [parameters(each) for each in block] == [unit] * 3
        for i in (1, 2):  # the first unit of block4 has half the channels at its input, and a projection
            assert repr(block[i].conv1) == repr(cascade.backbone.layer4[i].conv1)
            assert block[i].state_dict().keys() == cascade.backbone.layer4[i].state_dict().keys()
        assert all(each.downsample is None for each in block)


def test_scores_come_directly_from_block7(cascade):
    assert [type(m) for m in cascade.decode_head.convs.modules()] == [nn.Identity]
    assert parameters(cascade.decode_head) == 2048 * CLASSES + CLASSES
    torchvision_resnet50 = 25_557_032 - (2048 * 1000 + 1000)  # without its classifier
    unit = 2048 * 512 + 9 * 512 * 512 + 512 * 2048 + 2 * (512 + 512 + 2048)
    assert parameters(cascade) == torchvision_resnet50 + 9 * unit + 2048 * CLASSES + CLASSES


def test_number_of_convolutions_in_the_cascade(cascade):
    resnet50 = 1 + 16 * 3 + 4  # stem, bottleneck units, projections
    assert sum(isinstance(m, nn.Conv2d) for m in cascade.modules()) == resnet50 + 9 * 3 + 1
