"""Training in bfloat16 on any device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Runs the forward pass under autocast to bfloat16.

    mmengine's AmpOptimWrapper refuses CPUs, and scales the loss, which bfloat16 does not need: it has the exponents of
    float32.
    """

    dtype = "bfloat16"

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[Any]:
        """The context of a forward pass."""
        with super().optim_context(model), torch.autocast(get_device(), torch.bfloat16):
            yield
