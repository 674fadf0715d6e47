"""GCN against its paper: the counts of Table 2, the structure of Figure 2, and what makes its blocks what they are."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

from benchmark.configs import compose
from benchmark.models.layers.gcn import BoundaryRefinement, Deconvolution, GlobalConvolution

CLASSES = 21
STAGES = (256, 512, 1024, 2048)


def build(architecture="gcn_r50", classes=CLASSES):
    return MODELS.build(compose.model_config(architecture, classes=classes))


def parameters(module):
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build().eval()


# The global convolution


@pytest.mark.parametrize(("k", "thousands"), [(3, 260), (5, 434), (7, 608), (9, 782)])
def test_weights_of_table_2(k, thousands):
    first = 2 * k * 2048 * 21  # k x 1 and 1 x k, on res-5
    second = 2 * k * 21 * 21
    block = GlobalConvolution(2048, 21, k)
    assert first + second == sum(p.numel() for p in block.parameters() if p.dim() == 4)
    assert int((first + second) / 1000) == thousands
    assert int(parameters(block) / 1000) == thousands  # biases do not show


@pytest.mark.parametrize("branch", ["left", "right"])
def test_each_branch_connects_the_whole_window_and_nothing_else(branch):
    image = torch.ones(1, 2, 31, 31, requires_grad=True)
    block = GlobalConvolution(2, 3, 15)
    for p in block.parameters():
        nn.init.ones_(p)
    block.get_submodule(branch)(image)[0, 0, 15, 15].backward()
    window = torch.zeros(31, 31)
    window[8:23, 8:23] = 1
    assert torch.equal((image.grad[0, 0] != 0).float(), window)


def test_branches_are_the_two_orders():
    block = GlobalConvolution(2, 3, 15)
    assert [conv.kernel_size for conv in block.left] == [(15, 1), (1, 15)]
    assert [conv.kernel_size for conv in block.right] == [(1, 15), (15, 1)]
    x = torch.randn(1, 2, 20, 20)
    assert torch.equal(block(x), block.left(x) + block.right(x))


def test_global_convolution_is_linear():
    block = GlobalConvolution(2, 3, 7).double()
    x, y = torch.randn(2, 1, 2, 9, 9, dtype=torch.float64)
    zero = block(torch.zeros_like(x))
    assert torch.allclose(block(x - 2 * y) - zero, (block(x) - zero) - 2 * (block(y) - zero))
    assert {type(m) for m in block.modules()} == {GlobalConvolution, nn.Sequential, nn.Conv2d}


# Boundary refinement and deconvolution


def test_boundary_refinement_adds_a_residual():
    block = BoundaryRefinement(4)
    score = torch.randn(1, 4, 6, 6)
    first, relu, last = block.residual
    assert isinstance(relu, nn.ReLU)
    assert torch.allclose(block(score), score + last(F.relu(first(score))))
    assert parameters(block) == 2 * (4 * 4 * 9 + 4)


def test_deconvolution_starts_as_bilinear_interpolation():
    score = torch.randn(1, 3, 7, 8)
    doubled = F.interpolate(score, scale_factor=2, mode="bilinear", align_corners=False)
    found = Deconvolution(3)(score)
    assert found.shape == doubled.shape
    assert torch.allclose(found[..., 1:-1, 1:-1], doubled[..., 1:-1, 1:-1], atol=1e-6)


def test_deconvolution_is_learned():
    assert all(m.weight.requires_grad for m in build().modules() if isinstance(m, Deconvolution))


# The network


def test_order_and_sizes_of_figure_2():
    with torch.device("meta"):
        network, image = build().eval(), torch.empty(1, 3, 512, 512)
    seen = []
    for module in network.decode_head.modules():
        if isinstance(module, GlobalConvolution | BoundaryRefinement | Deconvolution):
            module.register_forward_hook(lambda m, _, out: seen.append((type(m).__name__, out.shape[-1])))
    with torch.no_grad():
        maps = network.backbone(image)
        network.decode_head(maps)
    assert [tuple(m.shape[1:]) for m in maps] == [(256, 128, 128), (512, 64, 64), (1024, 32, 32), (2048, 16, 16)]
    at_resolutions = [
        each for size in (128, 64, 32, 16) for each in [("GlobalConvolution", size), ("BoundaryRefinement", size)]
    ]
    upwards = [
        each for size in (32, 64, 128, 256, 512) for each in [("Deconvolution", size), ("BoundaryRefinement", size)]
    ]
    assert seen == at_resolutions + upwards


def test_score_maps_are_summed(network):
    head = network.decode_head
    maps = [torch.zeros(1, channels, size, size) for channels, size in zip(STAGES, (32, 16, 8, 4), strict=True)]
    with torch.no_grad():
        nothing = head(maps)
        for i, channels in enumerate(STAGES):
            changed = list(maps)
            changed[i] = torch.randn(1, channels, *maps[i].shape[-2:])
            assert not torch.equal(head(changed), nothing)


def test_without_boundary_refinement_only_that_is_missing(network):
    without = build("gcn-nobr_r50")
    assert not any(isinstance(m, BoundaryRefinement) for m in without.modules())
    state = {name: p for name, p in network.state_dict().items() if "residual" not in name}
    assert {name: p.shape for name, p in without.state_dict().items()} == {n: p.shape for n, p in state.items()}


def head_parameters(k, classes, refinements):
    global_convolutions = sum(2 * k * classes * (channels + classes) + 4 * classes for channels in STAGES)
    return global_convolutions + refinements * 2 * (9 * classes**2 + classes) + 5 * 16 * classes**2


@pytest.mark.parametrize(
    ("architecture", "refinements", "torchvision_parameters"),
    [("gcn_r50", 9, 25_557_032), ("gcn-nobr_r50", 0, 25_557_032), ("gcn_r152", 9, 60_192_808)],
)
def test_parameters(architecture, refinements, torchvision_parameters):
    with torch.device("meta"):
        network = build(architecture)
    assert parameters(network.decode_head) == head_parameters(15, CLASSES, refinements)
    assert parameters(network.backbone) == torchvision_parameters - (2048 * 1000 + 1000)  # its classifier
    convolutions = 4 * 4 + 2 * refinements
    assert sum(isinstance(m, nn.Conv2d) for m in network.decode_head.modules()) == convolutions
    assert sum(isinstance(m, nn.ConvTranspose2d) for m in network.decode_head.modules()) == 5


@pytest.mark.parametrize(("architecture", "depth"), [("gcn_r50", 50), ("gcn_r152", 152)])
def test_backbone_takes_torchvisions_weights(architecture, depth):
    with torch.device("meta"):
        ours = build(architecture).backbone.state_dict()
        theirs = getattr(torchvision.models, f"resnet{depth}")().state_dict()
    assert set(theirs) - set(ours) == {"fc.weight", "fc.bias"}
    assert {name: p.shape for name, p in ours.items()} == {name: theirs[name].shape for name in ours}


@torch.no_grad()
@pytest.mark.parametrize("size", [(64, 96), (97, 75), (33, 62)])
def test_scores_are_cropped_not_resized(network, size):
    image = torch.randn(1, 3, *size)
    raw = network(image)
    assert raw.shape == (1, CLASSES, *(4 * -(-side // 4) for side in size))
    scores = network.encode_decode(image, [{"img_shape": size}])
    assert torch.equal(scores, raw[..., : size[0], : size[1]])


@torch.no_grad()
def test_sliding_window_inference_crops_to_the_window():
    config = compose.model_config("gcn_r50", classes=3)
    config.test_cfg = {"mode": "slide", "crop_size": (50, 50), "stride": (30, 30)}
    sliding = MODELS.build(config).eval()
    meta = dict.fromkeys(("img_shape", "pad_shape", "ori_shape"), (70, 80))
    assert sliding.inference(torch.randn(1, 3, 70, 80), [meta]).shape == (1, 3, 70, 80)


@torch.no_grad()
def test_loss_is_of_the_cropped_scores(network):
    image, label = torch.randn(1, 3, 61, 70), torch.randint(CLASSES, (1, 61, 70))
    losses = network.loss(image, [SegDataSample(gt_sem_seg=PixelData(data=label))])
    expected = F.cross_entropy(network(image)[..., :61, :70], label)
    assert torch.allclose(losses["decode.loss_ce"], expected)


def test_initial_values():
    network = build(classes=11)
    network.decode_head.init_weights()
    for module in network.decode_head.modules():
        if isinstance(module, nn.Conv2d):
            assert torch.count_nonzero(module.bias) == 0
            assert module.weight.std().item() == pytest.approx(0.01, rel=0.1)
        if isinstance(module, Deconvolution):
            assert torch.equal(module.weight, Deconvolution(11).weight)
