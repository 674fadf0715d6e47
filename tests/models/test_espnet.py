"""ESPNet against its paper: every expectation below is computed from Figures 1 and 4 and the text of section 3."""

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

from benchmark.configs import compose
from benchmark.models.layers.espnet import ESP, batch_norm

CLASSES = 11
VARIANTS = ["espnet-a", "espnet-b", "espnet-c", "espnet"]


def build(name="espnet", classes=CLASSES, **options):
    torch.manual_seed(0)
    return MODELS.build(compose.model_config(name, classes=classes, options=options))


@pytest.fixture(scope="module")
def network():
    return build().eval()


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def logits(network, image):
    return network.decode_head(network.backbone(image))


# The structure

# Figure 4: channels of the three levels and of the logits, and their heights for an image of 512 rows
LEVELS = {
    "espnet-a": [(16, 256), (64, 128), (128, 64), (CLASSES, 64)],
    "espnet-b": [(16, 256), (128, 128), (256, 64), (CLASSES, 64)],
    "espnet-c": [(19, 256), (131, 128), (256, 64), (CLASSES, 64)],
    "espnet": [(19, 256), (131, 128), (256, 64), (CLASSES, 512)],
}


@pytest.mark.parametrize("name", VARIANTS)
def test_levels_of_figure_4(name):
    with torch.device("meta"):
        network = build(name)
        image = torch.empty(1, 3, 512, 1024)
    *_, level1, level2, level3 = network.backbone(image)
    found = [tuple(x.shape[1:]) for x in (level1, level2, level3, logits(network, image))]
    assert found == [(channels, height, 2 * height) for channels, height in LEVELS[name]]


def esp(inputs, outputs, kernel=1):
    """Parameters of an ESP module: reduction, five dilated convolutions, normalisation, slopes."""
    n = outputs // 5
    first = outputs - 4 * n
    return kernel**2 * inputs * n + 9 * n * first + 4 * 9 * n * n + 3 * outputs


def plain(width1, width2, width3, classes):
    """Parameters of the path that A, B and C share, by the channels into level 2, level 3 and the classifier."""
    level1 = 9 * 3 * 16 + 3 * 16
    level2 = esp(width1, 64, kernel=3) + 2 * esp(64, 64)
    level3 = esp(width2, 128, kernel=3) + 8 * esp(128, 128)
    return level1 + level2 + level3 + width3 * classes


def decoder(classes, skip=19):
    """Parameters of the decoder beside the pointwise convolution of level 3, which is the encoder's classifier."""
    upsampling = 3 * 4 * classes**2
    level2 = 131 * classes + 3 * 2 * classes + esp(2 * classes, classes) + 3 * classes
    level1 = 9 * (skip + classes) * classes + 3 * classes
    return 2 * classes + upsampling + level2 + level1


def expected(name, classes):
    """With 3 parameters a channel (scale, shift, slope) behind each concatenation."""
    if name == "espnet-a":
        return plain(16, 64, 128, classes)
    if name == "espnet-b":
        return plain(16, 128, 256, classes) + 3 * (128 + 256)
    reinforced = plain(19, 131, 256, classes) + 3 * (19 + 131 + 256)
    return reinforced + (decoder(classes) if name == "espnet" else 0)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("classes", [11, 19, 20])
def test_parameters(name, classes):
    with torch.device("meta"):
        assert parameters(build(name, classes)) == expected(name, classes)


@pytest.mark.parametrize(
    ("name", "classes", "count"),
    [("espnet", 12, 354_517), ("espnet", 20, 365_109), ("espnet", 19, 363_462), ("espnet-c", 20, 349_449)],
)
def test_parameters_of_the_authors_code(name, classes, count):
    assert expected(name, classes) == count


@pytest.mark.parametrize(("q", "less"), [(3, 5), (5, 3), (8, 0)])
def test_depth_is_an_option(q, less):
    with torch.device("meta"):
        network = build("espnet-c", 20, backbone={"q": q})
    assert parameters(network) == expected("espnet-c", 20) - less * esp(128, 128)


def test_last_skip_is_an_option():
    with torch.device("meta"):
        network = build("espnet", 20, decode_head={"skip_channels": 16})
    assert parameters(network) == expected("espnet", 20) - 9 * 3 * 20
    with pytest.raises(ValueError, match="16 or 19, not 17"):
        build(decode_head={"skip_channels": 17})


def test_number_of_convolutions(network):
    modules = 2 * 1 + 2 + 8 + 1  # strided, levels 2 and 3, decoder
    expected = 1 + 6 * modules + 2 + 1 + 3  # conv-3, 6 a module, two pointwise, conv-3, three transposed
    found = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(found) == expected == 85
    assert [m for m in found if m.bias is not None] == []


def test_every_module_is_a_pyramid_of_dilations(network):
    modules = [m for m in network.modules() if isinstance(m, ESP)]
    assert len(modules) == 13
    for module in modules:
        assert [conv.dilation for conv in module.transform] == [(2**k, 2**k) for k in range(5)]
        assert {conv.kernel_size for conv in module.transform} == {(3, 3)}


def test_strided_modules_reduce_with_3x3_and_add_nothing(network):
    modules = {name: m for name, m in network.named_modules() if isinstance(m, ESP)}
    strided = {name for name, m in modules.items() if m.reduce.stride == (2, 2)}
    assert strided == {"backbone.level2_strided", "backbone.level3_strided"}
    assert {name for name, m in modules.items() if m.reduce.kernel_size == (3, 3)} == strided
    assert {name for name, m in modules.items() if not m.residual} == strided | {"decode_head.esp2"}


def test_normalisation_and_activation(network):
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    slopes = [m for m in network.modules() if isinstance(m, nn.PReLU)]
    assert {m.eps for m in norms} == {1e-3}
    assert [m.num_parameters for m in slopes] == [m.num_features for m in norms if m is not network.decode_head.norm3]
    assert {slope.item() for m in slopes for slope in m.weight.detach().unique()} == {0.25}


def test_initial_weights_of_2018(network):
    """PyTorch 0.3: weights in +-1/sqrt(fan-in), scales of batch normalisation in [0, 1]."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):  # of transposed ones, inputs and outputs are as many
            bound = (module.in_channels * module.weight[0, 0].numel()) ** -0.5
            assert 0.5 * bound < module.weight.abs().max() <= bound
    scales = torch.cat([m.weight for m in network.modules() if isinstance(m, nn.BatchNorm2d)])
    assert abs(scales.mean() - 1 / 2) < 0.02
    assert abs(scales.var() - 1 / 12) < 0.01
    assert all((m.bias == 0).all() for m in network.modules() if isinstance(m, nn.BatchNorm2d))


# What the blocks compute


def module(inputs, outputs, stride=1):
    """An ESP module whose normalisation and activation do nothing."""
    torch.manual_seed(0)
    built = ESP(inputs, outputs, batch_norm({"type": "BN", "eps": 0}), stride).eval()
    nn.init.ones_(built.norm.weight)
    nn.init.ones_(built.act.weight)
    return built


@torch.no_grad()
def test_merging_is_hierarchical_and_leaves_out_dilation_1():
    block = module(9, 64)
    x = torch.randn(2, 9, 12, 10)
    first, *rest = (conv(block.reduce(x)) for conv in block.transform)
    parts = block(x).split([16, 12, 12, 12, 12], dim=1)
    assert torch.equal(parts[0], first)
    for k in range(4):
        assert torch.allclose(parts[k + 1], torch.stack(rest[: k + 1]).sum(0), atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize(("inputs", "stride", "residual"), [(64, 1, True), (63, 1, False), (64, 2, False)])
def test_input_is_added_where_the_shape_stays(inputs, stride, residual):
    block = module(inputs, 64, stride)
    for conv in block.transform:
        nn.init.zeros_(conv.weight)
    x = torch.randn(1, inputs, 8, 8)
    assert torch.equal(block(x), x if residual else torch.zeros(1, 64, 8 // stride, 8 // stride))


def test_receptive_field_of_a_module():
    """(n - 1) 2^(K-1) + 1 pixels for n = 3 and K = 5 (section 3): 33."""
    block = module(5, 5)
    x = torch.zeros(1, 5, 61, 61, requires_grad=True)
    block(x)[0, :, 30, 30].sum().backward()
    rows = x.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    assert rows.max() - rows.min() + 1 == 33


def test_too_few_classes_for_a_module():
    with pytest.raises(ValueError, match="at least 5 output channels, not 4"):
        build(classes=4)


@torch.no_grad()
def test_image_is_averaged_down_by_3x3_windows():
    """They are the last channels of level 1; zeros beyond the border count."""
    reinforced = build("espnet-c").eval()
    norm = reinforced.backbone.concat1.norm
    norm.eps = 0
    nn.init.ones_(norm.weight)
    nn.init.ones_(reinforced.backbone.concat1.act.weight)
    level1 = reinforced.backbone(torch.ones(1, 3, 16, 16))[2]
    assert torch.allclose(level1[:, 16:, 1:, 1:], torch.ones(1, 3, 7, 7))
    assert torch.allclose(level1[:, 16:, 0, 0], torch.full((1, 3), 4 / 9))


@torch.no_grad()
@pytest.mark.parametrize(("channels", "index"), [(16, 1), (19, 2)])
def test_last_skip_is_the_one_of_that_width(channels, index):
    network = build(decode_head={"skip_channels": channels}).eval()
    maps = list(network.backbone(torch.randn(1, 3, 32, 32)))
    before = network.decode_head(maps)
    for other in (1, 2):
        changed = maps.copy()
        changed[other] = torch.zeros_like(maps[other])
        assert torch.equal(network.decode_head(changed), before) == (other != index)


# The network as a whole


@torch.no_grad()
@pytest.mark.parametrize("size", [(360, 480), (353, 467), (33, 50), (9, 8)])
def test_ends_at_full_size(network, size):
    assert logits(network, torch.randn(1, 3, *size)).shape == (1, CLASSES, *size)


@pytest.mark.parametrize("name", VARIANTS)
def test_training_moves_every_parameter_and_lowers_the_loss(name):
    network = build(name).train()
    before = {key: p.detach().clone() for key, p in network.named_parameters()}
    image = torch.randn(2, 3, 64, 64)
    label = (image[:, :1] > 0).long() + 2 * (image[:, 1:2] > 0).long()
    samples = [SegDataSample(gt_sem_seg=PixelData(data=each)) for each in label]
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-2)
    history = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = network.loss(image, samples)["decode.loss_ce"]
        loss.backward()
        history.append(loss.item())
        optimizer.step()
        if len(history) == 2:
            assert [key for key, p in network.named_parameters() if torch.equal(p, before[key])] == []
    assert history[-1] < 0.9 * history[0]
