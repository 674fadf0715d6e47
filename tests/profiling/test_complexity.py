import math
import random
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import DefaultScope
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmark.catalog import catalog
from benchmark.configs import compose
from benchmark.engine import segmentor
from benchmark.errors import UserError
from benchmark.profiling.complexity import OUTPUTS, CounterWarning, SizeError, count, count_fvcore, measure, tally
from benchmark.profiling.inference import Inference


class Do(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def meta(*shapes):
    return tuple(torch.empty(shape, device="meta") for shape in shapes)


def both(module, *shapes):
    module = module.to("meta").eval()
    return count(module, *meta(*shapes)).macs, count_fvcore(module, *meta(*shapes))


# (kernel area) * (input channels of a group) * (output channels) * (output positions; input positions if transposed)
BY_HAND = {
    "convolution": (nn.Conv2d(3, 8, 3, stride=2, padding=1), [(1, 3, 9, 12)], 9 * 3 * 8 * (5 * 6)),
    "batch": (nn.Conv2d(3, 8, 3, bias=False), [(2, 3, 5, 6)], 2 * 9 * 3 * 8 * (3 * 4)),
    "asymmetric": (nn.Conv2d(4, 6, (5, 1), padding=(2, 0)), [(1, 4, 7, 9)], 5 * 4 * 6 * (7 * 9)),
    "dilated": (nn.Conv2d(4, 5, 3, dilation=2), [(1, 4, 10, 11)], 9 * 4 * 5 * (6 * 7)),
    "same": (nn.Conv2d(4, 5, 3, padding="same"), [(1, 4, 6, 7)], 9 * 4 * 5 * (6 * 7)),
    "grouped": (nn.Conv2d(8, 12, 3, groups=4), [(1, 8, 6, 6)], 9 * 2 * 12 * (4 * 4)),
    "depthwise": (nn.Conv2d(8, 8, 3, groups=8, padding=1), [(1, 8, 6, 6)], 9 * 1 * 8 * (6 * 6)),
    "transposed": (nn.ConvTranspose2d(4, 6, 3, stride=2), [(1, 4, 5, 7)], 9 * 4 * 6 * (5 * 7)),
    "transposed, grouped": (nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2), [(1, 4, 5, 7)], 4 * 2 * 6 * (5 * 7)),
    "one-dimensional": (nn.Conv1d(4, 6, 3), [(1, 4, 10)], 3 * 4 * 6 * 8),
    "linear": (nn.Linear(7, 5), [(2, 3, 7)], 2 * 3 * 7 * 5),
    "mm": (Do(torch.mm), [(3, 4), (4, 5)], 3 * 4 * 5),
    "addmm": (Do(torch.addmm), [(3, 5), (3, 4), (4, 5)], 3 * 4 * 5),
    "bmm": (Do(torch.bmm), [(2, 3, 4), (2, 4, 5)], 2 * 3 * 4 * 5),
    "baddbmm": (Do(torch.baddbmm), [(2, 3, 5), (2, 3, 4), (2, 4, 5)], 2 * 3 * 4 * 5),
    "matmul, right broadcast": (Do(torch.matmul), [(2, 3, 4), (4, 5)], 2 * 3 * 4 * 5),
    "matmul, left broadcast": (Do(torch.matmul), [(3, 4), (2, 4, 5)], 2 * 3 * 4 * 5),
    "einsum": (
        Do(lambda a, b: torch.einsum("bchw,bciw->bwhi", a, b)),
        [(2, 7, 3, 5), (2, 7, 11, 5)],
        2 * 7 * 3 * 5 * 11,
    ),
    "attention": (
        Do(F.scaled_dot_product_attention),
        [(1, 2, 6, 4), (1, 2, 9, 4), (1, 2, 9, 5)],
        2 * (6 * 9 * 4 + 6 * 9 * 5),
    ),
    # Query, key and value projections, output projection, scores and weighted sum; then two linear layers.
    "encoder layer": (
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
        [(1, 5, 8)],
        4 * (5 * 8 * 8) + 2 * (5 * 5 * 8) + 2 * (5 * 8 * 16),
    ),
    "nothing that counts": (
        nn.Sequential(nn.BatchNorm2d(4), nn.PReLU(), nn.MaxPool2d(2), nn.Upsample(scale_factor=2, mode="bilinear")),
        [(1, 4, 6, 6)],
        0,
    ),
}


@pytest.mark.parametrize(("module", "shapes", "macs"), BY_HAND.values(), ids=BY_HAND)
def test_macs_by_hand(module, shapes, macs):
    assert both(module, *shapes) == (macs, macs)


def test_resnet50_as_published():
    """4.09 G multiply-adds and 25.6 M parameters, as torchvision's own table of weights has it."""
    from torchvision.models import ResNet50_Weights, resnet50

    with torch.device("meta"):
        network = resnet50().eval()
    image = torch.empty(1, 3, 224, 224, device="meta")
    counted = count(network, image)
    assert counted.macs == count_fvcore(network, image) == 4_089_184_256
    assert counted.params == ResNet50_Weights.IMAGENET1K_V1.meta["num_params"]
    assert round(counted.macs / 1e9, 2) == round(ResNet50_Weights.IMAGENET1K_V1.meta["_ops"], 2)


def test_kernels():
    """All convolutions of the list above, each of one kernel."""
    for name, (module, shapes, macs) in BY_HAND.items():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d):
            positions = math.prod(module.kernel_size)
            assert count(module.to("meta"), *meta(*shapes)).kernels == {positions: macs}, name
    assert count(BY_HAND["linear"][0].to("meta"), *meta((1, 7))).kernels == {}


@pytest.mark.parametrize("name", ["convolution", "linear", "einsum", "attention", "encoder layer"])
def test_inference_mode_changes_no_count(name):
    """There, operators made of others arrive whole."""
    module, shapes, macs = BY_HAND[name]
    module = module.to("meta").eval()
    plain = count(module, *meta(*shapes))
    with torch.inference_mode():
        assert count(module, *meta(*shapes)) == plain
    assert plain.macs == macs


@pytest.mark.parametrize("name", ["enet", "pspnet_r50-d8", "pointrend_fpn_r50", "efficientdet-seg_d0"])
def test_torchs_counter_agrees(name):
    """Its own mode, over its own shapes of all outputs, on weights that were initialised."""
    config = compose.model_config(name, classes=7)
    with torch.device("meta"):
        network = Inference(config, (64, 96))
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network(*meta((1, 3, 64, 96)))
    assert counter.get_total_flops() == 2 * tally(config, (64, 96)).macs


SHORTCUTS = {
    "batch norm": (torch.ops.aten.native_batch_norm.default, [(2, 3, 5, 7), *[(3,)] * 4], (False, 0.1, 1e-5)),
    "without affine": (torch.ops.aten.native_batch_norm.default, [(2, 3, 5), None, None, (3,), (3,)], (False, 0.1, 0)),
    "up": (torch.ops.aten.upsample_bilinear2d.default, [(2, 3, 5, 7)], ([11, 13], False)),
    "down": (torch.ops.aten.upsample_bilinear2d.default, [(2, 3, 5, 7)], ([2, 3], True, 0.4, 0.5)),
    "sampling": (torch.ops.aten.grid_sampler_2d.default, [(2, 3, 5, 7), (2, 11, 13, 2)], (0, 0, False)),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("operator", "shapes", "arguments"), SHORTCUTS.values(), ids=SHORTCUTS)
def test_outputs_are_those_that_torch_finds(operator, shapes, arguments, dtype):
    tensors = [None if shape is None else torch.empty(shape, dtype=dtype, device="meta") for shape in shapes]
    found = [call(*tensors, *arguments) for call in (OUTPUTS[operator], operator)]
    if "batch_norm" in operator.name():
        assert len(found[0]) == len(found[1])
        found = [output for output, *_ in found]  # statistics for a backward pass, which there is none of, come second
    ours, torchs = [(output.shape, output.stride(), output.dtype, output.device) for output in found]
    assert ours == torchs


def test_every_shortcut_is_checked():
    assert {operator for operator, _, _ in SHORTCUTS.values()} == set(OUTPUTS)


def test_uncounted_operators():
    @torch.library.custom_op("segbench_test::twice", mutates_args=())
    def twice(x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    twice.register_fake(torch.empty_like)
    convolution = nn.Conv2d(3, 4, 1, device="meta")

    def forward(x):
        x = convolution(x).relu_()
        x = x + torch.zeros_like(x) + x.new_ones(1) + torch.arange(8, device="meta")
        x = x.transpose(2, 3).contiguous().view(1, 4, 64).softmax(1).clone()
        return twice(torch.cat([x, x]))

    # Elements that each puts out; `add` runs three times, `cat` and what follows it on twice the batch.
    assert count(Do(forward), *meta((1, 3, 8, 8))).uncounted == {
        "relu": 256,
        "add": 3 * 256,
        "_softmax": 256,
        "cat": 512,
        "segbench_test::twice": 512,
    }


def test_measure(tiny):
    found = measure(tiny(classes=5), (8, 12), 5)
    assert found.macs == found.macs_torch == 9 * 3 * 4 * (4 * 6) + 4 * 5 * (4 * 6)
    assert found.params == (3 * 4 * 9 + 4) + (4 + 4) + (4 * 5 + 5)
    assert found.params_total == found.params + (4 * 5 + 5)
    assert found.uncounted == ["native_batch_norm", "relu", "upsample_bilinear2d"]
    assert (found.size, found.classes) == ((8, 12), 5)


def test_cross_check_can_be_left_out(tiny):
    found = measure(tiny(), (8, 12), 5, cross_check=False)
    assert found.macs is None
    assert found.macs_torch == 9 * 3 * 4 * 24 + 4 * 5 * 24


def test_counters_that_differ_are_reported(tiny):
    with pytest.warns(CounterWarning, match=r"fvcore .* counts 3072 MACs, torch .* 3552$"):
        found = measure(tiny(wasteful=True), (8, 12), 5)
    assert (found.macs, found.macs_torch) == (3072, 3552)
    assert found.params == found.params_total  # the auxiliary head ran


def test_a_network_that_fvcore_cannot_trace_keeps_the_other_count(tiny, monkeypatch):
    def fail(*_):
        raise TypeError("cond must be a bool")

    monkeypatch.setattr("benchmark.profiling.complexity.count_fvcore", fail)
    with pytest.warns(CounterWarning, match="fvcore cannot count: cond must be a bool"):
        found = measure(tiny(), (8, 12), 5)
    assert (found.macs, found.macs_torch) == (None, 3072)


def test_a_network_that_reads_a_tensor_while_it_is_built(tiny):
    assert measure(tiny(reads_a_tensor=True), (8, 12), 5) == measure(tiny(), (8, 12), 5)


def test_a_network_that_reads_a_tensor_of_the_cpu_while_it_is_built(tiny, monkeypatch):
    """Its values are its own: only tensors of the meta device are left as they are."""
    seen = []

    class Reader(segmentor.MODELS.get("Tiny")):
        def __init__(self, classes):
            super().__init__(classes)
            seen.append(nn.init.constant_(torch.zeros(1, device="cpu").fill_(3) + 1, 5).item())

    monkeypatch.setitem(segmentor.MODELS.module_dict, "Reader", Reader)
    assert measure({"type": "Reader", "classes": 5}, (8, 12), 5) == measure(tiny(), (8, 12), 5)
    assert seen == [5]


def test_an_input_that_is_too_small_is_a_mistake_of_the_user(tiny):
    with pytest.raises(UserError, match=r"cannot process an input of 2x2: .*Output size is too small"):
        measure(tiny(pool=4), (2, 2), 5)


def test_a_part_that_is_not_registered_is_a_mistake_of_the_user():
    with pytest.raises(UserError, match=r"^cannot be built: Nothing is not in the mmseg::model registry"):
        measure({"type": "Nothing"}, (64, 64), 5)


def test_an_argument_that_does_not_exist_is_a_mistake_of_the_user(tiny):
    with pytest.raises(UserError, match=r"^cannot be built: .*unexpected keyword argument 'colour'"):
        measure(tiny(colour="red"), (64, 64), 5)


def test_global_state_is_left_alone(tiny):
    def state():
        return (
            torch.get_rng_state().tolist(),
            random.getstate(),
            np.random.get_state()[1].tolist(),
            torch.get_default_dtype(),
            torch.empty(0).device,
            torch.is_grad_enabled(),
            torch.get_num_threads(),
            torch.jit.is_tracing(),
            (scope := DefaultScope.get_current_instance()) and scope.scope_name,
            str(torch._C._dispatch_tls_local_include_set()),
            str(torch._C._dispatch_tls_local_exclude_set()),
            len(nn.modules.module._global_forward_hooks),
            len(nn.modules.module._global_forward_pre_hooks),
        )

    config = tiny(reads_a_tensor=True)
    given, before = dict(config), state()
    measure(config, (8, 12), 5)
    with pytest.raises(UserError):
        measure(tiny(pool=4), (2, 2), 5)
    assert state() == before
    assert config == given


@pytest.mark.parametrize("name", catalog.architectures())
def test_every_architecture_is_counted_alike_by_both(name):
    config = compose.model_config(name, classes=7)
    with warnings.catch_warnings():
        warnings.simplefilter("error", CounterWarning)
        found = measure(config, (64, 96), 7)
    assert found.macs == found.macs_torch > 0
    with torch.device("meta"):
        segmentor = Inference(config, (64, 96)).segmentor
    sizes = {name: parameter.numel() for name, parameter in segmentor.named_parameters()}
    assert found.params_total == sum(sizes.values())
    assert found.params == sum(size for name, size in sizes.items() if not name.startswith("auxiliary_head"))
    normalised = any(isinstance(module, nn.BatchNorm2d) for module in segmentor.modules())
    assert ("native_batch_norm" in found.uncounted) == normalised


def test_nothing_is_computed_and_macs_grow_with_the_area():
    config = compose.model_config("enet", classes=19)
    small, large = (measure(config, size, 19) for size in ((2048, 4096), (4096, 8192)))
    assert large.macs == 4 * small.macs


def test_deterministic_mode_changes_no_count():
    """A process that has trained counts as one that has not, and keeps its mode."""
    config = compose.model_config("enet", classes=8)
    plain = measure(config, (64, 64), 8)
    torch.use_deterministic_algorithms(True)
    assert measure(config, (64, 64), 8) == plain
    assert torch.are_deterministic_algorithms_enabled()


class Cached(nn.Module):
    """Reads a layer for the first input alone."""

    def __init__(self):
        super().__init__()
        self.start, self.always, self.cache = nn.Linear(3, 4), nn.Linear(5, 4), None

    def forward(self, x):
        if self.cache is None:
            self.cache = self.start(x.new_ones(7, 3))
        return self.always(x) @ self.cache.T


def test_what_is_done_once_is_no_cost_of_an_image():
    found = count(Cached().to("meta"), *meta((2, 5)))
    assert found.macs == 2 * 5 * 4 + 2 * 4 * 7
    assert (found.params, found.params_start, found.params_total) == (5 * 4 + 4, 3 * 4 + 4, 40)


def test_san_as_published():
    """64.3 G at 640x640 (arXiv 2302.12242), which calls multiply-accumulates FLOPs."""
    name = "mmseg:san-vit-b16_voc12aug-640x640"
    found = measure(compose.model_config(name, classes=20), (640, 640), 20, cross_check=False)
    assert found.macs_torch == pytest.approx(64.3e9, rel=0.01)
    assert found.params_start > 60e6


class Reads(nn.Module):
    """Reads a value of a tensor, which has none on the meta device."""

    def __init__(self, classes):
        super().__init__()
        self.backbone = nn.Conv2d(3, classes, 1)

    def encode_decode(self, images, metas):
        return self.backbone(images)[..., : images.new_tensor(metas[0]["img_shape"]).long().prod().item()]


def test_a_network_that_reads_values_is_counted_on_the_cpu(monkeypatch):
    monkeypatch.setitem(segmentor.MODELS.module_dict, "Reads", Reads)
    assert tally({"type": "Reads", "classes": 5}, (64, 64)).macs == 3 * 5 * 64 * 64


def test_attention_counts_on_a_cpu():
    module, shapes, macs = BY_HAND["attention"]
    assert count(module, *(torch.zeros(shape) for shape in shapes)).macs == macs


@pytest.mark.parametrize(("size", "message"), [((360, 480), "built for 640x640$"), ((640, 640), None)])
def test_a_network_of_one_size(size, message):
    config = compose.model_config("mmseg:beit-base_upernet_8xb2-160k_ade20k-640x640", classes=5)
    if message is None:
        assert tally(config, size).macs > 0
    else:
        with pytest.raises(SizeError, match=message) as caught:
            tally(config, size)
        assert (caught.value.takes, caught.value.fixed) == ((640, 640), True)
