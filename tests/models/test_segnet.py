"""SegNet and SegNet-Basic against arXiv 1511.00561 and the authors' prototxt files (alexgkendall/SegNet-Tutorial)."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.models.vgg import cfgs, make_layers

from benchmark.configs import compose

CLASSES = 11
VGG16 = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
MIRROR = [512, 512, 512, 512, 512, 256, 256, 256, 128, 128, 64, 64, CLASSES]  # conv5_3_D ... conv1_1_D

both = pytest.mark.parametrize("name", ["segnet_vgg16", "segnet-basic"])


def build(name, classes=CLASSES):
    torch.manual_seed(0)
    return MODELS.build(compose.model_config(name, classes=classes))


@pytest.fixture(scope="module")
def networks():
    """With statistics of some data."""
    found = {}
    for name in ("segnet_vgg16", "segnet-basic"):
        network = build(name)
        network.init_weights()
        network.train()
        with torch.no_grad():
            logits(network, torch.randn(2, 3, 40, 56))
        found[name] = network.eval()
    return found


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def layers(module, *kinds):
    return [m for m in module.modules() if isinstance(m, kinds)]


def logits(network, image):
    return network.decode_head(network.backbone(image))


# SegNet's structure


def test_13_convolutions_and_their_mirror_image(networks):
    network = networks["segnet_vgg16"]
    encoder, decoder = layers(network.backbone, nn.Conv2d), layers(network.decode_head.stages, nn.Conv2d)
    decoder.append(network.decode_head.conv_seg)
    assert [c.out_channels for c in encoder] == VGG16
    assert [c.out_channels for c in decoder] == MIRROR
    assert [c.in_channels for c in decoder] == [512, *MIRROR[:-1]]
    assert {(c.kernel_size, c.padding, c.bias is None) for c in encoder + decoder} == {((3, 3), (1, 1), False)}
    assert len(layers(network, nn.Conv2d)) == 26
    assert len(layers(network, _BatchNorm)) == len(layers(network, nn.ReLU)) == 25
    assert len(layers(network.backbone, nn.MaxPool2d)) == 5


def convolution(inputs, outputs, side=3, bias=True, norm=True):
    return side * side * inputs * outputs + bias * outputs + norm * 2 * outputs


def test_parameters_of_every_stage(networks):
    network = networks["segnet_vgg16"]
    encoder = [convolution(i, o) for i, o in zip([3, *VGG16], VGG16, strict=False)]
    decoder = [convolution(i, o) for i, o in zip([512, *MIRROR], MIRROR[:-1], strict=False)]
    assert [parameters(stage) for stage in network.decode_head.stages] == [
        sum(decoder[start:end]) for start, end in ((0, 3), (3, 6), (6, 9), (9, 11), (11, 12))
    ]
    assert parameters(network.decode_head.conv_seg) == convolution(64, CLASSES, norm=False)
    assert parameters(network.backbone) == sum(encoder) == 14_714_688 + 2 * sum(VGG16)  # VGG16's convolutions: 14.7 M
    assert parameters(network) == sum(encoder) + sum(decoder) + convolution(64, CLASSES, norm=False) == 29_449_355


def test_sizes_of_the_prototxt(networks):
    """`upsample_h`, `upsample_w`: 23x30 and 45x60, the first of which pools to 12x15."""
    with torch.device("meta"):
        network = build("segnet_vgg16").eval()
    sizes = []
    for stage in network.decode_head.stages:
        stage.register_forward_hook(lambda m, i, o: sizes.append((*i[0].shape[1:], o.shape[1])))
    x, poolings = network.backbone(torch.empty(1, 3, 360, 480, device="meta"))
    assert x.shape == (1, 512, 12, 15)
    assert network.decode_head((x, poolings)).shape == (1, CLASSES, 360, 480)
    assert sizes == [
        (512, 23, 30, 512),
        (512, 45, 60, 256),
        (256, 90, 120, 128),
        (128, 180, 240, 64),
        (64, 360, 480, 64),
    ]


# SegNet-Basic's structure


def test_basic_is_four_encoders_and_four_decoders(networks):
    network = networks["segnet-basic"]
    *sevens, classifier = (
        layers(network.backbone, nn.Conv2d)
        + layers(network.decode_head.stages, nn.Conv2d)
        + [network.decode_head.conv_seg]
    )
    assert len(layers(network, nn.Conv2d)) == 9
    assert [c.in_channels for c in sevens] == [3] + 7 * [64]
    assert {(c.out_channels, c.kernel_size, c.padding, c.bias is None) for c in sevens} == {(64, (7, 7), (3, 3), True)}
    assert classifier.kernel_size == (1, 1)
    assert classifier.bias is not None
    assert len(layers(network, _BatchNorm)) == 8
    assert len(layers(network.backbone, nn.ReLU)) == 4
    assert len(layers(network.decode_head, nn.ReLU)) == 0
    assert len(layers(network.backbone, nn.MaxPool2d)) == 4


def test_parameters_of_basic(networks):
    """Table 1 prints 1.425 M; with biases in the eight convolutions it would be 512 more."""
    network = networks["segnet-basic"]
    expected = (
        convolution(3, 64, 7, bias=False)
        + 7 * convolution(64, 64, 7, bias=False)
        + convolution(64, CLASSES, 1, norm=False)
    )
    assert parameters(network) == expected == 1_416_075
    assert expected == pytest.approx(1.425e6, rel=0.01)
    assert expected + 8 * 64 == pytest.approx(1.425e6, rel=0.01)


def test_local_response_normalisation_of_the_image(networks):
    """Caffe's, over 5 channels of which an image has 3: x / (1 + 1e-4 / 5 * sum of squares)^0.75."""
    first = networks["segnet-basic"].backbone.features[0]
    image = 255 * torch.rand(2, 3, 4, 5)
    expected = image / (1 + 1e-4 / 5 * image.square().sum(1, keepdim=True)) ** 0.75
    torch.testing.assert_close(first(image), expected)
    assert (expected < 0.9 * image).any()


@torch.no_grad()
def test_decoder_of_basic_is_linear_but_for_its_indices(networks):
    """No ReLU: with statistics fixed and indices given, logits are an affine function of the encoder's output."""
    network = networks["segnet-basic"]
    x, poolings = network.backbone(torch.randn(1, 3, 32, 48))
    at = [network.decode_head((x * factor, poolings)) for factor in (0, 1, 3)]
    torch.testing.assert_close(at[2] - at[0], 3 * (at[1] - at[0]), rtol=1e-4, atol=1e-4)


# Unpooling


def spread(values, where):
    """What unpooling has to do, from the map that was pooled: each value to the first maximum of its window."""
    height, width = where.shape[-2:]
    padded = F.pad(where, (0, width % 2, 0, height % 2), value=-torch.inf)
    windows = padded.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    chosen = F.one_hot(windows.argmax(-1), 4) * values[..., None]
    rows = chosen.unflatten(-1, (2, 2)).movedim(-2, -3)  # (N, C, h, 2, w, 2)
    return rows.flatten(4, 5).flatten(2, 3)[..., :height, :width]


@both
@torch.no_grad()
@pytest.mark.parametrize("size", [(64, 96), (45, 75)])
def test_every_maximum_returns_to_where_it_came_from(networks, name, size):
    """In the whole network: what enters each decoder, against what entered the pooling that it mirrors."""
    network = networks[name]
    pooled, entering, leaving = [], [], []
    handles = [
        *(m.register_forward_hook(lambda m, i, o: pooled.append(i[0])) for m in layers(network.backbone, nn.MaxPool2d)),
        *(s.register_forward_hook(lambda m, i, o: entering.append(i[0].clone())) for s in network.decode_head.stages),
        *(s.register_forward_hook(lambda m, i, o: leaving.append(o)) for s in network.decode_head.stages),
    ]
    x, poolings = network.backbone(torch.randn(2, 3, *size))
    network.decode_head((x, poolings))
    for handle in handles:
        handle.remove()

    assert len(pooled) == len(entering) == len(network.decode_head.stages)
    for where, values, unpooled in zip(reversed(pooled), [x, *leaving], entering, strict=False):
        assert unpooled.shape[-2:] == where.shape[-2:]
        assert torch.equal(unpooled, spread(values, where))
    # The deepest: the encoder's own maxima come back, and nothing else.
    assert torch.equal(F.max_pool2d(entering[0], 2, ceil_mode=True), x)
    maxima = entering[0] != 0
    assert maxima.any()
    assert torch.equal(entering[0][maxima], pooled[-1][maxima])


@both
@torch.no_grad()
def test_scores_depend_on_the_indices_of_every_pooling(networks, name):
    network = networks[name]
    x, poolings = network.backbone(torch.randn(1, 3, 64, 64))
    before = network.decode_head((x, poolings))
    for i, (indices, size) in enumerate(poolings):
        moved = [*poolings[:i], (indices.flip(-1), size), *poolings[i + 1 :]]
        if indices.shape[-1] > 1:
            assert not torch.equal(network.decode_head((x, moved)), before)


# Initial weights


@both
def test_initial_weights(name):
    network = build(name)
    network.init_weights()
    for layer in layers(network, nn.Conv2d):
        fan_in = layer.in_channels * layer.kernel_size[0] ** 2
        tolerance = 5 / (2 * layer.weight.numel()) ** 0.5  # five standard errors
        assert layer.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=tolerance)
        assert layer.bias is None or torch.count_nonzero(layer.bias) == 0
    for layer in layers(network, _BatchNorm):
        assert torch.equal(layer.weight, torch.ones_like(layer.weight))
        assert torch.equal(layer.bias, torch.full_like(layer.bias, 0.001))


@pytest.fixture(scope="module", params=["vgg16_bn", "vgg16"])
def torchvision_vgg(request):
    torch.manual_seed(1)
    features = make_layers(cfgs["D"], batch_norm=request.param == "vgg16_bn").eval()
    for layer in layers(features, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight)
        nn.init.normal_(layer.bias, std=0.1)
    for layer in layers(features, _BatchNorm):
        nn.init.uniform_(layer.weight, 0.5, 1.5)
        nn.init.normal_(layer.running_mean, std=0.1)
    return features


@torch.no_grad()
def test_starts_from_torchvision_s_weights(torchvision_vgg, tmp_path):
    """Through the config, as a training does: both layouts, with the classifier that nobody asked for."""
    state = {f"features.{name}": value for name, value in torchvision_vgg.state_dict().items()}
    torch.save({**state, "classifier.0.weight": torch.zeros(2, 2)}, tmp_path / "vgg.pth")
    config = compose.model_config("segnet_vgg16", classes=CLASSES, pretrained=True)
    assert config["backbone"]["init_cfg"]["checkpoint"] == "torchvision://vgg16"
    config["backbone"]["init_cfg"]["checkpoint"] = str(tmp_path / "vgg.pth")
    network = MODELS.build(config)
    network.init_weights()
    network.eval()

    image = torch.randn(1, 3, 64, 96)
    expected = torchvision_vgg(image)
    shift = 0 if layers(torchvision_vgg, _BatchNorm) else 0.001
    for layer in layers(network.backbone, _BatchNorm) if shift else []:
        assert torch.all(layer.bias == shift)
        nn.init.zeros_(layer.bias)  # then normalisation with its first statistics is the identity, but for its epsilon
    torch.testing.assert_close(network.backbone(image)[0], expected, rtol=1e-3, atol=1e-3)


def test_is_named_as_torchvision_s_vgg16_bn(networks):
    theirs = make_layers(cfgs["D"], batch_norm=True).state_dict()
    ours = networks["segnet_vgg16"].backbone.features.state_dict()
    assert {name: value.shape for name, value in ours.items()} == {name: value.shape for name, value in theirs.items()}


# The networks as a whole


@both
@torch.no_grad()
@pytest.mark.parametrize("size", [(97, 75), (33, 50), (32, 32), (1, 1)])
def test_logits_have_the_size_of_the_image(networks, name, size):
    assert logits(networks[name], torch.randn(1, 3, *size)).shape == (1, CLASSES, *size)


def batch(size=(32, 32), images=2):
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(images, 3, *size, generator=generator)
    label = (image[:, :1] > 0).long() + 2 * (image[:, 1:2] > 0).long()
    return image, [SegDataSample(gt_sem_seg=PixelData(data=each)) for each in label]


@both
def test_two_steps_move_every_parameter(name):
    network = build(name)
    network.init_weights()
    network.train()
    before = {key: p.detach().clone() for key, p in network.named_parameters()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    for _ in range(2):
        optimizer.zero_grad()
        loss = sum(value for key, value in network.loss(*batch()).items() if "loss" in key)
        loss.backward()
        assert loss.isfinite()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
        optimizer.step()
    assert [key for key, p in network.named_parameters() if torch.equal(p, before[key])] == []


@both
@torch.no_grad()
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("size", [(32, 64), (35, 45)])
def test_traces(networks, name, size):
    traced = torch.jit.trace(networks[name], torch.randn(1, 3, *size))
    image = torch.randn(1, 3, *size)
    assert torch.equal(traced(image), networks[name](image))


@both
@torch.no_grad()
def test_scores_do_not_depend_on_the_rest_of_the_batch(networks, name):
    images = torch.randn(2, 3, 32, 32)
    alone = torch.cat([logits(networks[name], image[None]) for image in images])
    torch.testing.assert_close(logits(networks[name], images), alone, rtol=1e-3, atol=1e-3)
