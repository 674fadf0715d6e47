"""PointRend against its paper and the authors' code: point head, points, and the resolutions of the subdivision."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from benchmark.configs import compose

CLASSES = 19
ARCHITECTURES = ["pointrend_fpn_r101", "pointrend_deeplabv3_r50"]
WITH_POINTS = [*ARCHITECTURES, "pointrend_fpn_r50", "context-pointrend_r50-d8"]


def build(architecture, **test_cfg):
    config = compose.model_config(architecture, classes=CLASSES)
    config.test_cfg.update(test_cfg)
    return MODELS.build(config).eval()


def on_meta(architecture):
    with torch.device("meta"):
        return build(architecture)


def points_of(network):
    """Notes the number of points of every call of the point head."""
    seen = []
    network.decode_head[1].fcs[0].register_forward_hook(lambda _m, _inputs, output: seen.append(output.shape[-1]))
    return seen


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_coarse_scores_enter_the_first_layer_alone(architecture):
    head = on_meta(architecture).decode_head[1]
    layers = (256 + CLASSES) * 256 + 256 + 2 * (256 * 256 + 256)
    predictor = 256 * CLASSES + CLASSES
    assert sum(p.numel() for p in head.parameters()) == layers + predictor


def test_mmsegmentations_has_them_in_every_layer():
    head = on_meta("pointrend_fpn_r50").decode_head[1]
    layers = 3 * ((256 + CLASSES) * 256 + 256)
    predictor = (256 + CLASSES) * CLASSES + CLASSES
    assert sum(p.numel() for p in head.parameters()) == layers + predictor


@torch.no_grad()
@pytest.mark.parametrize(
    ("architecture", "stride", "points"),
    [
        ("pointrend_fpn_r101", 4, [8192, 8192]),
        ("pointrend_fpn_r50", 4, [8196, 8196]),
        # After the first step there are no more than 64 x 128 points.
        ("pointrend_deeplabv3_r50", 16, [8192, 8192, 8192, 8192]),
        ("context-pointrend_r50-d8", 8, [8192, 8192, 8192]),
    ],
)
def test_subdivision_leads_to_the_resolution_of_the_image(architecture, stride, points):
    network = on_meta(architecture)
    image = torch.empty(1, 3, 512, 1024, device="meta")
    maps = network.extract_feat(image)
    assert network.decode_head[0](maps).shape[-2:] == (512 // stride, 1024 // stride)
    assert stride == 2 ** len(points)
    seen = points_of(network)
    network.encode_decode(image, [{"img_shape": (512, 1024)}])
    assert seen == points


@torch.no_grad()
def test_fine_features_are_of_res2():
    network = on_meta("pointrend_deeplabv3_r50")
    maps = network.extract_feat(torch.empty(1, 3, 64, 128, device="meta"))
    (fine,) = network.decode_head[1]._transform_inputs(maps)
    assert fine is maps[0]
    assert fine.shape == (1, 256, 16, 32)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_points_in_training(architecture):
    network = build(architecture).train()
    seen = points_of(network)
    label = torch.randint(CLASSES, (2, 1, 64, 64))
    network.loss(torch.randn(2, 3, 64, 64), [SegDataSample(gt_sem_seg=PixelData(data=each)) for each in label])
    assert seen == [2048]
    assert network.train_cfg == {"num_points": 2048, "oversample_ratio": 3, "importance_sample_ratio": 0.75}


@torch.no_grad()
def test_only_the_most_uncertain_points_are_changed():
    torch.manual_seed(0)
    network = build("pointrend_deeplabv3_r50", subdivision_steps=1, subdivision_num_points=7)
    image = torch.randn(1, 3, 64, 64)
    coarse = network.decode_head[0](network.extract_feat(image))
    upsampled = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
    refined = network.encode_decode(image, [{"img_shape": (8, 8)}])
    changed = (refined != upsampled).any(dim=1).flatten().nonzero().flatten()
    first, second = upsampled.flatten(2).topk(2, dim=1).values.unbind(dim=1)
    assert set(changed.tolist()) == set((first - second)[0].topk(7, largest=False).indices.tolist())


def test_backbone_of_deeplabv3_is_the_papers():
    ours = compose.model_config("pointrend_deeplabv3_r50", classes=CLASSES)
    theirs = compose.model_config("deeplabv3_r101-d16", classes=CLASSES)
    assert ours.decode_head[0] == theirs.decode_head
    expected = copy.deepcopy(theirs.backbone)
    expected.update(type="ResNetV1c", depth=50)
    assert ours.backbone == expected


@pytest.mark.parametrize("architecture", WITH_POINTS)
def test_classifiers_of_both_heads_start_as_they_ask(architecture):
    network = build(architecture)
    network.init_weights()
    coarse, points = network.decode_head
    for classifier, deviation in ((coarse.conv_seg, 0.01), (points.fc_seg, 0.001)):
        assert classifier.weight.std().item() == pytest.approx(deviation, rel=0.1)
        assert torch.count_nonzero(classifier.bias) == 0


def test_network_on_fpn_is_mmsegmentations_but_for_the_point_head():
    ours, theirs = on_meta("pointrend_fpn_r101"), on_meta("mmseg:pointrend_r101_4xb2-80k_cityscapes-512x1024")
    for part in ("backbone", "neck", "decode_head.0"):
        assert repr(ours.get_submodule(part)) == repr(theirs.get_submodule(part))
