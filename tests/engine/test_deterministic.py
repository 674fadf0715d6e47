"""In deterministic mode networks train on CUDA, too: no operator is used that PyTorch would refuse there."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from torch.utils._python_dispatch import TorchDispatchMode

import benchmark.registration  # noqa: F401
from benchmark.configs import compose
from benchmark.engine import deterministic
from benchmark.engine.patches import training_patches
from benchmark.inputs.batches import sample

REFUSED = {
    *("avg_pool3d_backward", "_adaptive_avg_pool2d_backward", "_adaptive_avg_pool3d_backward"),
    *("adaptive_max_pool2d_backward", "fractional_max_pool2d_backward", "fractional_max_pool3d_backward"),
    *("max_unpool2d", "max_unpool3d", "upsample_linear1d_backward", "upsample_bicubic2d_backward"),
    *("_upsample_bilinear2d_aa_backward", "reflection_pad1d_backward", "reflection_pad2d_backward"),
    *("reflection_pad3d_backward", "_ctc_loss_backward", "_embedding_bag_dense_backward", "put_", "histc", "histogram"),
    *("median", "nanmedian", "grid_sampler_2d_backward", "grid_sampler_3d_backward", "cumsum", "kthvalue", "resize_"),
}
"""Operators that `torch.use_deterministic_algorithms` lets raise an error on CUDA.

Not those that PyTorch itself replaces on CUDA in this mode: bilinear interpolation, replication padding.
"""


class Refused(TorchDispatchMode):
    """Collects the operators that would raise on CUDA."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.name().removeprefix("aten::").partition(".")[0]
        reduced = name == "nll_loss2d_forward" and args[3] != 0
        weighted = name == "bincount" and len(args) > 1 and args[1] is not None
        counted = name == "cumsum" and not args[0].is_floating_point()
        if (name in REFUSED and not counted) or reduced or weighted:
            self.names.add(name)
        return function(*args, **(kwargs or {}))


@pytest.fixture
def on_cuda(monkeypatch):
    """Tensors of the CPU are treated as if they were on CUDA."""
    monkeypatch.setattr(deterministic, "is_needed", lambda x: torch.are_deterministic_algorithms_enabled())
    torch.use_deterministic_algorithms(True)


REPRESENTATIVES = [  # one of each method, and the context modules
    *("enet", "espnet", "segnet-basic", "liteseg_mobilenetv2", "efficientdet-seg_d0", "unet-s5-d16", "gcn_r50"),
    *("pspnet_r50-d8", "psanet_r50-d8", "deeplabv3_r50-d8", "pointrend_fpn_r50", "context-pointrend_r50-d8"),
    *("context-ppm_r50-d8", "context-daspp_r50-d8", "deeplabv2_r101"),
]


@pytest.mark.parametrize(
    "architecture",
    [*REPRESENTATIVES, *(pytest.param(name, marks=pytest.mark.slow) for name in ("unet", "fcn-8s_vgg16"))],
)
def test_no_operator_of_a_training_pass_is_refused(architecture, on_cuda):
    with DefaultScope.overwrite_default_scope("mmseg"):
        network = MODELS.build(compose.model_config(architecture, classes=5)).train()
    labels = torch.randint(5, (2, 64, 64))
    with training_patches(), Refused() as watch:
        losses = network.loss(torch.randn(2, 3, 64, 64), [sample(label) for label in labels])
        sum(value for name, value in losses.items() if "loss" in name).backward()
    assert watch.names == set()


def test_the_watch_sees_what_is_refused():
    x = torch.randn(1, 2, 6, 7, requires_grad=True)
    with Refused() as watch:
        F.adaptive_avg_pool2d(x, 3).sum().backward()
        F.grid_sample(x, torch.rand(1, 2, 2, 2), align_corners=False).sum().backward()
        F.cross_entropy(x, torch.zeros(1, 6, 7).long())
    assert watch.names == {"_adaptive_avg_pool2d_backward", "grid_sampler_2d_backward", "nll_loss2d_forward"}


@pytest.mark.parametrize("size", [1, 2, 3, 6, (2, 5), (None, 3)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_pooling_is_pytorchs_but_for_rounding(on_cuda, size, layout):
    x = torch.randn(2, 3, 11, 15).contiguous(memory_format=layout).requires_grad_()
    ours = deterministic.deterministic_adaptive_avg_pool2d(x, size)
    theirs = F.adaptive_avg_pool2d(x, size)
    torch.testing.assert_close(ours, theirs)
    weight = torch.randn_like(theirs)
    torch.testing.assert_close(*(torch.autograd.grad((y * weight).sum(), x)[0] for y in (ours, theirs)))


@pytest.mark.parametrize("align_corners", [False, True, None])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_samples_are_pytorchs_but_for_rounding(on_cuda, align_corners, layout):
    """Of places within the map and outside of it."""
    inputs = [torch.randn(2, 3, 5, 7).contiguous(memory_format=layout), torch.rand(2, 40, 1, 2) * 3 - 1.5]
    inputs = [each.requires_grad_() for each in inputs]
    ours = deterministic.deterministic_grid_sample(*inputs, align_corners=align_corners)
    theirs = F.grid_sample(*inputs, align_corners=bool(align_corners))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    weight = torch.randn_like(theirs)
    gradients = [torch.autograd.grad((y * weight).sum(), inputs) for y in (ours, theirs)]
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-4)


def test_without_need_pytorchs_own_are_called(monkeypatch):
    """So that bits of a training on a CPU stay."""
    torch.use_deterministic_algorithms(True)
    x = torch.randn(1, 2, 6, 7, requires_grad=True)
    with training_patches(), Refused() as watch:
        torch.nn.AdaptiveAvgPool2d(3)(x).sum().backward()
    assert watch.names == {"_adaptive_avg_pool2d_backward"}


def test_bfloat16_maps_stay_so(on_cuda):
    x = torch.randn(1, 2, 6, 7).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        pooled = deterministic.deterministic_adaptive_avg_pool2d(x, 3)
    assert pooled.dtype == torch.bfloat16
    torch.testing.assert_close(pooled.float(), F.adaptive_avg_pool2d(x.float(), 3), atol=1e-2, rtol=1e-2)
