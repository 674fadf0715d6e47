"""LiteSeg against its paper, its backbones against theirs: parameters and sizes below are summed by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
import torchvision
from mmseg.registry import MODELS
from torch import nn

from benchmark.configs import compose
from benchmark.models.backbones.shufflenet import ShuffleNetUnit, shuffle
from benchmark.models.layers.daspp import DASPP, separable_conv

BACKBONES = ["mobilenetv2", "shufflenet", "darknet19"]


def build(backbone, classes=19):
    torch.manual_seed(0)
    return MODELS.build(compose.model_config(f"liteseg_{backbone}", classes=classes))


@pytest.fixture(scope="module", params=BACKBONES)
def backbone(request):
    return request.param


@pytest.fixture(scope="module")
def network(backbone):
    with torch.device("meta"):
        return build(backbone).eval()


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def convolutions(module):
    return [m for m in module.modules() if isinstance(m, nn.Conv2d)]


def image(height, width):
    return torch.empty(1, 3, height, width, device="meta")


def sizes(network, names, height, width):
    """(channels, height, width) that each module puts out."""
    found = {}
    for name in names:
        hook = network.get_submodule(name).register_forward_hook
        hook(lambda module, inputs, output, name=name: found.__setitem__(name, tuple(output.shape[1:])))
    network(image(height, width))
    return found


# DASPP


def separable(inputs, outputs, kernel):
    return kernel**2 * inputs + inputs * outputs


def daspp_parameters(inputs, n=96):
    """Rate 1; rates 3, 6, 9 with two convolutions each; image pooling; projection. Two a channel to normalise."""
    pointwise = separable(inputs, n, 1) + 2 * n
    atrous = separable(inputs, n, 3) + 2 * n + separable(n, n, 3) + 2 * n
    pooling = inputs * n + 2 * n
    projection = separable(inputs + 5 * n, n, 1) + 2 * n
    return pointwise + 3 * atrous + pooling + projection


@pytest.mark.parametrize("inputs", [64, 1280, 2048])
def test_parameters_of_daspp(inputs):
    assert parameters(DASPP(inputs, 96, nn.BatchNorm2d)) == daspp_parameters(inputs)


def test_rates_of_daspp():
    daspp = DASPP(8, 4, nn.BatchNorm2d, rates=(1, 2, 5))
    found = [
        [(conv.kernel_size[0], conv.dilation[0]) for conv in convolutions(branch) if conv.groups > 1]
        for branch in daspp.branches
    ]
    assert found == [[(1, 1)], [(3, 2), (3, 1)], [(3, 5), (3, 1)]]


@pytest.mark.parametrize(("index", "rate"), [(1, 3), (2, 6), (3, 9)])
def test_a_branch_sees_its_rate_smoothed_by_a_second_convolution(index, rate):
    branch = DASPP(1, 8, nn.BatchNorm2d).branches[index].eval()
    for conv in convolutions(branch):
        nn.init.ones_(conv.weight)  # so that nothing cancels and no activation is cut off
    x = torch.rand(1, 1, 31, 31, requires_grad=True)
    branch(x)[0, :, 15, 15].sum().backward()
    rows = (x.grad[0, 0] != 0).any(dim=1).nonzero().flatten() - 15
    assert rows.tolist() == sorted({atrous + second for atrous in (-rate, 0, rate) for second in (-1, 0, 1)})


def test_activations_of_daspp():
    daspp = DASPP(8, 4, nn.BatchNorm2d)
    x = torch.randn(4, 8, 16, 16)
    assert [bool((branch(x) < 0).any()) for branch in daspp.branches] == [True, False, False, False]
    atrous = daspp.branches[1][:2](x)  # nothing is activated between the atrous and the second convolution
    assert torch.equal(daspp.branches[1](x), daspp.branches[1][2:](atrous))
    assert (atrous < 0).any()
    assert (daspp(x) >= 0).all()


@torch.no_grad()
def test_daspp_projects_its_input_its_branches_and_the_pooled_image_in_that_order():
    daspp = DASPP(8, 4, nn.BatchNorm2d).eval()
    seen = []
    daspp.projection.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    x = torch.randn(2, 8, 5, 7)
    daspp(x)
    mean = x.mean(dim=(2, 3), keepdim=True)
    pooled = F.interpolate(daspp.image_pooling[1:](mean), size=(5, 7), mode="bilinear", align_corners=True)
    expected = torch.cat((x, *(branch(x) for branch in daspp.branches), pooled), dim=1)
    torch.testing.assert_close(seen[0], expected)


def test_daspp_branches_start_as_he_et_al():
    torch.manual_seed(0)
    daspp = DASPP(512, 128, nn.BatchNorm2d)
    for conv in convolutions(daspp.branches):
        fan_in = conv.weight[0].numel()
        assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / fan_in), rel=0.1)


@torch.no_grad()
@pytest.mark.parametrize("dilation", [1, 3])
def test_a_separable_convolution_is_the_product_of_its_two(dilation):
    conv = separable_conv(4, 6, 3, dilation)
    depthwise, pointwise = conv
    full = torch.einsum("oixy,ijkl->oikl", pointwise.weight, depthwise.weight)
    x = torch.randn(2, 4, 9, 11)
    expected = F.conv2d(x, full, padding=dilation, dilation=dilation)
    torch.testing.assert_close(conv(x), expected)


# The head

EARLY_LAST_REDUCED = {"mobilenetv2": (24, 1280, None), "shufflenet": (384, 1536, 48), "darknet19": (128, 1024, 32)}


def head_parameters(backbone, classes, n=96):
    early, last, reduced = EARLY_LAST_REDUCED[backbone]
    reduction = separable(early, reduced, 1) + 2 * reduced if reduced else 0
    decoder = separable(n + (reduced or early), n, 3) + 2 * n + separable(n, n, 3) + 2 * n
    return daspp_parameters(last) + reduction + decoder + n * classes + classes


def test_parameters_of_the_head(backbone, network):
    assert parameters(network.decode_head) == head_parameters(backbone, classes=19)


def test_all_convolutions_of_the_head_but_two_are_separable(network):
    head = network.decode_head
    depthwise = [c for c in convolutions(head) if c.groups == c.in_channels == c.out_channels]
    pointwise = [c for c in convolutions(head) if c.groups == 1 and c.kernel_size == (1, 1)]
    assert len(depthwise) + 2 == len(pointwise)  # image pooling and the classifier are pointwise alone
    assert len(depthwise) + len(pointwise) == len(convolutions(head))
    assert [c for c in convolutions(head) if c.bias is not None] == [head.conv_seg]


@torch.no_grad()
def test_decoder_joins_the_upsampled_context_with_the_early_features():
    network = build("shufflenet").eval()
    head = network.decode_head
    seen = []
    head.decoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    early, last = torch.randn(1, 384, 9, 13), torch.randn(1, 1536, 3, 4)
    scores = head((early, last))
    assert scores.shape == (1, 19, 9, 13)
    joined = seen[0]
    assert joined.shape[1] == 96 + 48
    assert torch.equal(joined[:, 96:], head.reduction(early))
    # Bilinear with aligned corners: every pixel of the smaller map is met again, four apart.
    torch.testing.assert_close(joined[:, :96, ::4, ::4], head.daspp(last))


def test_mobilenet_hands_its_early_features_on_as_they_are():
    assert isinstance(build("mobilenetv2").decode_head.reduction, nn.Identity)


# The backbones

OUTPUTS = {  # of 512x1024: early features at a stride of 4 (ShuffleNet 8), last ones at 32 (Darknet-19 16)
    "mobilenetv2": [(24, 128, 256), (1280, 16, 32)],
    "shufflenet": [(384, 64, 128), (1536, 16, 32)],
    "darknet19": [(128, 128, 256), (1024, 32, 64)],
}


def test_strides_and_channels(backbone, network):
    assert [tuple(map_.shape[1:]) for map_ in network.backbone(image(512, 1024))] == OUTPUTS[backbone]


def mobilenetv2_parameters():
    """Table 2 of arXiv 1801.04381: expansion, channels, repetitions; no biases, two a channel to normalise."""
    total, inputs = 27 * 32 + 2 * 32, 32
    for t, c, n in [(1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1)]:
        for _ in range(n):
            wide = t * inputs
            expansion = inputs * wide + 2 * wide if t > 1 else 0
            total += expansion + 9 * wide + 2 * wide + wide * c + 2 * c
            inputs = c
    return total + 320 * 1280 + 2 * 1280


def unit_parameters(inputs, outputs, groups=8):
    """Figure 2 of arXiv 1707.01083: pointwise, depthwise, pointwise, each with a bias and normalised."""
    n = outputs // 4
    expanded = outputs if inputs == outputs else outputs - inputs
    return inputs * n // groups + 3 * n + 9 * n + 3 * n + n * expanded // 8 + 3 * expanded


def shufflenet_parameters():
    """Table 1 of arXiv 1707.01083, column of 8 groups; its first pointwise convolution is not grouped."""
    stage2 = unit_parameters(24, 384, groups=1) + 3 * unit_parameters(384, 384)
    stage3 = unit_parameters(384, 768) + 7 * unit_parameters(768, 768)
    stage4 = unit_parameters(768, 1536) + 3 * unit_parameters(1536, 1536)
    return 27 * 24 + 24 + stage2 + stage3 + stage4


DARKNET19 = [  # Table 6 of arXiv 1612.08242: kernel, inputs, outputs
    *[(3, 3, 32), (3, 32, 64)],
    *[(3, 64, 128), (1, 128, 64), (3, 64, 128)],
    *[(3, 128, 256), (1, 256, 128), (3, 128, 256)],
    *[(3, 256, 512), (1, 512, 256), (3, 256, 512), (1, 512, 256), (3, 256, 512)],
    *[(3, 512, 1024), (1, 1024, 512), (3, 512, 1024), (1, 1024, 512), (3, 512, 1024)],
]


def darknet19_parameters():
    return sum(k * k * inputs * outputs + 2 * outputs for k, inputs, outputs in DARKNET19)


def test_parameters_of_the_backbone(backbone, network):
    by_hand = {
        "mobilenetv2": mobilenetv2_parameters,
        "shufflenet": shufflenet_parameters,
        "darknet19": darknet19_parameters,
    }
    assert parameters(network.backbone) == by_hand[backbone]()
    assert parameters(network) == parameters(network.backbone) + parameters(network.decode_head)


# With its ImageNet classifier, which the authors' MobileNetV2 and ShuffleNet keep without using it
@pytest.mark.parametrize(
    ("backbone", "classifier", "published"),
    [("mobilenetv2", 1280 * 1000 + 1000, 4.38), ("shufflenet", 1536 * 1000 + 1000, 3.51), ("darknet19", 0, 20.55)],
)
def test_published_parameters(backbone, classifier, published):
    with torch.device("meta"):
        network = build(backbone)
    assert round((parameters(network) + classifier) / 1e6, 2) == published


@torch.no_grad()
def test_mobilenet_takes_torchvisions_weights():
    torch.manual_seed(1)
    theirs = torchvision.models.mobilenet_v2(weights=None).eval()
    ours = build("mobilenetv2").backbone.eval()
    missing, surplus = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert (missing, surplus) == ([], ["classifier.1.weight", "classifier.1.bias"])
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(ours(x)[1], theirs.features(x))


@pytest.mark.parametrize("size", [224, 225])
def test_output_sizes_of_shufflenets_table_1(size):
    with torch.device("meta"):
        network = build("shufflenet").backbone
    found = sizes(network, ["conv1", "maxpool", "stage2", "stage3", "stage4"], size, size)
    odd = size % 2  # rounded up at each halving
    expected = {"conv1": (24, 112), "maxpool": (24, 56), "stage2": (384, 28), "stage3": (768, 14), "stage4": (1536, 7)}
    assert found == {name: (c, side + odd, side + odd) for name, (c, side) in expected.items()}


def test_units_of_shufflenet():
    with torch.device("meta"):
        network = build("shufflenet").backbone
    stages = (network.stage2, network.stage3, network.stage4)
    assert [len(stage) for stage in stages] == [1 + 3, 1 + 7, 1 + 3]
    assert [[unit.stride for unit in stage].count(2) for stage in stages] == [1, 1, 1]
    units = [unit for stage in stages for unit in stage]
    assert [unit.compress[0].groups for unit in units] == [1] + 15 * [8]
    assert {unit.expand[0].groups for unit in units} == {8}
    assert len(convolutions(network)) == 1 + 3 * 16


def test_shuffle_gives_every_group_channels_of_all_groups():
    x = torch.arange(8 * 12).view(1, 96, 1, 1)
    groups = shuffle(x).view(8, 12) // 12
    assert all(set(group.tolist()) == set(range(8)) for group in groups)
    assert torch.equal(shuffle(x).flatten()[:9], torch.tensor([0, 12, 24, 36, 48, 60, 72, 84, 1]))


@torch.no_grad()
def test_shortcuts_of_shufflenet_units():
    x = torch.randn(1, 32, 9, 9)
    for stride, outputs in ((1, 32), (2, 64)):
        unit = ShuffleNetUnit(32, outputs, nn.BatchNorm2d, stride=stride).eval()
        nn.init.zeros_(unit.expand[1].weight)  # the residual contributes nothing
        output = unit(x)
        if stride == 1:
            assert torch.equal(output, x.relu())
        else:
            windows = F.pad(x, (1, 1, 1, 1)).unfold(2, 3, 2).unfold(3, 3, 2)
            torch.testing.assert_close(output[:, :32], windows.mean(dim=(4, 5)).relu())
            assert output.shape == (1, 64, 5, 5)
            assert torch.count_nonzero(output[:, 32:]) == 0


def test_convolutions_of_darknet():
    with torch.device("meta"):
        network = build("darknet19").backbone
    found = [(conv.kernel_size[0], conv.in_channels, conv.out_channels) for conv in convolutions(network)]
    assert found == DARKNET19
    assert {conv.dilation for conv in convolutions(network.stage6) if conv.kernel_size == (3, 3)} == {(2, 2)}
    assert sum(conv.dilation == (2, 2) for conv in convolutions(network)) == 3
    slopes = [m.negative_slope for m in network.modules() if isinstance(m, nn.LeakyReLU)]
    assert slopes == [0.1] * 18


def test_borders_of_darknet_grow_and_shrink_to_the_output_stride():
    with torch.device("meta"):
        network = build("darknet19").backbone
    names = [f"{stage}.{i}" for stage in ("stage5", "stage6") for i in range(5)]
    heights = [height for _, height, _ in sizes(network, names, 512, 1024).values()]
    assert heights == [32, 34, 34, 36, 36, 34, 36, 34, 34, 32]


# The published cost


def operations(network, height, width):
    """What the authors' counter counts (utils/flops_counter.py in github.com/tahaemara/LiteSeg).

    A kernel of k x k taps is k^2 multiplications and k^2 - 1 additions; the additions over the input channels are
    left out. Normalisation is 2 an element, an activation module or pooling module 1, as is a bias.
    """
    total = 0

    def note(module, inputs, output):
        nonlocal total
        if isinstance(module, nn.Conv2d):
            taps = math.prod(module.kernel_size)
            kernels = module.in_channels * module.out_channels // module.groups
            biases = 0 if module.bias is None else module.out_channels
            total += ((2 * taps - 1) * kernels + biases) * math.prod(output.shape[2:])
        elif isinstance(module, nn.BatchNorm2d):
            total += 2 * inputs[0].numel()
        elif isinstance(module, nn.ReLU | nn.ReLU6 | nn.LeakyReLU | nn.MaxPool2d):
            total += inputs[0].numel()

    for module in network.modules():
        module.register_forward_hook(note)
    network(image(height, width))
    return total


# The README prints 4.9, 103.09 and, for ShuffleNet, 2.75; with two digits swapped that is what comes out.
@pytest.mark.parametrize(("backbone", "giga"), [("mobilenetv2", 4.90), ("shufflenet", 2.57), ("darknet19", 103.09)])
def test_published_operations(backbone, giga):
    with torch.device("meta"):
        network = build(backbone).eval()
    assert round(operations(network, 512, 1024) / 1e9, 2) == giga
