"""FCN on VGG16 against its paper and the authors' net definitions."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

from benchmark.configs import compose
from benchmark.models.heads.fcn import FCNSkipHead, Interpolation
from benchmark.models.layers.upsampling import bilinear

CLASSES = 5
STRIDES = {"fcn-32s_vgg16": 32, "fcn-16s_vgg16": 16, "fcn-8s_vgg16": 8}

architectures = pytest.mark.parametrize("architecture", STRIDES)


def build(architecture, classes=CLASSES):
    torch.manual_seed(0)
    return MODELS.build(compose.model_config(architecture, classes=classes))


def build_meta(architecture, classes=CLASSES):
    with torch.device("meta"):
        return build(architecture, classes).eval()


def parameters(module):
    return sum(p.numel() for p in module.parameters())


# The structure


def conv(inputs, outputs, kernel):
    return inputs * outputs * kernel**2 + outputs


VGG16 = sum(
    conv(i, o, 3)
    for i, o in [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256), (256, 512)]
    + 5 * [(512, 512)]
)
FC6_FC7 = conv(512, 4096, 7) + conv(4096, 4096, 1)


def skip(channels, classes):
    """A score layer and a 4x4 transposed convolution without bias, from all classes to all."""
    return conv(channels, classes, 1) + 16 * classes**2


@pytest.mark.parametrize("classes", [11, 21])
def test_parameters(classes):
    counts = {name: parameters(build_meta(name, classes)) for name in STRIDES}
    score_fr = conv(4096, classes, 1)
    assert counts["fcn-32s_vgg16"] == VGG16 + FC6_FC7 + score_fr
    assert counts["fcn-16s_vgg16"] == VGG16 + FC6_FC7 + score_fr + skip(512, classes)
    assert counts["fcn-8s_vgg16"] == VGG16 + FC6_FC7 + score_fr + skip(512, classes) + skip(256, classes)
    assert round(counts["fcn-32s_vgg16"] / 1e6) == 134  # Table 1


@architectures
def test_layers(architecture):
    network = build_meta(architecture)
    skips = {32: 0, 16: 1, 8: 2}[STRIDES[architecture]]
    kinds = [type(m) for m in network.modules()]
    assert kinds.count(nn.Conv2d) == 13 + 2 + 1 + skips  # VGG16; fc6 and fc7; scores
    assert kinds.count(nn.ConvTranspose2d) == skips
    assert kinds.count(nn.MaxPool2d) == 5
    assert [m.p for m in network.modules() if isinstance(m, nn.Dropout)] == [0.5, 0.5]
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules())


def test_output_sizes_of_the_authors_500x500():
    backbone = build_meta("fcn-8s_vgg16").backbone
    sizes = []
    for layer in (*backbone.features, *backbone.classifier):
        if isinstance(layer, nn.MaxPool2d) or layer in (backbone.features[0], backbone.classifier[0]):
            layer.register_forward_hook(lambda module, inputs, output: sizes.append(output.shape[-1]))
    backbone(torch.empty(1, 3, 500, 500, device="meta"))
    assert sizes == [698, 349, 175, 88, 44, 22, 16]  # conv1_1, five poolings rounded up, fc6


@architectures
@pytest.mark.parametrize("size", [(500, 500), (360, 480), (353, 467), (32, 32), (1, 1)])
def test_output_has_exactly_the_size_of_the_image(architecture, size):
    network = build_meta(architecture)
    assert network(torch.empty(1, 3, *size, device="meta")).shape == (1, CLASSES, *size)


# Where the maps lie on the image


def placed(layers, step=1, start=0.0):
    """Step between the outputs of a chain of layers and place of the first, in pixels of the image."""
    for layer in layers:
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            kernel, stride, padding = (
                value if isinstance(value, int) else value[0]
                for value in (layer.kernel_size, layer.stride, layer.padding)
            )
            start += step * ((kernel - 1) / 2 - padding)
            step *= stride
    return step, start


def upsampled(step, start, kernel, stride):
    """The same of the output of a transposed convolution."""
    return step / stride, start - (kernel - 1) / 2 * step / stride


@architectures
def test_crops_begin_where_two_maps_show_the_same_place(architecture):
    network = build_meta(architecture)
    features, head = network.backbone.features, network.decode_head
    step, start = placed((*features, *network.backbone.classifier))
    for fusion, last in ((head.fuse_pool4, 23), (head.fuse_pool3, 16)):
        if fusion is not None:
            assert isinstance(features[last], nn.MaxPool2d)
            step, start = upsampled(step, start, *fusion.upscore.kernel_size[:1], *fusion.upscore.stride[:1])
            finer_step, finer_start = placed(features[: last + 1])
            assert finer_step == step
            assert finer_start + fusion.offset * step == start
    step, start = upsampled(step, start, head.upscore.kernel.shape[-1], head.upscore.stride)
    assert step == 1
    assert start + head.offset == 0


def test_offsets_are_those_of_the_authors_crop_layers():
    heads = [build_meta(name).decode_head for name in STRIDES]
    assert [head.offset for head in heads] == [19, 27, 31]
    assert (heads[2].fuse_pool4.offset, heads[2].fuse_pool3.offset) == (5, 9)


# Upsampling


@pytest.mark.parametrize("stride", [2, 8, 16, 32])
def test_fixed_upsampling_is_bilinear_interpolation(stride):
    score = torch.randn(2, 3, 5, 6)
    found = Interpolation(3, stride)(score)
    assert found.shape[-2:] == (stride * 6, stride * 7)
    inner = found[..., stride // 2 : -(stride // 2), stride // 2 : -(stride // 2)]
    expected = F.interpolate(score, scale_factor=stride, mode="bilinear", align_corners=False)
    edge = stride // 2  # there the transposed convolution fades out, and interpolation repeats
    assert torch.allclose(inner[..., edge:-edge, edge:-edge], expected[..., edge:-edge, edge:-edge], atol=1e-5)


def test_bilinear_kernel_of_4():
    ramp = torch.tensor([0.25, 0.75, 0.75, 0.25])
    assert torch.equal(bilinear(4), ramp.outer(ramp))


def head(stride):
    torch.manual_seed(0)
    return FCNSkipHead(num_classes=CLASSES, stride=stride)


def inputs(size=(20, 30), side=198):
    """Maps of the sizes that an image has, with few of their values other than zero."""
    sides = [s + side for s in size]
    maps = [torch.zeros(1, 3, *size)]
    maps += [torch.randn(1, c, *(-(-s // stride) for s in sides)) for c, stride in ((256, 8), (512, 16))]
    return [*maps, torch.randn(1, 4096, *(-(-s // 32) - 6 for s in sides))]


def test_upsampling_within_the_network_is_learned_from_bilinear_and_the_last_is_fixed():
    fcn = head(8)
    for fusion in (fcn.fuse_pool4, fcn.fuse_pool3):
        weight = fusion.upscore.weight
        assert weight.requires_grad
        assert fusion.upscore.bias is None
        for i in range(CLASSES):
            for j in range(CLASSES):
                assert torch.equal(weight[i, j], bilinear(4) if i == j else torch.zeros(4, 4))
    assert parameters(fcn.upscore) == 0
    assert not any("kernel" in name for name in fcn.state_dict())


def test_scores_start_from_zero():
    fcn = head(8)
    layers = (fcn.conv_seg, fcn.fuse_pool4.score, fcn.fuse_pool3.score)
    assert all(torch.count_nonzero(p) == 0 for layer in layers for p in layer.parameters())
    assert torch.count_nonzero(fcn(inputs())) == 0


@torch.no_grad()
@pytest.mark.parametrize(("stride", "seen"), [(32, {3}), (16, {2, 3}), (8, {1, 2, 3})])
def test_skips_are_summed(stride, seen):
    fcn = head(stride)
    for name, parameter in fcn.named_parameters():
        if "conv_seg" in name or ("score." in name and "upscore" not in name):
            nn.init.normal_(parameter, std=0.1)
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
    maps = inputs()
    alone = []
    for kept in range(4):
        score = fcn([m if i in (0, kept) else torch.zeros_like(m) for i, m in enumerate(maps)])
        assert (kept in seen) == bool(score.any())
        alone.append(score)
    assert torch.allclose(fcn(maps), sum(alone), atol=1e-4)


@torch.no_grad()
def test_a_skip_adds_its_scores_to_the_upsampled_ones():
    fusion = head(8).fuse_pool4
    nn.init.normal_(fusion.score.weight)
    score, pool4 = torch.randn(1, CLASSES, 3, 4), torch.randn(1, 512, 16, 18)
    expected = F.conv_transpose2d(score, fusion.upscore.weight, stride=2)
    assert expected.shape[-2:] == (8, 10)
    expected += F.conv2d(pool4, fusion.score.weight)[..., 5:13, 5:15]
    assert torch.allclose(fusion(score, pool4), expected, atol=1e-4)


# Training


def test_behind_scores_of_zero_everything_moves_from_the_second_step():
    fcn = head(8)
    before = {name: p.detach().clone() for name, p in fcn.named_parameters()}
    optimizer = torch.optim.SGD(fcn.parameters(), lr=0.1)
    maps = [m.requires_grad_() for m in inputs()]
    samples = [SegDataSample(gt_sem_seg=PixelData(data=torch.randint(CLASSES, (1, 20, 30))))]

    def step():
        for x in maps:
            x.grad = None
        optimizer.zero_grad()
        fcn.loss(maps, samples, {})["loss_ce"].backward()
        optimizer.step()
        return {name for name, p in fcn.named_parameters() if not torch.equal(p, before[name])}

    assert step() == {name for name in before if name.startswith("conv_seg") or ".score." in name}
    assert not any(m.grad.any() for m in maps[1:])
    assert step() == set(before)
    assert all(m.grad.any() for m in maps[1:])
