"""Memory formats of networks, and devices of optimizer states."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import Optimizer

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
"""Memory formats by name."""


def memory_format(model: nn.Module) -> torch.memory_format:
    """Return the memory format of a network: that of the first weight whose format is unambiguous."""
    for weight in model.parameters():
        if weight.ndim == 4 and not weight.is_contiguous():
            return torch.channels_last
        if weight.ndim == 4 and not weight.is_contiguous(memory_format=torch.channels_last):
            return torch.contiguous_format
    return torch.contiguous_format


def arrange(model: nn.Module, layout: str, optimizer: Optimizer | None = None) -> None:
    """Convert weights to a memory format; feature maps follow the weights of the convolutions that compute them.

    Args:
        model: the network.
        layout: name of the memory format.
        optimizer: optimizer whose moments, possibly from a run in another format, are converted to that of the
            weights.
    """
    model.to(memory_format=LAYOUTS[layout])  # type: ignore[call-overload]  # torch's stubs lack it
    for weight, state in (optimizer.state if optimizer else {}).items():
        for name, value in state.items():
            if torch.is_tensor(value) and value.shape == weight.shape:
                state[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)


def counts_to_host(optimizer: Optimizer) -> None:
    """Move the step counts of a resumed optimizer to the CPU, unless its kernels read them on the GPU.

    An optimizer that is neither fused nor capturable keeps them on the CPU, where it computes with them for each weight
    (torch/optim/adam.py, `_get_value`). `load_state_dict` leaves them on the device that the file was loaded to, with
    mmengine the GPU: every step would synchronize with it once per weight.
    """
    for group in optimizer.param_groups:
        if group.get("fused") or group.get("capturable"):
            continue
        for weight in group["params"]:
            state = optimizer.state.get(weight, {})
            if torch.is_tensor(count := state.get("step")):
                state["step"] = count.cpu()
