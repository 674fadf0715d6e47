"""EfficientDet for segmentation against its paper: sections 3 and 5.2, Table 1; the backbone against EfficientNet's."""

import warnings

import pytest
import torch
import torch.nn.functional as F
import torchvision
from mmengine.runner.checkpoint import get_torchvision_models
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

from benchmark.configs import compose
from benchmark.models.layers.efficientdet import SeparableConv
from benchmark.models.necks.bifpn import BottomUpPath, Node, TopDownPath
from benchmark.profiling import complexity

CLASSES = 11
NORM = {"type": "BN", "eps": 1e-3}

# EfficientNet-B0's channels where a stride ends. B4's are 1.4 times those, as the multiple of 8 next to it.
B0 = (24, 40, 112, 320)
B4 = tuple(round(1.4 * channels / 8) * 8 for channels in B0)
# Channels of P2 to P5; of BiFPN and head, by section 5.2 and, for D0, Table 1
WIDTHS = {"d0": (B0, 64, 128), "d4": (B4, 128, 256)}

variants = pytest.mark.parametrize("variant", WIDTHS)


def build(variant, classes=CLASSES, seed=0):
    torch.manual_seed(seed)
    return MODELS.build(compose.model_config(f"efficientdet-seg_{variant}", classes=classes))


def build_meta(variant):
    with torch.device("meta"):
        return build(variant)


@pytest.fixture(scope="module")
def network():
    return build("d0").eval()


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def logits(network, image):
    return network.decode_head(network.extract_feat(image))


# The backbone


# Table 1 of EfficientNet: layers of stages 1 to 7 in B0; in B4 1.8 times as many, rounded up
@pytest.mark.parametrize(("variant", "depth"), [("d0", [1, 2, 2, 3, 3, 4, 1]), ("d4", [2, 4, 4, 6, 6, 8, 2])])
def test_depth_of_the_backbone(variant, depth):
    assert [len(stage) for stage in build_meta(variant).backbone.features[1:]] == depth


@variants
@pytest.mark.parametrize("size", [(640, 640), (353, 467)])
def test_maps_of_the_backbone(variant, size):
    maps = build_meta(variant).backbone(torch.empty(1, 3, *size, device="meta"))
    strides = (4, 8, 16, 32)
    assert [tuple(m.shape[2:]) for m in maps] == [tuple(-(-side // s) for side in size) for s in strides]
    assert tuple(m.shape[1] for m in maps) == WIDTHS[variant][0]


@torch.no_grad()
def test_backbone_computes_what_torchvisions_network_does(network):
    torch.manual_seed(3)
    original = torchvision.models.efficientnet_b0(weights=None).eval()
    for module in original.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 1e-4, 1)  # small enough for the epsilon to matter
    backbone = build("d0").eval().backbone
    missing, surplus = backbone.load_state_dict(original.state_dict(), strict=False)
    assert missing == []
    assert {".".join(key.split(".")[:2]) for key in surplus} == {"features.8", "classifier.1"}
    image = torch.randn(1, 3, 64, 96)
    assert torch.equal(backbone(image)[-1], original.features[:8](image))


@variants
def test_pretrained_weights_are_of_the_backbone(variant):
    backbone = compose.model_config(f"efficientdet-seg_{variant}", classes=CLASSES, pretrained=True)["backbone"]
    checkpoint = backbone["init_cfg"]["checkpoint"].removeprefix("torchvision://")
    assert checkpoint == f"efficientnet_{backbone['variant']}"
    assert checkpoint in get_torchvision_models()


# The pyramid


def nodes(network):
    return {name: module for name, module in network.neck.named_modules() if isinstance(module, Node)}


@variants
def test_nodes(variant):
    """10 a layer: P2 to P6 downwards, P3 to P7 upwards; 5 in the last layer, which ends at P2."""
    found = nodes(build_meta(variant))
    assert len(found) == 10 + 10 + 5
    assert [sum(name.endswith(f".p{level}") for name in found) for level in range(2, 8)] == [3, 5, 5, 5, 5, 2]
    edges = [node.weights.numel() for node in found.values()]
    assert edges.count(3) == 2 * 4  # upwards at P3 to P6; every other node fuses 2
    assert edges.count(2) == 25 - 8


def test_sizes_of_the_levels():
    """Section 3.1: of 640x640, P3 is 80x80 and P7 is 5x5."""
    network = build_meta("d4")
    sizes = {}
    for name, node in nodes(network).items():
        node.register_forward_hook(lambda module, inputs, output, name=name: sizes.update({name: output.shape[1:]}))
    (p2,) = network.neck(network.backbone(torch.empty(1, 3, 640, 640, device="meta")))
    expected = {"p2": 160, "p3": 80, "p4": 40, "p5": 20, "p6": 10, "p7": 5}
    assert len(sizes) == 25
    assert all(shape == (128, expected[name[-2:]], expected[name[-2:]]) for name, shape in sizes.items())
    assert p2.shape == (1, 128, 160, 160)


def node_parameters(channels, edges):
    return edges + 9 * channels + channels * channels + 2 * channels  # weights, depthwise, pointwise, normalisation


def projection_parameters(inputs, channels):
    return inputs * channels + 2 * channels


@variants
def test_parameters_of_the_pyramid(variant):
    (p2, p3, p4, p5), channels, _ = WIDTHS[variant]
    neck = build_meta(variant).neck
    assert parameters(neck.p6) == projection_parameters(p5, channels)
    assert parameters(neck.laterals) == sum(projection_parameters(c, channels) for c in (p2, p3, p4, p5))
    assert parameters(neck.extra_laterals) == sum(projection_parameters(c, channels) for c in (p3, p4, p5))
    assert parameters(neck.top_down) == 3 * 5 * node_parameters(channels, edges=2)
    bottom_up = 4 * node_parameters(channels, edges=3) + node_parameters(channels, edges=2)
    assert parameters(neck.bottom_up) == 2 * bottom_up
    parts = (neck.p6, neck.laterals, neck.extra_laterals, neck.top_down, neck.bottom_up)
    assert parameters(neck) == sum(map(parameters, parts))


@variants
def test_parameters_of_the_network(variant):
    (*_, p5), channels, width = WIDTHS[variant]
    network = build_meta(variant)
    published = {"d0": 5_288_548, "d4": 19_341_616}[variant]  # of EfficientNet-B0 and B4 with their classifiers
    features = 4 * p5
    backbone = published - (p5 * features + 2 * features) - (1000 * features + 1000)
    first = 9 * channels + channels * width + 2 * width
    others = 9 * width + width * width + 2 * width
    head = first + 2 * others + width * CLASSES + CLASSES
    assert parameters(network.backbone) == backbone
    assert parameters(network.decode_head) == head
    assert parameters(network) == backbone + parameters(network.neck) + head


@torch.no_grad()
def test_nothing_stands_between_depthwise_and_pointwise():
    conv = SeparableConv(4, 6, NORM).eval()  # linear, then
    x, y = torch.randn(2, 1, 4, 5, 5)
    assert torch.allclose(conv(x + y), conv(x) + conv(y), atol=1e-6)
    assert not torch.allclose(conv(x.abs()), conv(x).abs())


def test_convolutions_start_as_in_keras():
    """Glorot's uniform distribution; Keras counts the fans of a depthwise kernel as 9 a channel and 9."""
    conv = SeparableConv(64, 128, NORM)
    for weight, fans in ((conv.depthwise.weight, 9 * 64 + 9), (conv.pointwise.weight, 64 + 128)):
        assert weight.abs().max().item() == pytest.approx((6 / fans) ** 0.5, rel=0.02)
        assert weight.std().item() == pytest.approx((2 / fans) ** 0.5, rel=0.1)


def weighted(node, *maps):
    """Fast normalised fusion and convolution, as section 3.3 writes them for level 6."""
    weights = node.weights.tolist()
    fused = sum(w * m for w, m in zip(weights, maps, strict=True)) / (sum(weights) + 0.0001)
    return node.conv(fused * fused.sigmoid())


@torch.no_grad()
@pytest.mark.parametrize("sizes", [(20, 10, 5), (11, 6, 3)])
def test_level_6_as_in_section_3_3(sizes):
    torch.manual_seed(0)
    top_down, bottom_up = TopDownPath(4, NORM).eval(), BottomUpPath(4, NORM).eval()
    for node in (*top_down.nodes.values(), *bottom_up.nodes.values()):
        nn.init.uniform_(node.weights, 0.1, 2)
    p5, p6, p7 = (torch.randn(2, 4, size, size) for size in sizes)
    below = [torch.randn(2, 4, size, size) for size in (8 * sizes[0], 4 * sizes[0], 2 * sizes[0])]
    inputs = [*below, p5, p6, p7]
    down = top_down(inputs)
    outputs = bottom_up(inputs[1:], down)

    doubled = p7.repeat_interleave(2, 2).repeat_interleave(2, 3)[..., : sizes[1], : sizes[1]]
    assert torch.allclose(down[4], weighted(top_down.nodes["p6"], p6, doubled), atol=1e-6)
    halved = F.max_pool2d(F.pad(outputs[3], (1, 1, 1, 1), value=-torch.inf), 3, stride=2)
    assert torch.allclose(outputs[4], weighted(bottom_up.nodes["p6"], p6, down[4], halved), atol=1e-6)
    assert outputs[0] is down[0]  # P2 is an output of the layer already
    assert [m.shape for m in outputs] == [m.shape for m in inputs]


@torch.no_grad()
def test_extra_edges(network):
    """Into the first layer from the backbone, by projections of their own; into the second from the first."""
    seen = []
    handles = [
        path.register_forward_hook(lambda module, inputs, output: seen.append((inputs[0], output)))
        for path in network.neck.bottom_up
    ]
    maps = network.backbone(torch.randn(1, 3, 64, 64))
    network.neck(maps)
    for handle in handles:
        handle.remove()
    (first, output), (second, _) = seen
    for level, lateral, source in zip(first[:3], network.neck.extra_laterals, maps[1:], strict=True):
        assert torch.equal(level, lateral(source))
    assert all(torch.equal(level, before) for level, before in zip(second, output[1:], strict=True))


def test_fusion_starts_as_a_mean():
    node = Node(3, 4, NORM)
    ones = [torch.full((1, 4, 2, 2), value) for value in (1.0, 2.0, 6.0)]
    assert torch.equal(node.weights, torch.ones(3))
    assert torch.allclose(node.fuse(*ones), torch.full((1, 4, 2, 2), 9 / 3.0001))
    total = node.fuse(*[torch.ones(1, 4, 2, 2)] * 3)
    assert ((total < 1) & (total > 0.9999)).all()


@torch.no_grad()
def test_a_negative_weight_counts_as_none():
    node = Node(2, 4, NORM)
    node.weights.copy_(torch.tensor([0.5, -3.0]))
    x, y = torch.randn(2, 1, 4, 2, 2)
    assert torch.allclose(node.fuse(x, y), x * 0.5 / 0.5001)
    node.weights.fill_(-1)
    assert torch.equal(node.fuse(x, y), torch.zeros_like(x))


@pytest.mark.parametrize("level", range(4))
def test_p2_depends_on_every_level(network, level):
    maps = [m.detach().requires_grad_() for m in network.backbone(torch.randn(1, 3, 128, 128))]
    network.neck(maps)[0].sum().backward()
    assert maps[level].grad.abs().max() > 0


# The head


@variants
def test_head(variant):
    _, channels, width = WIDTHS[variant]
    head = build_meta(variant).decode_head
    convs = [m for m in head.modules() if isinstance(m, nn.Conv2d)]
    separable = [(channels, channels, 3, channels), (channels, width, 1, 1)]
    separable += 2 * [(width, width, 3, width), (width, width, 1, 1)]
    found = [(m.in_channels, m.out_channels, m.kernel_size[0], m.groups) for m in convs]
    assert sorted(found) == sorted([*separable, (width, CLASSES, 1, 1)])
    assert [type(m) for m in head.convs[1::2]] == [nn.SiLU] * 3
    assert head.dropout is None


@torch.no_grad()
@pytest.mark.parametrize("size", [(96, 128), (353, 467), (33, 50), (1, 1)])
def test_any_size(network, size):
    image = torch.randn(1, 3, *size)
    assert logits(network, image).shape == (1, CLASSES, -(-size[0] // 4), -(-size[1] // 4))
    assert network.predict(image)[0].pred_sem_seg.data.shape == (1, *size)


# The network as a whole


@variants
def test_normalisation(variant):
    """Section 5.1: decay 0.99, epsilon 1e-3; the backbone's epsilon goes with its weights."""
    network = build_meta(variant)
    found = {
        part: {(m.momentum, m.eps) for m in network.get_submodule(part).modules() if isinstance(m, nn.BatchNorm2d)}
        for part in ("backbone", "neck", "decode_head")
    }
    assert found == {"backbone": {(0.01, 1e-5)}, "neck": {(0.01, 1e-3)}, "decode_head": {(0.01, 1e-3)}}


@variants
def test_only_convolutions_without_normalisation_have_a_bias(variant):
    biased = {n for n, m in build_meta(variant).named_modules() if isinstance(m, nn.Conv2d) and m.bias is not None}
    squeezed = {name for name in biased if name.endswith((".fc1", ".fc2"))}  # of squeeze and excitation
    assert biased - squeezed == {"decode_head.conv_seg"}
    assert len(squeezed) == 2 * {"d0": 16, "d4": 32}[variant]


@variants
def test_nothing_is_computed_that_the_scores_do_not_depend_on(variant):
    config = compose.model_config(f"efficientdet-seg_{variant}", classes=CLASSES)
    with warnings.catch_warnings():
        warnings.simplefilter("error", complexity.CounterWarning)
        cost = complexity.measure(config, (97, 75), CLASSES)
    assert cost.macs == cost.macs_torch
    assert cost.params == cost.params_total


def batch(images=4):
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(images, 3, 64, 64, generator=generator)
    label = (image[:, :1] > 0).long() + 2 * (image[:, 1:2] > 0).long()
    return image, [SegDataSample(gt_sem_seg=PixelData(data=each)) for each in label]


def total(losses):
    return sum(value for name, value in losses.items() if "loss" in name)


def test_training_moves_every_parameter_and_lowers_the_loss():
    network = build("d0").train()
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    history = []
    for step in range(8):
        optimizer.zero_grad()
        loss = total(network.loss(*batch()))
        loss.backward()
        history.append(loss.item())
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
        optimizer.step()
        if step == 1:
            assert [name for name, p in network.named_parameters() if torch.equal(p, before[name])] == []
    assert history[-1] < 0.8 * history[0]


def test_stochastic_depth_follows_the_seed():
    network = build("d0").train()

    def loss(seed):
        torch.manual_seed(seed)
        return total(network.loss(*batch(images=2))).item()

    assert loss(0) == loss(0)
    assert len({loss(seed) for seed in range(4)}) > 1
