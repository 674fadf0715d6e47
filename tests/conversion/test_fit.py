"""Weights of other toolboxes on our networks."""

import pytest
import torch
import torchvision
from mmseg.registry import MODELS

from benchmark.catalog import catalog
from benchmark.configs import compose
from benchmark.conversion.fit import fit


def network(architecture, classes=5, seed=0):
    torch.manual_seed(seed)
    return MODELS.build(compose.model_config(architecture, classes=classes))


@pytest.fixture(scope="module")
def enet():
    return network("enet").state_dict()


def test_weights_of_ours(enet):
    found = fit("enet", enet)
    assert found.source == "mmsegmentation's names"
    assert (found.classes, found.complete, found.complaint) == (5, True, None)
    assert (found.missing, found.unexpected, found.mismatched) == ([], [], [])
    assert found.state.keys() == enet.keys()
    assert all(torch.equal(found.state[name], enet[name]) for name in enet)


def test_a_checkpoint_of_mmsegmentations_zoo():
    zoo = MODELS.build(compose.model_config("mmseg:fcn_r50-d8_4xb2-80k_cityscapes-512x1024", classes=19)).state_dict()
    found = fit("fcn_r50-d8", zoo)
    assert (found.classes, found.complaint) == (19, None)
    assert all(torch.equal(found.state[name], zoo[name]) for name in network("fcn_r50-d8").state_dict())


def test_files_from_before_batches_were_counted(enet):
    old = {name: tensor for name, tensor in enet.items() if not name.endswith("num_batches_tracked")}
    found = fit("enet", old)
    assert len(old) < len(found.state) == len(enet)
    assert (found.complete, found.complaint) == (True, None)


def test_an_auxiliary_head_may_be_missing():
    whole = network("fcn_r50-d8").state_dict()
    found = fit("fcn_r50-d8", {name: t for name, t in whole.items() if not name.startswith("auxiliary_head")})
    assert found.missing
    assert (found.complete, found.complaint) == (True, None)


def test_imagenet_weights_of_torchvision():
    """The plain stem of torchvision's ResNet-50 is not mmsegmentation's deep one; the four stages are the same."""
    weights = torchvision.models.resnet50().state_dict()
    found = fit("pspnet_r50-d8", weights)
    assert found.source.startswith("weights of a backbone")
    assert (found.classes, found.complete, found.complaint) == (None, False, None)
    assert all(torch.equal(tensor, weights[name.removeprefix("backbone.")]) for name, tensor in found.state.items())
    stages = [name for name in weights if name.startswith("layer")]
    assert len(found.state) == len(stages)
    assert {name.split(".")[1] for name in found.unexpected} == {"conv1", "bn1", "fc"}
    assert {name.split(".")[1] for name in found.missing if name.startswith("backbone")} == {"stem"}


@pytest.mark.parametrize(
    ("architecture", "classifier"),
    [
        ("gcn_r50", "resnet50"),
        ("gcn_r152", "resnet152"),
        ("deeplabv2_r101", "resnet101"),
        ("fcn-8s_vgg16", "vgg16"),
        ("deeplabv1-largefov_vgg16", "vgg16"),
        ("segnet_vgg16", "vgg16_bn"),
        ("liteseg_mobilenetv2", "mobilenet_v2"),
        ("efficientdet-seg_d0", "efficientnet_b0"),
        ("efficientdet-seg_d4", "efficientnet_b4"),
    ],
)
def test_backbones_have_torchvisions_names(architecture, classifier):
    """All that ImageNet weights have for the backbone arrives, and the classifier alone is left over."""
    with torch.device("meta"):
        weights = getattr(torchvision.models, classifier)().state_dict()
    weights = {name: torch.ones_like(tensor, device="cpu") for name, tensor in weights.items()}
    found = fit(architecture, weights)
    assert found.complaint is None
    assert not found.complete
    assert all((tensor == 1).all() for tensor in found.state.values())
    left = {name.removeprefix("backbone.") for name in found.unexpected}
    assert all(name.startswith(("fc.", "classifier.", "features.8.")) for name in left)
    own = {"fc6", "fc7"}  # of DeepLab: they are not those of the classifier
    lacking = [name for name in found.missing if name.startswith("backbone.") and name.split(".")[1] not in own]
    assert lacking == []


@pytest.mark.parametrize(
    ("architecture", "other", "complaint"),
    [
        ("enet", "unet-s5-d16", None),
        ("pspnet_r50-d8", "fcn_r50-d8", "it lacks decode_head"),
        ("fcn_r50-d8", "pspnet_r50-d8", "it lacks decode_head"),
        ("deeplabv3_r50-d8", "pspnet_r50-d8", "decode_head.bottleneck.conv.weight has shape"),
        ("pspnet_r50-d8", "pspnet_r101-d8", "has no place there"),
        ("pspnet_r101-d8", "pspnet_r50-d8", "it lacks backbone.layer3.6"),
    ],
)
def test_checkpoints_of_another_architecture(architecture, other, complaint):
    found = fit(architecture, network(other).state_dict())
    if complaint is None:
        assert found is None or found.complaint
    else:
        assert complaint in found.complaint
        assert "\n" not in found.complaint


@pytest.mark.parametrize(("classifier", "complaint"), [("resnet101", "no place"), ("resnet18", "shape")])
def test_a_backbone_of_another_depth(classifier, complaint):
    weights = getattr(torchvision.models, classifier)().state_dict()
    assert complaint in fit("pspnet_r50-d8", weights).complaint


def test_the_number_of_classes_is_read_off_the_weights():
    for architecture in ("enet", "fcn_r50-d8", "pointrend_fpn_r50", "psanet_r50-d8"):
        assert architecture in catalog.architectures()
        assert fit(architecture, network(architecture, classes=7).state_dict()).classes == 7


def test_nothing_of_it_is_known():
    assert fit("enet", {"what": torch.zeros(3)}) is None
