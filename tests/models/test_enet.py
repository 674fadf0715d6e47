"""ENet against its paper: every expectation below is computed from Table 1, Figure 2 and the text of section 3."""

import copy
import io

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

from benchmark.configs import compose
from benchmark.models.layers.enet import DownsamplingBottleneck, UpsamplingBottleneck, batch_norm

CLASSES = 11

# Table 1: module here, channels and height (= width) of the output for a 512x512 image
TABLE_1 = {
    "backbone.initial": (16, 256),
    "backbone.bottleneck1_0": (64, 128),
    "backbone.stage1": (64, 128),
    "backbone.bottleneck2_0": (128, 64),
    "backbone.stage2": (128, 64),
    "backbone.stage3": (128, 64),
    "decode_head.bottleneck4_0": (64, 128),
    "decode_head.stage4": (64, 128),
    "decode_head.bottleneck5_0": (16, 256),
    "decode_head.stage5": (16, 256),
    "decode_head": (CLASSES, 512),
}


def build(classes=CLASSES):
    torch.manual_seed(0)
    return MODELS.build(compose.model_config("enet", classes=classes))


@pytest.fixture(scope="module")
def network():
    return build().eval()


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def logits(network, image):
    return network.decode_head(network.backbone(image))


# The structure


def test_output_sizes_of_table_1():
    with torch.device("meta"):
        network = build()
    sizes = {}

    def note(name):
        def hook(module, inputs, output):
            output = output[0] if isinstance(output, tuple) else output
            sizes[name] = tuple(output.shape[1:])

        return hook

    for name in TABLE_1:
        network.get_submodule(name).register_forward_hook(note(name))
    logits(network, torch.empty(1, 3, 512, 512, device="meta"))
    assert sizes == {name: (channels, size, size) for name, (channels, size) in TABLE_1.items()}


def extension(inputs, outputs, *, projection=1, conv="3x3", prelu=True):
    """Parameters of a bottleneck's extension, by Figure 2b: internal width a quarter of the output's."""
    n = outputs // 4
    weights = {"3x3": 9 * n * n + n, "5x1, 1x5": 2 * 5 * n * n + n}[conv]  # one bias, in the last convolution
    slopes = 2 * n if prelu else 0
    return projection**2 * inputs * n + 2 * n + weights + 2 * n + slopes + n * outputs + 2 * outputs


def regular(channels, conv="3x3", prelu=True):
    return extension(channels, channels, conv=conv, prelu=prelu) + (channels if prelu else 0)


SECTION_2 = [regular(128, conv="5x1, 1x5" if i in (3, 7) else "3x3") for i in range(1, 9)]
PARAMETERS = {
    "backbone.initial": 13 * 3 * 9 + 13 + 2 * 16 + 16,
    "backbone.bottleneck1_0": extension(16, 64, projection=2) + 64,
    "backbone.stage1": 4 * regular(64),
    "backbone.bottleneck2_0": extension(64, 128, projection=2) + 128,
    "backbone.stage2": sum(SECTION_2),
    "backbone.stage3": sum(SECTION_2),
    "decode_head.bottleneck4_0": extension(128, 64, prelu=False) + 128 * 64 + 2 * 64,
    "decode_head.stage4": 2 * regular(64, prelu=False),
    "decode_head.bottleneck5_0": extension(64, 16, prelu=False) + 64 * 16 + 2 * 16,
    "decode_head.stage5": regular(16, prelu=False),
    "decode_head.conv_seg": 16 * CLASSES * 2 * 2 + CLASSES,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_of_a_block(network, name):
    assert parameters(network.get_submodule(name)) == PARAMETERS[name]


@pytest.mark.parametrize(("classes", "millions"), [(11, 0.3638), (12, 0.3639), (19, 0.3643), (20, 0.3644)])
def test_parameters_of_the_authors_layer_list(classes, millions):
    assert round(parameters(build(classes)) / 1e6, 4) == millions


def test_no_parameter_is_outside_the_blocks_of_table_1(network):
    assert sum(PARAMETERS.values()) == parameters(network)


def test_number_of_convolutions(network):
    bottlenecks = 5 + 9 + 8 + 3 + 2
    expected = 1 + 3 * bottlenecks + 4 + 2 + 1  # initial, 3 a bottleneck, 4 asymmetric pairs, 2 main branches, fullconv
    assert expected == 89
    assert sum(isinstance(m, nn.Conv2d | nn.ConvTranspose2d) for m in network.modules()) == expected


@pytest.mark.parametrize("stage", ["stage2", "stage3"])
def test_kernels_and_dilations_of_section_2(network, stage):
    found = [
        [(m.kernel_size, m.dilation[0]) for m in bottleneck.modules() if isinstance(m, nn.Conv2d)][1:-1]
        for bottleneck in network.backbone.get_submodule(stage)
    ]
    asymmetric = [((1, 5), 1), ((5, 1), 1)]
    assert found == [
        [((3, 3), 1)],
        [((3, 3), 2)],
        asymmetric,
        [((3, 3), 4)],
        [((3, 3), 1)],
        [((3, 3), 8)],
        asymmetric,
        [((3, 3), 16)],
    ]


def test_projections_have_no_bias_and_the_others_do(network):
    pointwise, spatial = [], []
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            downsampling = module.kernel_size == (2, 2) and isinstance(module, nn.Conv2d)
            (pointwise if module.kernel_size == (1, 1) or downsampling else spatial).append(module)
    assert all(module.bias is None for module in pointwise)
    assert [m.kernel_size for m in spatial if m.bias is None] == [(1, 5)] * 4  # the first of each asymmetric pair


def test_normalisation_activation_and_regulariser(network):
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {m.eps for m in norms} == {1e-3}
    assert len(norms) == 1 + 3 * 27 + 2  # the initial block, 3 a bottleneck, the decoder's 2 main branches

    activations = {
        part: {type(m) for m in network.get_submodule(part).modules() if isinstance(m, nn.PReLU | nn.ReLU)}
        for part in ("backbone", "decode_head")
    }
    assert activations == {"backbone": {nn.PReLU}, "decode_head": {nn.ReLU}}
    assert all(m.num_parameters > 1 for m in network.modules() if isinstance(m, nn.PReLU))

    dropouts = [m.p for m in network.modules() if isinstance(m, nn.Dropout2d)]
    assert dropouts == [0.01] * 5 + [0.1] * 17


# What the blocks compute


def silence(bottleneck):
    """Make the extension contribute nothing."""
    last = [m for m in bottleneck.extension if isinstance(m, nn.BatchNorm2d)][-1]
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)


def test_main_branch_of_a_downsampling_bottleneck_is_the_padded_maximum():
    block = DownsamplingBottleneck(4, 12, batch_norm({"type": "BN"}), dropout=0.1).eval()
    silence(block)
    x = torch.rand(2, 4, 6, 8)
    output, indices = block(x)
    expected = x.unfold(2, 2, 2).unfold(3, 2, 2).amax(dim=(4, 5))
    assert torch.equal(output[:, :4], expected)
    assert torch.count_nonzero(output[:, 4:]) == 0
    assert torch.equal(x.flatten(2).gather(2, indices.flatten(2)), expected.flatten(2))


def test_extension_of_a_downsampling_bottleneck_sees_an_odd_image_as_if_zeros_followed():
    block = DownsamplingBottleneck(4, 12, batch_norm({"type": "BN"}), dropout=0.1).eval()
    x = torch.rand(1, 4, 5, 7)
    assert torch.allclose(block(x)[0], block(F.pad(x, (0, 1, 0, 1)))[0])  # of positive values zeros are no maxima


@pytest.mark.parametrize("size", [(6, 8), (5, 7)])
def test_upsampling_puts_every_maximum_back_where_it_came_from(size):
    block = UpsamplingBottleneck(4, 4, batch_norm({"type": "BN", "eps": 0})).eval()
    silence(block)
    nn.init.dirac_(block.main[0].weight)
    x = torch.rand(2, 4, *size) + 0.1
    pooled, indices = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
    restored = block(pooled, indices, size)
    assert torch.equal(restored[restored > 0], x[restored > 0])
    assert torch.equal(F.max_pool2d(restored, 2, ceil_mode=True), pooled)
    assert torch.count_nonzero(restored) == pooled.numel()


def test_nothing_is_activated_between_expansion_and_sum(network):
    x = torch.randn(1, 64, 8, 8)
    assert (network.backbone.stage1[0].extension(x) < 0).any()


@torch.no_grad()
def test_decoder_uses_the_indices(network):
    initial, stage1, stage3, indices1_0, indices2_0 = network.backbone(torch.randn(1, 3, 64, 64))
    before = network.decode_head((initial, stage1, stage3, indices1_0, indices2_0))
    for moved in ((indices1_0, indices2_0.flip(-1)), (indices1_0.flip(-1), indices2_0)):
        assert not torch.equal(network.decode_head((initial, stage1, stage3, *moved)), before)


# The network as a whole


@torch.no_grad()
@pytest.mark.parametrize("size", [(360, 480), (353, 467), (33, 50), (1, 1)])
def test_any_size(network, size):
    image = torch.randn(1, 3, *size)
    raw = logits(network, image)
    assert raw.shape == (1, CLASSES, size[0] + size[0] % 2, size[1] + size[1] % 2)
    sample = network.predict(image)[0]
    assert sample.pred_sem_seg.data.shape == (1, *size)


def batch(size=(64, 64), images=4):
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(images, 3, *size, generator=generator)
    label = (image[:, :1] > 0).long() + 2 * (image[:, 1:2] > 0).long()
    return image, [SegDataSample(gt_sem_seg=PixelData(data=each)) for each in label]


def total(losses):
    return sum(value for name, value in losses.items() if "loss" in name)


def test_training_moves_every_parameter_and_lowers_the_loss():
    network = build().train()
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3, weight_decay=2e-4)
    history = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = total(network.loss(*batch()))
        loss.backward()
        history.append(loss.item())
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
        optimizer.step()
    assert [name for name, p in network.named_parameters() if torch.equal(p, before[name])] == []
    assert history[-1] < 0.8 * history[0]


def test_gradient_reaches_every_parameter():
    network = build().train()
    total(network.loss(*batch())).backward()
    silent = {name for name, p in network.named_parameters() if p.grad.abs().max() < 1e-6}
    # Batch normalisation subtracts the mean, and with it the bias of the convolution before it.
    cancelled = ("backbone.initial.conv.bias", "extension.3.bias", "extension.3.1.bias")
    assert all(name.endswith(cancelled) for name in silent)


@torch.no_grad()
def test_checkpoint_round_trip_is_bitwise(network):
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    torch.manual_seed(1)
    other = MODELS.build(compose.model_config("enet", classes=CLASSES)).eval()
    image = torch.randn(1, 3, 64, 96)
    assert not torch.equal(logits(other, image), logits(network, image))
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(logits(other, image), logits(network, image))


@torch.no_grad()
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("size", [(32, 48), (35, 45)])
def test_traces(network, size):
    traced = torch.jit.trace(network, torch.randn(1, 3, *size))
    image = torch.randn(1, 3, *size)
    assert torch.equal(traced(image), network(image))


@torch.no_grad()
def test_scores_do_not_depend_on_the_rest_of_the_batch(network):
    images = torch.randn(2, 3, 32, 32)
    alone = torch.cat([logits(copy.deepcopy(network), image[None]) for image in images])
    assert torch.allclose(logits(network, images), alone, atol=1e-5)
