"""Every architecture of the catalog: builds, trains, takes odd sizes, survives a checkpoint, is what its name says."""

import copy
import io

import pytest
import torch
from mmengine import Config
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from benchmark import catalog, compose

CLASSES = 5

# architecture: the config of the mmsegmentation zoo whose network it is
ZOO = {
    "fcn_r50-d8": "fcn_r50-d8_4xb2-80k_cityscapes-512x1024",
    "pspnet_r50-d8": "pspnet_r50-d8_4xb2-80k_cityscapes-512x1024",
    "pspnet_r101-d8": "pspnet_r101-d8_4xb2-80k_cityscapes-512x1024",
    "deeplabv3_r50-d8": "deeplabv3_r50-d8_4xb2-80k_cityscapes-512x1024",
    "deeplabv3_r101-d8": "deeplabv3_r101-d8_4xb2-80k_cityscapes-512x1024",
    "psanet_r50-d8": "psanet_r50-d8_4xb2-80k_cityscapes-512x1024",
    "psanet_r101-d8": "psanet_r101-d8_4xb2-80k_cityscapes-512x1024",
    "pointrend_fpn_r50": "pointrend_r50_4xb2-80k_cityscapes-512x1024",
    "unet-s5-d16": "unet-s5-d16_fcn_4xb4-160k_cityscapes-512x1024",
}


def build(architecture, seed=0):
    torch.manual_seed(seed)
    return MODELS.build(compose.model_config(architecture, classes=CLASSES))


@pytest.fixture(scope="module", params=list(catalog.architectures()))
def architecture(request):
    return request.param


@pytest.fixture(scope="module")
def network(architecture):
    return build(architecture)


@torch.no_grad()
def logits(network, image):
    """The inference path of mmsegmentation; PointRend has no other."""
    network.eval()
    return network.encode_decode(image, [{"img_shape": tuple(image.shape[-2:])}] * len(image))


def test_trains_every_parameter(network):
    network = copy.deepcopy(network)
    network.train()
    image = torch.randn(2, 3, 64, 64)
    label = torch.randint(CLASSES, (2, 1, 64, 64))
    label[:, :, :8] = 255
    losses = network.loss(image, [SegDataSample(gt_sem_seg=PixelData(data=each)) for each in label])
    loss = sum(value for name, value in losses.items() if "loss" in name)
    loss.backward()
    assert loss.isfinite()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []
    assert all(p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("size", [(64, 64), (97, 75)])
def test_logits_have_the_size_of_the_image(network, size):
    scores = logits(network, torch.randn(1, 3, *size))
    assert scores.shape == (1, CLASSES, *size)
    assert scores.isfinite().all()


def test_checkpoint_round_trip_is_bitwise(architecture, network):
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    other = build(architecture, seed=1)
    image = torch.randn(1, 3, 32, 32)
    assert not torch.equal(logits(other, image), logits(network, image))
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(logits(other, image), logits(network, image))


@pytest.mark.parametrize("name", ZOO)
def test_is_the_network_of_the_zoo(name):
    ours = Config.fromfile(catalog.architecture(name).path).model.to_dict()
    zoo = Config.fromfile(catalog.architecture(f"mmseg:{ZOO[name]}").path).model.to_dict()
    if name == "unet-s5-d16":
        assert ours["backbone"].pop("type") == "PaddedUNet"  # the zoo's for sizes that the zoo's takes: see test_unet
        assert zoo["backbone"].pop("type") == "UNet"
        zoo["test_cfg"] = {"mode": zoo["test_cfg"]["mode"]}  # a crop size is left over from its base
    for model in (ours, zoo):
        model.pop("data_preprocessor")
        model.pop("_scope_", None)
    assert ours == zoo


def test_residual_networks_start_from_weights_of_their_own_depth():
    for name, entry in catalog.architectures().items():
        model = Config.fromfile(entry.path).model
        depth = model.backbone.get("depth")
        if model.get("pretrained") and depth:
            assert f"resnet{depth}" in model.pretrained, name
