"""Optimizer wrappers, one for each training precision, without synchronization with the device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import Tensor, nn

from benchmark.errors import UserError


class _NonBlockingOptimWrapper:
    """Optimizer wrapper of mmengine without device reads and redundant divisions at each step.

    mmengine's wrapper reads the norm of clipped gradients, which synchronizes with the device, into an array that is
    copied each time, and divides a loss that is not accumulated by one.
    """

    def scale_loss(self: Any, loss: Tensor) -> Tensor:
        """Return the loss to backpropagate."""
        return loss if self._accumulative_counts == 1 else super().scale_loss(loss)  # type: ignore[misc]

    def _clip_grad(self: Any) -> None:
        self.clip_func([p for g in self.optimizer.param_groups for p in g["params"]], **self.clip_grad_kwargs)


@OPTIM_WRAPPERS.register_module()
class Float32OptimWrapper(_NonBlockingOptimWrapper, OptimWrapper):
    """Computes in the precision of the weights: IEEE float32 on every device."""


@OPTIM_WRAPPERS.register_module()
class TF32OptimWrapper(Float32OptimWrapper):
    """Computes in the precision of the weights, convolutions and matrix products in TF32: on GPUs only."""


@OPTIM_WRAPPERS.register_module()
class Float16OptimWrapper(_NonBlockingOptimWrapper, AmpOptimWrapper):
    """Runs the forward pass under autocast to float16, with the loss scaled: on GPUs only."""


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(Float32OptimWrapper):
    """Runs the forward pass under autocast to bfloat16.

    mmengine's AmpOptimWrapper refuses CPUs, and scales the loss, which bfloat16 does not need: it has the exponents of
    float32.
    """

    dtype = "bfloat16"

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[Any]:
        """Return the context of a forward pass."""
        with super().optim_context(model), torch.autocast(get_device(), torch.bfloat16):
            yield


def autocast_dtype(optim_wrapper: OptimWrapper) -> torch.dtype | None:
    """Return the data type of a training's autocast; None if it computes in that of its weights."""
    if isinstance(optim_wrapper, BFloat16OptimWrapper):
        return torch.bfloat16
    if isinstance(optim_wrapper, AmpOptimWrapper):
        return optim_wrapper.cast_dtype or torch.float16
    return None


def require_supported(wrapper: str) -> None:
    """Refuse a precision that the GPU of this process only emulates; a CPU is not checked.

    Args:
        wrapper: name of the optimizer wrapper of a training.

    Raises:
        UserError: it is bfloat16, and the GPU is older than Ampere.
    """
    if wrapper != BFloat16OptimWrapper.__name__ or get_device() != "cuda":
        return
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        raise UserError(f"{torch.cuda.get_device_name()} does not compute in bfloat16: use --precision float16")
