"""The memory layout in which a network trains."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import Optimizer

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
"""Memory formats by name."""


def memory_format(model: nn.Module) -> torch.memory_format:
    """Return the memory format of a network: that of the first weight which has one format only."""
    for weight in model.parameters():
        if weight.ndim == 4 and not weight.is_contiguous():
            return torch.channels_last
        if weight.ndim == 4 and not weight.is_contiguous(memory_format=torch.channels_last):
            return torch.contiguous_format
    return torch.contiguous_format


def arrange(model: nn.Module, layout: str, optimizer: Optimizer | None = None) -> None:
    """Lay the weights out; maps follow the weights of the convolutions that make them.

    Args:
        model: the network.
        layout: name of the layout.
        optimizer: its moments, which may come from a run that was laid out otherwise, are to lie as the weights do.
    """
    model.to(memory_format=LAYOUTS[layout])  # type: ignore[call-overload]  # torch's stubs lack it
    for weight, state in (optimizer.state if optimizer else {}).items():
        for name, value in state.items():
            if torch.is_tensor(value) and value.shape == weight.shape:
                state[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)
