"""In training, mmsegmentation's heads leave out what nobody reads; losses and gradients keep their bits."""

import sys

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS

import benchmark.registration  # noqa: F401
from benchmark.configs import compose
from benchmark.engine import patches
from benchmark.inputs.batches import sample


def _users(function):
    """Modules of heads that call it by that name."""
    names = {name for name, module in sys.modules.items() if getattr(module, "accuracy", None) is function}
    return {name for name in names if name.startswith("mmseg.models.decode_heads.")}


def test_the_accuracy_is_left_out_for_a_while():
    from mmseg.models.losses import accuracy as theirs

    assert _users(theirs) == {head.__name__ for head in patches.HEADS}
    with patches.training_patches():
        assert not _users(theirs)
    assert _users(theirs) == {head.__name__ for head in patches.HEADS}


def _build(architecture):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmseg"):
        return MODELS.build(compose.model_config(architecture, classes=5)).train()


def _outcome(network, size, dtype=None):
    """The losses of a training pass, and its gradients."""
    torch.manual_seed(1)
    labels = torch.randint(5, (2, *size))
    labels[:, :3] = 255
    with torch.autocast("cpu", dtype, enabled=dtype is not None):
        losses = network.loss(torch.randn(2, 3, *size), [sample(label) for label in labels])
    losses = {name: loss for name, loss in losses.items() if "loss" in name}
    gradients = torch.autograd.grad(sum(losses.values()), list(network.parameters()))
    return [*losses.values(), *gradients]


@pytest.mark.parametrize("architecture", ["enet", "espnet", "segnet-basic", "liteseg_mobilenetv2"])
@pytest.mark.parametrize("size", [(32, 48), (45, 60)])
def test_losses_and_gradients_keep_their_bits(architecture, size):
    network = _build(architecture)
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 0.0
    before = _outcome(network, size)
    with patches.training_patches():
        after = _outcome(network, size)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


class _Interpolations:
    """Counts calls of `F.interpolate`."""

    def __init__(self, monkeypatch):
        self.sizes, interpolate = [], F.interpolate

        def counted(input, *args, **kwargs):
            self.sizes.append(tuple(input.shape[2:]))
            return interpolate(input, *args, **kwargs)

        monkeypatch.setattr(F, "interpolate", counted)


def test_logits_of_the_size_of_the_labels_are_not_interpolated(monkeypatch):
    network = _build("enet")
    calls = _Interpolations(monkeypatch)
    _outcome(network, (32, 48))
    assert calls.sizes == [(32, 48)]
    with patches.training_patches():
        _outcome(network, (32, 48))
        assert len(calls.sizes) == 1
        _outcome(network, (45, 60))  # ENet's logits have a pixel more where a side is odd
    assert calls.sizes[1:] == [(46, 60)]


@pytest.mark.parametrize("size", [(32, 48), (45, 60)])
def test_losses_are_computed_in_float32(size):
    with patches.training_patches():
        loss, *_ = _outcome(_build("enet"), size, torch.bfloat16)
    assert loss.dtype == torch.float32


@pytest.mark.parametrize("weight", [None, torch.rand(2, 6, 7)])
def test_a_cross_entropy_in_channels_last_is_the_same_but_for_rounding(weight):
    from mmseg.models.losses import CrossEntropyLoss

    loss, logits, labels = CrossEntropyLoss(), torch.randn(2, 5, 6, 7), torch.randint(5, (2, 6, 7))
    labels[0, :2] = 255
    found = {}
    with patches.training_patches():
        for layout in (torch.contiguous_format, torch.channels_last):
            x = logits.clone(memory_format=layout).requires_grad_()
            value = loss(x, labels, weight, ignore_index=255)
            value.backward()
            assert x.grad.is_contiguous(memory_format=layout)
            found[layout] = value.detach(), x.grad
    torch.testing.assert_close(*found.values())


def test_feature_maps_keep_their_type_where_autocast_interpolates_in_float32(monkeypatch):
    """As it does on CUDA."""
    from mmseg.models.decode_heads import psp_head

    interpolate = F.interpolate
    monkeypatch.setattr(F, "interpolate", lambda input, *args, **kwargs: interpolate(input.float(), *args, **kwargs))
    with patches.training_patches():
        assert psp_head.resize(torch.zeros(1, 2, 3, 3).bfloat16(), (6, 6)).dtype == torch.bfloat16
        assert psp_head.resize(torch.zeros(1, 2, 3, 3), (6, 6)).dtype == torch.float32
