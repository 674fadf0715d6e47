"""A training pass in channels_last copies no map between memory formats, and in bfloat16 none between data types."""

from collections import Counter

import pytest
import torch
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import benchmark.registration  # noqa: F401
from benchmark.configs import compose
from benchmark.engine.layout import arrange
from benchmark.engine.patches import training_patches
from benchmark.engine.precision import BFloat16OptimWrapper, Float32OptimWrapper
from benchmark.engine.step import passes

SIZE = (64, 96)
CLASSES = 11


def _tensors(*trees):
    return [leaf for leaf in tree_leaves(trees) if isinstance(leaf, torch.Tensor)]


def _format(x):
    """The memory format of a map; None where it has no format, or both."""
    if x.ndim != 4 or x.shape[1] == 1 or x.shape[2:].numel() == 1 or 0 in x.stride() or not x.is_floating_point():
        return None
    contiguous, last = x.is_contiguous(), x.is_contiguous(memory_format=torch.channels_last)
    if contiguous and last:
        return None
    return "contiguous" if contiguous else "channels_last" if last else "strided"


class Formats(TorchDispatchMode):
    """Counts, by name, operators whose operands and results have more than one memory format, or are strided."""

    def __init__(self):
        super().__init__()
        self.mixed = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        formats = {_format(x) for x in _tensors(args, kwargs, result)} - {None}
        if not function.is_view and (len(formats) > 1 or "strided" in formats):
            self.mixed[function.name().removeprefix("aten::")] += 1
        return result


class Types(TorchDispatchMode):
    """Counts operators that convert maps, or compute on maps in float32, by name and number of channels.

    What is no larger than 7x7 is a kernel, whose conversion costs little.
    """

    def __init__(self):
        super().__init__()
        self.converted, self.float32 = Counter(), Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        maps = [
            x
            for x in _tensors(args, kwargs, result)
            if x.ndim == 4 and x.is_floating_point() and x.shape[2:].numel() > 49
        ]
        name = function.name().removeprefix("aten::")
        if not function.is_view and any(x.dtype == torch.float32 for x in maps):
            kind = self.converted if name == "_to_copy" and len(maps) == 2 else self.float32
            kind[name, max(x.shape[1] for x in maps)] += 1
        return result


def _pass(architecture, wrapper, layout, watch, size=SIZE):
    torch.manual_seed(0)
    config = compose.model_config(architecture, classes=CLASSES)
    scaling = {"mean": [123.7, 116.3, 103.5], "std": [58.4, 57.1, 57.4]}
    config["data_preprocessor"] = {"type": "SegDataPreProcessor", "size": size, **scaling}
    with DefaultScope.overwrite_default_scope("mmseg"):
        network = MODELS.build(config).train()
    arrange(network, layout)
    labels = torch.randint(CLASSES, (2, *size), dtype=torch.uint8)
    batch = {"inputs": torch.randint(256, (2, 3, *size), dtype=torch.uint8), "labels": labels}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    with training_patches(), watch:
        passes(network, batch, wrapper(optimizer))
    return watch


CLEAN = [
    *("enet", "espnet", "espnet-a", "espnet-b", "espnet-c", "segnet-basic", "segnet_vgg16"),
    *("liteseg_mobilenetv2", "liteseg_shufflenet", "liteseg_darknet19", "unet", "gcn_r50"),
]


@pytest.mark.parametrize("architecture", CLEAN)
def test_no_operator_mixes_memory_formats(architecture):
    assert _pass(architecture, Float32OptimWrapper, "channels_last", Formats()).mixed == {}


@pytest.mark.parametrize("architecture", ["enet", "espnet", "segnet-basic"])
def test_nor_where_sides_are_odd(architecture):
    assert _pass(architecture, Float32OptimWrapper, "channels_last", Formats(), size=(45, 75)).mixed == {}


# What mmsegmentation's own modules concatenate, whose gradients are slices, and maps that have no format to keep.
REST = {
    "unet-s5-d16": {"threshold_backward": 4, "add.Tensor": 4},
    # The image's mean, one pixel that has both formats, is enlarged in contiguous format.
    "pspnet_r50-d8": {
        "upsample_bilinear2d_backward": 4,
        "cat": 1,
        "convolution": 1,
        "convolution_backward": 1,
        "add.Tensor": 1,
    },
    # P6 and P7 of such small images are one pixel high.
    "efficientdet-seg_d0": {"add.Tensor": 2, "mul.Tensor": 2},
}


@pytest.mark.parametrize("architecture", REST)
def test_what_other_networks_mix_is_known(architecture):
    mixed = _pass(architecture, Float32OptimWrapper, "channels_last", Formats()).mixed
    assert mixed <= Counter(REST[architecture]), mixed


def test_the_watch_sees_what_is_mixed():
    x = torch.zeros(2, 3, 4, 5)
    last = x.contiguous(memory_format=torch.channels_last)
    weight = torch.zeros(3, 3, 3, 3).contiguous(memory_format=torch.channels_last)
    with Formats() as watch:
        x + last
        torch.cat((last, x), dim=1)
        torch.nn.functional.conv2d(x, weight)
        last[:, :2] * 2
        last + last
        x.contiguous(memory_format=torch.channels_last)
    assert watch.mixed == {"add.Tensor": 1, "cat": 1, "convolution": 1, "mul.Tensor": 1, "clone": 1}


@pytest.mark.parametrize(("architecture", "images"), [("enet", 2), ("espnet", 3), ("segnet-basic", 1)])
@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
def test_only_the_image_and_the_loss_are_in_float32(architecture, images, layout):
    """Each size of the image is converted once, after it was normalised and reduced; logits go to the loss and back."""
    watch = _pass(architecture, BFloat16OptimWrapper, layout, Types())
    assert watch.converted == {("_to_copy", 3): images, ("_to_copy", CLASSES): 2}
    assert {channels for _, channels in watch.float32} <= {3, CLASSES}


INTERPOLATION = {f"upsample_{kind}2d{direction}" for kind in ("nearest", "bilinear") for direction in ("", "_backward")}


@pytest.mark.parametrize("architecture", ["liteseg_mobilenetv2", "efficientdet-seg_d0", "unet-s5-d16", "pspnet_r50-d8"])
def test_interpolation_in_float32_widens_no_other_map(architecture, monkeypatch):
    """As autocast has it on CUDA."""
    interpolate = torch.nn.functional.interpolate

    def in_float32(input, *args, **kwargs):
        with torch.autocast("cpu", enabled=False):
            return interpolate(input.float(), *args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "interpolate", in_float32)
    watch = _pass(architecture, BFloat16OptimWrapper, "channels_last", Types())
    computed = {name for name, channels in watch.float32 if channels not in (3, CLASSES)}
    assert computed <= INTERPOLATION
