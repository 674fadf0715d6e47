"""Float32 precision on GPUs, and the choice of cuDNN algorithms."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import TypeVar

import torch
from mmengine.device import get_device

Result = TypeVar("Result")


@contextmanager
def float32_arithmetic(tf32: bool) -> Iterator[None]:
    """Compute float32 convolutions and matrix products in TF32, or in IEEE 754 single precision.

    TF32 rounds the factors of each product from 23 to 10 bits of mantissa (PyTorch's notes on CUDA semantics, section
    "TensorFloat-32 (TF32) on Ampere (and later) devices"). By default PyTorch uses it in convolutions but not in matrix
    products. Both settings are restored at the end. CPUs, and GPUs before Ampere, compute in IEEE float32 either way.

    Args:
        tf32: whether convolutions and matrix products use TF32.
    """
    before = _allowed()
    _allow(tf32, tf32)
    try:
        yield
    finally:
        _allow(*before)


@contextmanager
def algorithm_search(enabled: bool) -> Iterator[None]:
    """Set whether cuDNN benchmarks its algorithms at the first call of each shape or uses its heuristics.

    A search costs seconds for a network, and memory for workspaces (`torch.backends.cudnn.benchmark`); the setting is
    restored at the end.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = enabled
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def without_search(function: Callable[[], Result]) -> Result:
    """Call a function with cuDNN's heuristic algorithms, without caching them for later calls.

    PyTorch caches the algorithm of each convolution by shape, data type and layout, regardless of whether it was
    searched for, so the first choice would be permanent. The cache is local to a thread (`benchmark_cache` in ATen's
    Conv_v8.cpp), and no setting clears it. (`torch.backends.cudnn.deterministic` is part of the key, but then dilated
    convolutions in contiguous layout do not use cuDNN.) So the function runs in a temporary thread, with its backward
    passes, which autograd otherwise moves to a thread for each GPU. On a CPU it is called directly.

    Args:
        function: called once, with the context variables of the caller, which contain the settings of PyTorch's
            compilers.

    Returns:
        The result of the function; its exceptions propagate.
    """

    def called() -> Result:
        with algorithm_search(False):
            return function()

    def called_in_thread() -> Result:
        with torch.autograd.set_multithreading_enabled(False):
            return called()

    if get_device() != "cuda":
        return called()
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(copy_context().run, called_in_thread).result()


# `fp32_precision`, which torch 2.9 prefers, is missing in 2.6; and once it is set, reading `allow_tf32`, as Inductor
# does, raises. Setting `allow_tf32` keeps both consistent.
def _allowed() -> tuple[bool, bool]:
    """Return whether convolutions and matrix products may use TF32."""
    with _no_deprecation():
        return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


def _allow(convolutions: bool, products: bool) -> None:
    with _no_deprecation():
        torch.backends.cudnn.allow_tf32 = convolutions
        torch.backends.cuda.matmul.allow_tf32 = products


@contextmanager
def _no_deprecation() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Please use the new API settings to control TF32", UserWarning)
        yield
