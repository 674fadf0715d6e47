"""What float32 means is set, said and put back."""

import warnings

import pytest
import torch

from benchmark.engine.arithmetic import algorithm_search, float32_arithmetic


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
