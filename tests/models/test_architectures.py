"""Every architecture of the catalog: builds, trains, takes odd sizes, survives a checkpoint, is what its name says."""

import copy
import io
import re

import pytest
import torch
from mmengine import Config
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from benchmark.catalog import catalog
from benchmark.configs import compose
from benchmark.datasets.shapes import Shapes
from benchmark.profiling.complexity import stride
from benchmark.profiling.inference import Inference

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


def test_two_iterations_move_every_parameter(network):
    """On drawn scenes, by the sign of the gradient, so that its size does not matter; what a paper fixes stays."""
    network = copy.deepcopy(network).train()
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    trainable = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    scenes = Shapes("train")
    for iteration in range(2):
        mine = range(4 * iteration, 4 * iteration + 4)
        image = torch.stack([torch.from_numpy(scenes.image(i)).permute(2, 0, 1) / 64.0 - 2 for i in mine])
        labels = [torch.from_numpy(scenes.label(i).astype("int64"))[None] % CLASSES for i in mine]
        labels[0][:, :8] = 255
        losses = network.loss(image, [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels])
        loss = sum(value for name, value in losses.items() if "loss" in name)
        assert loss.isfinite()
        network.zero_grad()
        loss.backward()
        assert [name for name, parameter in trainable.items() if parameter.grad is None] == []
        with torch.no_grad():
            for parameter in trainable.values():
                parameter.sub_(parameter.grad.sign(), alpha=1e-3 * (1 + iteration))  # never there and back
    assert all(parameter.isfinite().all() for parameter in trainable.values())
    still = {name for name, parameter in network.named_parameters() if torch.equal(parameter, before[name])}
    assert still == before.keys() - trainable.keys()


@pytest.mark.parametrize("size", [(360, 480), (512, 1024), (353, 467)])
def test_takes_images_of_any_size(architecture, size):
    """Shapes alone: on the meta device nothing is computed."""
    with torch.device("meta"):
        network = build(architecture)
    assert logits(network, torch.empty(1, 3, *size, device="meta")).shape == (1, CLASSES, *size)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(360, 480), (512, 1024), (353, 467)])
def test_computes_at_any_size(network, size):
    assert logits(network, torch.randn(1, 3, *size)).isfinite().all()


@pytest.mark.parametrize("size", [(64, 64), (97, 75)])
def test_logits_have_the_size_of_the_image(network, size):
    scores = logits(network, torch.randn(1, 3, *size))
    assert scores.shape == (1, CLASSES, *size)
    assert scores.isfinite().all()


def test_checkpoint_round_trip_is_bitwise(architecture, network):
    network = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():  # scores that start from zero are the same in every network
                parameter.normal_(std=0.01)
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    other = build(architecture, seed=1)
    image = torch.randn(1, 3, 32, 32)
    assert not torch.equal(logits(other, image), logits(network, image))
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(logits(other, image), logits(network, image))


STRIDES = {name: int(name.rpartition("-d")[2]) for name in catalog.architectures() if re.search(r"-d\d+$", name)} | {
    "enet": 8,
    "segnet_vgg16": 32,
    "segnet-basic": 16,
    "fcn-8s_vgg16": 32,
    "gcn_r50": 32,
    "deeplabv1-largefov_vgg16": 8,
    "deeplabv2-aspp-l_vgg16": 8,
    "deeplabv2_r101": 8,
    "efficientdet-seg_d4": 32,
    "liteseg_mobilenetv2": 32,
    "liteseg_shufflenet": 32,
    "liteseg_darknet19": 16,
    "pointrend_fpn_r50": 32,
}


@pytest.mark.parametrize("name", STRIDES)
def test_output_stride(name):
    """As the name says, or the paper."""
    with torch.device("meta"):
        network = Inference(compose.model_config(name, classes=CLASSES), (512, 512))
    assert stride(network) == STRIDES[name]


@pytest.mark.parametrize("name", ZOO)
def test_is_the_network_of_the_zoo(name):
    ours = Config.fromfile(catalog.architecture(name).path).model.to_dict()
    zoo = Config.fromfile(catalog.architecture(f"mmseg:{ZOO[name]}").path).model.to_dict()
    if name == "unet-s5-d16":
        assert ours["backbone"].pop("type") == "PaddedUNet"  # the zoo's for sizes that the zoo's takes: see test_unet
        assert zoo["backbone"].pop("type") == "UNet"
        zoo["test_cfg"] = {"mode": zoo["test_cfg"]["mode"]}  # a crop size is left over from its base
    if name.startswith("psanet"):
        assert ours["decode_head"].pop("type") == "PSANetHead"  # the zoo's without its padding: see test_psanet
        assert zoo["decode_head"].pop("type") == "PSAHead"
    if name.startswith("pointrend"):
        assert (ours.pop("type"), ours["decode_head"][1].pop("type")) == ("PointRend", "PointRendHead")
        assert (zoo.pop("type"), zoo["decode_head"][1].pop("type")) == ("CascadeEncoderDecoder", "PointHead")
        assert zoo.pop("num_stages") == 2  # the same network from other initial weights: see test_pointrend
        for model in (ours, zoo):  # the same, said or left to the defaults
            model["backbone"] = {"type": model["backbone"]["type"], "depth": model["backbone"]["depth"]}
    for model in (ours, zoo):
        model.pop("data_preprocessor", None)
        model.pop("_scope_", None)
    assert ours == zoo


def test_residual_networks_start_from_weights_of_their_own_depth():
    for name, entry in catalog.architectures().items():
        model = Config.fromfile(entry.path).model
        depth = model.backbone.get("depth")
        if model.get("pretrained") and depth:
            assert f"resnet{depth}" in model.pretrained, name
