"""What float32 means is set, said and put back."""

import threading
import warnings
from contextvars import ContextVar

import pytest
import torch

from benchmark.engine import arithmetic
from benchmark.engine.arithmetic import algorithm_search, float32_arithmetic, without_search

SETTING = ContextVar("setting", default="none")


def allowed():
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize("tf32", [False, True])
def test_convolutions_and_products_are_set_alike_and_put_back(tf32):
    before = allowed()
    assert before[0] != before[1]  # PyTorch's own: convolutions in TF32, products not
    with float32_arithmetic(tf32):
        assert allowed() == (tf32, tf32)
        with float32_arithmetic(not tf32):
            assert allowed() == (not tf32, not tf32)
        assert allowed() == (tf32, tf32)
    assert allowed() == before


def test_an_error_puts_back_as_well():
    before = allowed()
    with pytest.raises(ZeroDivisionError), float32_arithmetic(tf32=True):
        raise ZeroDivisionError
    assert allowed() == before


def test_no_version_of_torch_warns(monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with float32_arithmetic(tf32=True):
            pass
        with pytest.raises(UserWarning):  # other warnings are not held back for good
            warnings.warn("Please use the new API settings to control TF32 behavior", stacklevel=1)


@pytest.mark.parametrize("enabled", [False, True])
def test_the_search_of_cudnn_is_put_back(enabled, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", not enabled)
    with algorithm_search(enabled):
        assert torch.backends.cudnn.benchmark is enabled
    assert torch.backends.cudnn.benchmark is not enabled


@pytest.mark.gpu
def test_float32_on_a_gpu_is_ieee_and_tf32_is_not():
    generator = torch.Generator().manual_seed(0)
    images, weights = (torch.randn(shape, generator=generator) for shape in ((1, 64, 32, 32), (64, 64, 3, 3)))
    exact = torch.nn.functional.conv2d(images.double(), weights.double())
    errors = {}
    for tf32 in (False, True):
        with float32_arithmetic(tf32):
            found = torch.nn.functional.conv2d(images.cuda(), weights.cuda()).cpu()
        errors[tf32] = float((found - exact).abs().max() / exact.abs().max())
    assert errors[False] < 1e-5
    if torch.cuda.get_device_capability() >= (8, 0):
        assert errors[True] > 1e-4


class Backward(torch.autograd.Function):
    """Notes what holds in a backward pass."""

    seen: list

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        Backward.seen.append((threading.get_ident(), torch._C._is_multithreading_enabled()))
        return gradient


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_algorithms_that_were_not_searched_for_end_with_their_thread(monkeypatch, device):
    """On a GPU: PyTorch keeps them for each thread, and backward passes have one of their own unless that is off."""
    monkeypatch.setattr(arithmetic, "get_device", lambda: device)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.setattr(Backward, "seen", [], raising=False)
    SETTING.set("the caller's")
    x = torch.ones(2, requires_grad=True)

    def function():
        Backward.apply(x).sum().backward()
        return threading.get_ident(), torch.backends.cudnn.benchmark, SETTING.get()

    before = threading.enumerate()
    thread, searches, setting = without_search(function)
    assert (searches, setting) == (False, "the caller's")
    assert (thread == threading.get_ident()) is (device == "cpu")
    assert Backward.seen == [(thread, device == "cpu")]
    assert threading.enumerate() == before
    assert torch.backends.cudnn.benchmark
    assert torch._C._is_multithreading_enabled()


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_fails_without_a_search_fails_for_the_caller(monkeypatch, device):
    def fail():
        raise torch.OutOfMemoryError("too large")

    monkeypatch.setattr(arithmetic, "get_device", lambda: device)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    with pytest.raises(torch.OutOfMemoryError, match="too large"):
        without_search(fail)
    assert torch.backends.cudnn.benchmark
