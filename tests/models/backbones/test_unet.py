"""U-Net for any size: the zoo's network where that one runs, and maps of the right sizes where it refuses."""

from math import ceil

import pytest
import torch
from mmseg.models.backbones import UNet

from benchmark.models.backbones.unet import PaddedUNet


def build(kind=PaddedUNet, **options):
    torch.manual_seed(0)
    network = kind(base_channels=4, norm_cfg={"type": "BN"}, **options)
    network.eval()  # returns nothing: mmsegmentation's UNet.train does not
    return network


@pytest.fixture(scope="module")
def network():
    return build()


@torch.no_grad()
def test_is_mmsegmentations_network_where_the_stride_divides(network):
    zoo = build(UNet)
    assert zoo.state_dict().keys() == network.state_dict().keys()
    image = torch.randn(1, 3, 48, 64)
    for ours, theirs in zip(network(image), zoo(image), strict=True):
        assert torch.equal(ours, theirs)


@torch.no_grad()
@pytest.mark.parametrize("size", [(45, 60), (353, 467), (64, 50), (1, 17)])
def test_any_size(network, size):
    maps = network(torch.randn(1, 3, *size))
    assert [tuple(m.shape[-2:]) for m in maps] == [(ceil(size[0] / s), ceil(size[1] / s)) for s in (16, 8, 4, 2, 1)]


@torch.no_grad()
def test_is_the_network_on_the_zero_padded_image(network):
    image = torch.randn(1, 3, 45, 60)
    padded = torch.zeros(1, 3, 48, 64)
    padded[..., :45, :60] = image
    assert torch.equal(network(image)[-1], network(padded)[-1][..., :45, :60])


@torch.no_grad()
def test_stages_that_do_not_halve():
    network = build(downsamples=(True, True, False, False))
    maps = network(torch.randn(1, 3, 17, 22))
    assert [tuple(m.shape[-2:]) for m in maps] == [(5, 6), (5, 6), (5, 6), (9, 11), (17, 22)]
