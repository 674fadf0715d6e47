"""U-Net against its paper: expectations come from Figures 1 and 2 and sections 2 and 3 of arXiv 1505.04597."""

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

from benchmark.configs import compose
from benchmark.models.backbones.overlap_tile import OverlapTileUNet
from benchmark.models.layers.unet import BORDER, OVERLAP, STRIDE, FigureOne

CLASSES = 11
WIDTHS = [64, 128, 256, 512, 1024]

# Figure 1: channels and size after each unpadded 3x3 convolution, on the way down and on the way up
FIGURE_1_DOWN = [
    [(64, 570), (64, 568)],
    [(128, 282), (128, 280)],
    [(256, 138), (256, 136)],
    [(512, 66), (512, 64)],
    [(1024, 30), (1024, 28)],
]
FIGURE_1_UP = [
    [(512, 54), (512, 52)],
    [(256, 102), (256, 100)],
    [(128, 198), (128, 196)],
    [(64, 390), (64, 388)],
]


def build(channels=64, classes=CLASSES, **options):
    torch.manual_seed(0)
    config = compose.model_config("unet", classes=classes)
    config["backbone"].update(channels=channels, **options)
    config["decode_head"].update(in_channels=channels, channels=channels)
    return MODELS.build(config)


def initialised(**options):
    network = build(**options)
    network.init_weights()
    return network


@pytest.fixture(scope="module")
def paper():
    with torch.device("meta"):
        return build().eval()


@pytest.fixture(scope="module")
def thin():
    """A network thin enough to be run at the sizes that matter, in double precision."""
    return OverlapTileUNet(channels=4).double().eval()


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def logits(network, image):
    return network.decode_head(network.backbone(image))


# The structure


def test_23_convolutional_layers(paper):
    layers = [m for m in paper.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    kinds = [(type(m), m.kernel_size[0], m.stride[0], m.padding[0]) for m in layers]
    assert len(layers) == 23
    assert kinds.count((nn.Conv2d, 3, 1, 0)) == 2 * 9
    assert kinds.count((nn.ConvTranspose2d, 2, 2, 0)) == 4
    assert kinds.count((nn.Conv2d, 1, 1, 0)) == 1
    assert all(m.bias is not None for m in layers)
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in paper.modules())


def test_sizes_of_figure_1(paper):
    sizes = {}

    def note(name):
        return lambda module, inputs, output: sizes.update({name: (output.shape[1], output.shape[2])})

    network = paper.backbone.network
    handles = [
        m.register_forward_hook(note(name))
        for name, m in network.named_modules()
        if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)
    ]
    output = network(torch.empty(1, 3, 572, 572, device="meta"))
    for handle in handles:
        handle.remove()
    assert output.shape == (1, 64, 388, 388)
    assert paper.decode_head((output,)).shape == (1, CLASSES, 388, 388)
    assert [[sizes[f"down.{i}.{c}"] for c in (0, 2)] for i in range(5)] == FIGURE_1_DOWN
    assert [sizes[f"up_conv.{i}"] for i in range(4)] == [(512, 56), (256, 104), (128, 200), (64, 392)]
    assert [[sizes[f"up.{i}.{c}"] for c in (0, 2)] for i in range(4)] == FIGURE_1_UP


def block(inputs, outputs):
    """Two 3x3 convolutions with biases."""
    return 9 * inputs * outputs + outputs + 9 * outputs * outputs + outputs


PARAMETERS = {
    **{f"backbone.network.down.{i}": block(c, d) for i, (c, d) in enumerate(zip([3, *WIDTHS], WIDTHS, strict=False))},
    **{f"backbone.network.up_conv.{i}": 4 * 2 * d * d + d for i, d in enumerate(WIDTHS[3::-1])},
    **{f"backbone.network.up.{i}": block(2 * d, d) for i, d in enumerate(WIDTHS[3::-1])},
    "decode_head.conv_seg": 64 * CLASSES + CLASSES,
}


def test_parameters_of_every_block(paper):
    assert {name: parameters(paper.get_submodule(name)) for name in PARAMETERS} == PARAMETERS
    assert parameters(paper) == sum(PARAMETERS.values()) == 31_032_395


def test_parameters_of_independent_implementations():
    """31,030,658 with one grey channel and two classes; three channels are 2 * 9 * 64 weights more."""
    with torch.device("meta"):
        assert parameters(build(classes=2)) == 31_030_658 + 2 * 9 * 64


def test_up_convolution_then_crop_and_concatenation():
    """Up-convolved maps come first and pass no ReLU; the copies are the centres of the maps on the way down."""
    network = FigureOne(4, dropout=0.5).eval()
    outputs, inputs = {}, {}

    def note(name):
        def hook(module, arguments, output):
            inputs[name], outputs[name] = arguments[0].clone(), output.clone()

        return hook

    for name, module in network.named_modules():
        module.register_forward_hook(note(name))
    network(torch.randn(1, 3, 188, 204))
    for step in range(4):
        up_convolved, copied = inputs[f"up.{step}"].chunk(2, dim=1)
        assert torch.equal(up_convolved, outputs[f"up_conv.{step}"])
        assert (up_convolved < 0).any()
        whole = outputs[f"down.{3 - step}"]
        margins = [(a - b) // 2 for a, b in zip(whole.shape[-2:], copied.shape[-2:], strict=True)]
        assert margins == [[4, 4], [16, 16], [40, 40], [88, 88]][step]  # Figure 1: 64 - 56, 136 - 104, 280 - 200, ...
        top, left = margins
        assert torch.equal(copied, whole[..., top:-top, left:-left])


def test_dropout_at_the_end_of_the_contracting_path():
    network = FigureOne(4, dropout=0.5).train()
    dropped, bottom, concatenated = [], [], []

    def keep(module, arguments, output):
        dropped.append(output.clone())

    network.dropout.register_forward_hook(keep)
    network.up_conv[0].register_forward_pre_hook(lambda module, arguments: bottom.append(arguments[0].clone()))
    network.up[0].register_forward_pre_hook(lambda module, arguments: concatenated.append(arguments[0].clone()))
    network(torch.randn(1, 3, 188, 188))
    assert [map_.shape[1] for map_ in dropped] == [32, 64]  # 512 and 1024 of a network 16 times as wide
    assert torch.equal(bottom[0], dropped[1])
    assert torch.equal(concatenated[0][:, 32:], dropped[0][..., 4:-4, 4:-4])


def test_initial_weights():
    """Section 3: standard deviation sqrt(2 / N); a 3x3 convolution of 64 channels has N = 9 * 64 = 576."""
    network = initialised()
    expected = {
        "backbone.network.down.0.2": 9 * 64,
        "backbone.network.down.4.2": 9 * 1024,
        "backbone.network.up.3.0": 9 * 128,
        "backbone.network.up_conv.0": 4 * 512,
        "decode_head.conv_seg": 64,
    }
    for name, n in expected.items():
        layer = network.get_submodule(name)
        tolerance = 4 / (2 * layer.weight.numel()) ** 0.5  # four standard errors
        assert layer.weight.std().item() == pytest.approx((2 / n) ** 0.5, rel=tolerance)
    assert all(torch.count_nonzero(p) == 0 for name, p in network.named_parameters() if name.endswith("bias"))


# Mirrored borders and tiles


def test_border_and_grid_follow_from_the_layers():
    """Sizes through the unpadded network, from the bottom outwards."""
    network = FigureOne(1, 0.0)
    for bottom in range(8, 12):  # pixels that enter the lowest level
        entering, leaving = bottom, bottom - 4
        for _ in range(4):
            entering, leaving = 2 * entering + 4, 2 * leaving - 4
        assert entering - leaving == 2 * BORDER
        assert leaving % STRIDE == OVERLAP
        assert network(torch.rand(1, 3, entering, entering)).shape == (1, 1, leaving, leaving)


@torch.no_grad()
@pytest.mark.parametrize("size", [(64, 64), (32, 32), (17, 40), (2, 3), (1, 1), (100, 21)])
def test_every_pixel_sees_the_mirrored_image(thin, size):
    """Against numpy's mirroring, which repeats where the border exceeds the image and never repeats a border pixel."""
    image = torch.randn(1, 3, *size, dtype=torch.float64)
    after = [BORDER + 16 + (4 - side) % 16 for side in size]  # more than needed, and the poolings meet even sizes
    padded = np.pad(image.numpy(), ((0, 0), (0, 0), *((BORDER, pixels) for pixels in after)), mode="reflect")
    expected = thin.network(torch.from_numpy(padded))[..., : size[0], : size[1]]
    (output,) = thin(image)
    assert output.shape == (1, 4, *size)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)


@pytest.fixture
def calls(thin):
    """Sizes of the inputs that the network meets."""
    seen = []
    handle = thin.network.register_forward_hook(lambda m, i, o: seen.append(tuple(i[0].shape[-2:])))
    yield seen
    handle.remove()


@torch.no_grad()
@pytest.mark.parametrize("tile", [20, 60, 84, 91])
@pytest.mark.parametrize("size", [(85, 133), (84, 97)])
def test_result_does_not_depend_on_the_tiles(thin, calls, monkeypatch, tile, size):
    image = torch.randn(1, 3, *size, dtype=torch.float64)
    (whole,) = thin(image)
    assert len(calls) == 1
    calls.clear()
    monkeypatch.setattr(thin, "tile", tile)
    (tiled,) = thin(image)
    assert len(calls) > 1
    assert max(map(max, calls)) <= tile + 2 * BORDER
    assert len(set(calls)) == 1
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-12)


@torch.no_grad()
def test_tiles_off_the_grid_would_not_agree(thin):
    """Why tiles begin at multiples of 16 pixels: elsewhere other pixels are pooled together."""
    image = torch.randn(1, 3, 252, 252, dtype=torch.float64)
    whole = thin.network(image)
    for shift, equal in ((16, True), (8, False)):
        shifted = thin.network(image[..., shift : shift + 220, :220])
        assert torch.allclose(shifted, whole[..., shift : shift + 36, :36], rtol=0, atol=1e-12) is equal


def test_training_is_not_divided(thin, calls, monkeypatch):
    monkeypatch.setattr(thin, "tile", 20)
    thin.train()
    thin(torch.randn(1, 3, 40, 50, dtype=torch.float64))
    thin.eval()
    assert calls == [(52 + 184, 52 + 184)]


@pytest.mark.parametrize(
    ("size", "inputs"),
    [((360, 480), [(556, 668)]), ((512, 1024), [(700, 1212)]), ((1024, 2048), [(1212, 1212)] * 2)],
)
def test_tiles_of_the_default_side(paper, size, inputs):
    seen = []
    handle = paper.backbone.network.register_forward_hook(lambda m, i, o: seen.append(tuple(i[0].shape[-2:])))
    (output,) = paper.backbone(torch.empty(1, 3, *size, device="meta"))
    handle.remove()
    assert output.shape == (1, 64, *size)
    assert seen == inputs


def test_a_tile_too_small_is_refused():
    with pytest.raises(ValueError, match="at least 20"):
        OverlapTileUNet(tile=19)


# The network as a whole


def batch(size, images):
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(images, 3, *size, generator=generator)
    label = (image[:, :1] > 0).long() + 2 * (image[:, 1:2] > 0).long()
    return image, [SegDataSample(gt_sem_seg=PixelData(data=each)) for each in label]


def test_two_steps_move_every_parameter():
    network = initialised(channels=8).train()
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.99)
    for _ in range(2):
        optimizer.zero_grad()
        loss = sum(value for name, value in network.loss(*batch((20, 36), 2)).items() if "loss" in name)
        loss.backward()
        assert loss.isfinite()
        assert all(p.grad is not None and torch.count_nonzero(p.grad) for p in network.parameters())
        optimizer.step()
    assert [name for name, p in network.named_parameters() if torch.equal(p, before[name])] == []


@torch.no_grad()
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tile", [1028, 36])
def test_traces(tile):
    network = build(channels=4, tile=tile).eval()
    traced = torch.jit.trace(network, torch.randn(1, 3, 35, 45))
    image = torch.randn(1, 3, 35, 45)
    assert torch.equal(traced(image), network(image))


@torch.no_grad()
def test_scores_do_not_depend_on_the_rest_of_the_batch():
    network = build(channels=4).eval()
    images = torch.randn(2, 3, 32, 32)
    alone = torch.cat([logits(network, image[None]) for image in images])
    assert torch.allclose(logits(network, images), alone, atol=1e-5)
