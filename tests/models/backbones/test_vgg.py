"""VGG16 as convolutions: it takes torchvision's weights, and computes what torchvision's network does."""

import pytest
import torch
import torchvision
from torch import nn

from benchmark.models.backbones.vgg import FCNVGG16, DeepLabVGG16, FullyConnected


@pytest.fixture(scope="module")
def classifier():
    """torchvision's, with weights that repeat themselves and so are cheap to make; no two positions of a 7x7 agree."""
    with torch.device("meta"):
        layers = torchvision.models.vgg16().classifier[:6]
    layers.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in (layers[0], layers[3]):
            few = torch.randn(len(layer.weight), 64, generator=generator) / 64
            layer.weight.copy_(few.repeat(1, layer.in_features // 64))
            layer.bias.normal_(generator=generator)
    return layers.eval()


def test_names_are_torchvisions():
    with torch.device("meta"):
        ours, theirs = FCNVGG16().state_dict(), torchvision.models.vgg16().state_dict()
    assert set(theirs) - set(ours) == {"classifier.6.weight", "classifier.6.bias"}
    assert set(ours) < set(theirs)
    assert all(ours[name].shape == theirs[name].shape for name in ours if name.startswith("features"))


@torch.no_grad()
def test_convolutions_compute_what_the_fully_connected_layers_do(classifier):
    with torch.device("meta"):
        layers = FullyConnected(4096, kernel_size=7).eval()
    layers.load_state_dict(classifier.state_dict(), assign=True)
    pool5 = torch.rand(2, 512, 7, 7)
    expected = classifier(pool5.flatten(1))
    assert expected.count_nonzero() > 1000
    off = (layers(pool5)[..., 0, 0] - expected).norm() / expected.norm()
    assert off < (512 * 7 * 7) ** 0.5 * 2**-24  # a sum of n numbers in another order, in float32


def test_smaller_layers_take_a_part_of_the_weights(classifier):
    layers = FullyConnected(1024, kernel_size=3, dilation=12, padding=12)
    layers.load_state_dict(classifier.state_dict())
    fc6, fc7 = layers[0], layers[3]
    dense = classifier[0].weight.view(4096, 512, 7, 7)
    for channel, row, column in ((0, 0, 0), (1, 1, 2), (1023, 2, 0)):
        assert torch.equal(fc6.weight[channel, :, row, column], dense[4 * channel, :, 3 * row, 3 * column])
        assert torch.equal(fc7.weight[channel, :, 0, 0], classifier[3].weight[4 * channel, ::4])
        assert fc6.bias[channel] == classifier[0].bias[4 * channel]
        assert fc7.bias[channel] == classifier[3].bias[4 * channel]


def test_every_branch_takes_them(classifier):
    network = DeepLabVGG16(rates=(6, 12))
    weights = {f"classifier.{name}": value for name, value in classifier.state_dict().items()}
    weights["classifier.6.weight"] = torch.empty(1000, 4096)
    found = network.load_state_dict(weights, strict=False)
    assert all(name.startswith("features") for name in found.missing_keys)
    for branch in network.branches:
        assert torch.equal(branch[0].weight[3, 7], classifier[0].weight[12].view(512, 7, 7)[7, ::3, ::3])


@torch.no_grad()
def test_their_own_weights_load_as_they_are():
    torch.manual_seed(0)
    first, second = DeepLabVGG16(rates=(2,)).eval(), DeepLabVGG16(rates=(2,)).eval()
    image = torch.randn(1, 3, 16, 16)
    assert not torch.equal(first(image)[0], second(image)[0])
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(image)[0], second(image)[0])


def test_convolutions_keep_the_variance_of_he():
    torch.manual_seed(0)
    network = DeepLabVGG16(rates=(2,))
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            inputs = layer.in_channels * layer.kernel_size[0] ** 2
            assert layer.weight.std().item() == pytest.approx((2 / inputs) ** 0.5, rel=0.1)
            assert not layer.bias.any()
