"""DeepLab v1 LargeFOV against its paper, arXiv 1412.7062."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

from benchmark.configs import compose

CLASSES = 5


def build(classes=CLASSES):
    torch.manual_seed(0)
    return MODELS.build(compose.model_config("deeplabv1-largefov_vgg16", classes=classes))


@pytest.fixture(scope="module")
def network():
    return build().eval()


@pytest.fixture(scope="module")
def skeleton():
    with torch.device("meta"):
        return build().eval()


def convolutions(network):
    return [m for m in network.modules() if isinstance(m, nn.Conv2d)]


# The structure


def conv(inputs, outputs, kernel):
    return inputs * outputs * kernel**2 + outputs


def test_parameters():
    with torch.device("meta"):
        network = build(classes=21)
    widths = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    vgg16 = sum(conv(i, o, 3) for i, o in pairwise(widths))
    expected = vgg16 + conv(512, 1024, 3) + conv(1024, 1024, 1) + conv(1024, 21, 1)
    assert sum(p.numel() for p in network.parameters()) == expected
    assert round(expected / 1e6, 1) == 20.5  # Table 2


def test_dilations(skeleton):
    found = [m.dilation[0] for m in convolutions(skeleton)]
    assert found == 10 * [1] + 3 * [2] + [12, 1, 1]  # conv1 to conv4, conv5, fc6, fc7, fc8


def test_poolings(skeleton):
    pools = [m for m in skeleton.modules() if isinstance(m, nn.MaxPool2d | nn.AvgPool2d)]
    assert [(type(m), m.kernel_size, m.stride) for m in pools] == [
        *(3 * [(nn.MaxPool2d, 3, 2)]),
        *(2 * [(nn.MaxPool2d, 3, 1)]),
        (nn.AvgPool2d, 3, 1),
    ]


@pytest.mark.parametrize(("size", "scores"), [(306, 39), (321, 41), (513, 65)])
def test_output_stride_is_8(skeleton, size, scores):
    """306 -> 39 is the paper's (section 3.2), 321 and 513 are the crops of the authors' training and testing."""
    assert skeleton(torch.empty(1, 3, size, size, device="meta")).shape == (1, CLASSES, scores, scores)


@pytest.mark.parametrize(("kernel", "dilation", "published"), [(7, 4, 224), (4, 4, 128), (4, 8, 224), (3, 12, 224)])
def test_receptive_field_of_table_2(skeleton, kernel, dilation, published):
    """Table 2 counts the distance between the outermost weights of fc6, and the 32 pixels of VGG16's five poolings."""

    def receptive_field(kernel, dilation, stride):
        return (kernel - 1) * dilation * stride + 32

    assert receptive_field(7, 1, 32) == 224  # VGG16 itself
    assert receptive_field(kernel, dilation, 8) == published
    fc6 = convolutions(skeleton)[13]
    stride = 8 * (513 - 1) // 512
    assert receptive_field(fc6.kernel_size[0], fc6.dilation[0], stride) == 224


@torch.no_grad()
def test_fc6_sees_nine_places_12_apart(network):
    fc6 = network.backbone.branches[0][0]
    pool5 = torch.zeros(1, 512, 31, 31)
    pool5[..., 15, 15] = 1
    seen = (fc6(pool5) != fc6(torch.zeros_like(pool5))).any(dim=1)[0].nonzero()
    assert seen.tolist() == [[row, column] for row in (3, 15, 27) for column in (3, 15, 27)]


def test_score_i_is_centred_on_pixel_8i(skeleton):
    step, start = 1, 0.0
    for layer in skeleton.modules():
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            kernel, stride, padding, dilation = (
                value if isinstance(value, int) else value[0]
                for value in (layer.kernel_size, layer.stride, layer.padding, getattr(layer, "dilation", 1))
            )
            start += step * ((kernel - 1) * dilation / 2 - padding)
            step *= stride
    assert (step, start) == (8, 0)


def test_scores_start_small(network):
    (fc8,) = network.decode_head.conv_seg
    assert fc8.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert not fc8.bias.any()


# Loss and interpolation


def samples(label):
    return [SegDataSample(gt_sem_seg=PixelData(data=each)) for each in label]


@pytest.mark.parametrize("size", [(33, 41), (36, 48)])
def test_loss_is_taken_at_every_eighth_pixel(network, size):
    height, width = (-(-side // 8) for side in size)
    label = torch.randint(CLASSES, (2, 1, *size))
    label[:, :, 8] = 255
    scores = torch.randn(2, CLASSES, height, width)
    found = network.decode_head.loss_by_feat(scores, samples(label))["loss_ce"]
    terms = [
        F.cross_entropy(scores[n, :, i, j], label[n, 0, 8 * i, 8 * j]) if i != 1 else torch.zeros(())
        for n in range(2)
        for i in range(height)
        for j in range(width)
    ]
    assert torch.allclose(found, torch.stack(terms).mean())


@pytest.mark.parametrize("size", [(33, 41), (36, 48), (40, 34)])
def test_scores_are_interpolated_by_8(network, size):
    height, width = (-(-side // 8) for side in size)
    rows, columns = torch.arange(height).float(), torch.arange(width).float()
    scores = (rows[:, None] + 10 * columns).repeat(1, CLASSES, 1, 1)
    found = network.decode_head.predict_by_feat(scores, [{"img_shape": size}])
    assert found.shape == (1, CLASSES, *size)
    down, right = (
        (torch.arange(side) / 8).clamp(max=last - 1) for side, last in zip(size, (height, width), strict=True)
    )
    assert torch.allclose(found[0, 0], down[:, None] + 10 * right, atol=1e-4)


def test_scores_of_a_window_have_its_size(network):
    meta = {"img_shape": torch.Size((24, 32)), "pad_shape": (96, 96)}
    assert network.decode_head.predict_by_feat(torch.randn(1, CLASSES, 3, 4), [meta]).shape[-2:] == (24, 32)


def test_training_moves_every_parameter():
    network = build().train()
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    image, label = torch.randn(2, 3, 32, 32), torch.randint(CLASSES, (2, 1, 32, 32))
    for _ in range(2):
        optimizer.zero_grad()
        network.loss(image, samples(label))["decode.loss_ce"].backward()
        optimizer.step()
    assert [name for name, p in network.named_parameters() if torch.equal(p, before[name])] == []
