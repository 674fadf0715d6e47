"""DeepLab v2 against its paper, arXiv 1606.00915."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

from benchmark.configs import compose
from benchmark.profiling import complexity

CLASSES = 5
VGG = {"deeplabv2-aspp-l_vgg16": (6, 12, 18, 24), "deeplabv2-aspp-s_vgg16": (2, 4, 8, 12)}  # Table 3

vgg = pytest.mark.parametrize("architecture", VGG)


def config(architecture, classes=CLASSES):
    return compose.model_config(architecture, classes=classes)


def build(cfg):
    torch.manual_seed(0)
    return MODELS.build(cfg)


def build_meta(cfg):
    with torch.device("meta"):
        return build(cfg).eval()


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def conv(inputs, outputs, kernel):
    return inputs * outputs * kernel**2 + outputs


# ASPP on VGG16


@vgg
def test_branches_of_figure_7(architecture):
    network = build_meta(config(architecture))
    found = [
        [(m.kernel_size[0], m.dilation[0], m.out_channels) for m in branch if isinstance(m, nn.Conv2d)]
        for branch in network.backbone.branches
    ]
    assert found == [[(3, rate, 1024), (1, 1, 1024)] for rate in VGG[architecture]]
    assert [(m.kernel_size[0], m.out_channels) for m in network.decode_head.conv_seg] == 4 * [(1, CLASSES)]
    kinds = {type(m) for m in network.modules()}
    assert not kinds & {nn.BatchNorm2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d}
    assert [m.p for m in network.modules() if isinstance(m, nn.Dropout)] == 8 * [0.5]


@vgg
def test_parameters_on_vgg16(architecture):
    branch = conv(512, 1024, 3) + conv(1024, 1024, 1) + conv(1024, 21, 1)
    assert parameters(build_meta(config(architecture, 21))) == 14_714_688 + 4 * branch


@torch.no_grad()
def test_scores_of_the_branches_are_summed():
    network = build(config("deeplabv2-aspp-s_vgg16")).eval()
    fc7 = network.backbone(torch.randn(1, 3, 24, 32))
    assert [tuple(x.shape) for x in fc7] == 4 * [(1, 1024, 3, 4)]
    scores = [layer(x) for layer, x in zip(network.decode_head.conv_seg, fc7, strict=True)]
    assert torch.allclose(network.decode_head(fc7), scores[0] + scores[1] + scores[2] + scores[3], atol=1e-6)


@vgg
def test_output_stride_on_vgg16_is_8(architecture):
    network = build_meta(config(architecture))
    assert network(torch.empty(1, 3, 321, 321, device="meta")).shape[-2:] == (41, 41)


# ResNet-101


def test_parameters_on_resnet101():
    def bottleneck(inputs, width):
        bare = inputs * width + 9 * width**2 + 4 * width**2 + 2 * (width + width + 4 * width)
        return bare + (4 * width * (inputs + 2) if inputs != 4 * width else 0)  # and a projection with its norm

    stages = [(64, 64, 3), (256, 128, 4), (512, 256, 23), (1024, 512, 3)]
    resnet101 = 64 * 3 * 49 + 2 * 64
    for inputs, width, blocks in stages:
        resnet101 += bottleneck(inputs, width) + (blocks - 1) * bottleneck(4 * width, width)
    network = build_meta(config("deeplabv2_r101", 21))
    assert parameters(network.backbone) == resnet101
    assert parameters(network.decode_head) == 4 * conv(2048, 21, 3)
    assert parameters(network) == resnet101 + 4 * conv(2048, 21, 3)
    assert round(parameters(build_meta(config("deeplabv2_r101", 19))) / 1e6, 1) == 43.9


def test_layers_on_resnet101():
    network = build_meta(config("deeplabv2_r101"))
    assert network.backbone.conv1.kernel_size == (7, 7)
    for stage, dilation in (("layer1", 1), ("layer2", 1), ("layer3", 2), ("layer4", 4)):
        found = {
            m.dilation[0] for m in getattr(network.backbone, stage).modules() if getattr(m, "kernel_size", 0) == (3, 3)
        }
        assert found == {dilation}
    aspp = list(network.decode_head.conv_seg)
    assert [(m.kernel_size[0], m.dilation[0], m.bias is not None) for m in aspp] == [
        (3, r, True) for r in (6, 12, 18, 24)
    ]
    assert not any(isinstance(m, nn.BatchNorm2d | nn.ReLU) for m in network.decode_head.modules())
    assert network(torch.empty(1, 3, 321, 321, device="meta")).shape[-2:] == (41, 41)


# Three scales


def small_config():
    """ResNet-18 in the place of ResNet-101."""
    cfg = config("deeplabv2_r101")
    cfg["backbone"]["depth"] = 18
    cfg["decode_head"]["in_channels"] = 512
    return cfg


@pytest.fixture(scope="module")
def small():
    return build(small_config()).eval()


def scores_at(network, image, side):
    """Scores of one scale, by the definition of aligned corners: the image at side evenly spaced places."""
    places = torch.linspace(-1, 1, side)
    grid = torch.stack(torch.meshgrid(places, places, indexing="xy"), dim=-1).expand(len(image), -1, -1, -1)
    return network.decode_head(network.backbone(F.grid_sample(image, grid, align_corners=True)))


@torch.no_grad()
def test_fusion_is_the_maximum_over_scales(small):
    image = torch.randn(1, 3, 65, 65)
    scores = [scores_at(small, image, side) for side in (33, 49, 65)]
    assert [s.shape[-1] for s in scores] == [5, 7, 9]
    resized = [F.interpolate(s, (9, 9), mode="bilinear", align_corners=True) for s in scores]
    expected = torch.maximum(torch.maximum(*resized[:2]), resized[2])
    assert torch.allclose(small(image), expected, atol=1e-4)
    assert all((expected == each).any() for each in resized)  # every scale wins somewhere


@torch.no_grad()
def test_loss_is_that_of_the_maximum_and_of_every_scale(small):
    image = torch.randn(2, 3, 65, 65)
    label = torch.randint(CLASSES, (2, 1, 65, 65))
    losses = small.loss(image, [SegDataSample(gt_sem_seg=PixelData(data=each)) for each in label])
    found = {name: value for name, value in losses.items() if "loss" in name}
    expected = {"fused.loss_ce": F.cross_entropy(small(image), label[:, 0, ::8, ::8])}
    for name, side, step in (("0.5", 33, 16), ("0.75", 49, 32 / 3), ("1", 65, 8)):
        at = [round(step * i) for i in range(64) if round(step * i) <= 64]
        shrunk = label[:, 0][:, at][:, :, at]
        expected[f"scale_{name}.loss_ce"] = F.cross_entropy(scores_at(small, image, side), shrunk)
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert torch.allclose(found[name], value, atol=1e-4), name


@torch.no_grad()
@pytest.mark.parametrize("size", [(65, 65), (48, 75)])
def test_evaluation_uses_all_scales(small, size):
    image = torch.randn(1, 3, *size)
    scores = small.encode_decode(image, [{"img_shape": size}])
    assert scores.shape == (1, CLASSES, *size)
    assert torch.allclose(scores[..., ::8, ::8], small(image), atol=1e-4)


def test_macs_are_those_of_three_scales():
    cfg = small_config()
    three = complexity.tally(cfg, (353, 467)).macs
    cfg["scales"] = (1.0,)
    assert three == sum(complexity.tally(cfg, size).macs for size in ((177, 234), (265, 350), (353, 467)))


def test_training_moves_every_parameter():
    network = build(small_config()).train()
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    image, label = torch.randn(2, 3, 64, 64), torch.randint(CLASSES, (2, 1, 64, 64))
    samples = [SegDataSample(gt_sem_seg=PixelData(data=each)) for each in label]
    for _ in range(2):
        optimizer.zero_grad()
        sum(value for name, value in network.loss(image, samples).items() if "loss" in name).backward()
        optimizer.step()
    assert [name for name, p in network.named_parameters() if torch.equal(p, before[name])] == []
