"""The memory layout in which a network trains: the faster of two, by trial on its own device.

Channels last is 1.2 to 1.5 times as fast for most networks in half precision on a GPU, and slower for some with grouped
convolutions (timm's tables), so that no rule but a trial tells.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
"""Memory formats by name."""
WARM_UP, STEPS = 3, 5
"""Steps of a trial that are not timed, in which cuDNN picks its algorithms, and steps that are."""


def fastest(model: nn.Module, loss: Callable[[], Tensor]) -> str:
    """The name of the layout in which forward and backward pass take least time.

    Args:
        model: the network; it ends as it was, except for its layout.
        loss: its forward pass on a batch of the training.
    """
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}

    def step() -> None:
        model.zero_grad()
        loss().backward()

    seconds = {}
    for layout in LAYOUTS:
        arrange(model, layout)
        seconds[layout] = _seconds(step)
    model.zero_grad()
    for name, buffer in model.named_buffers():
        buffer.copy_(before[name])
    return min(seconds, key=seconds.__getitem__)


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


def _seconds(step: Callable[[], object]) -> float:
    """Median wall time of a step."""
    taken = []
    for _ in range(WARM_UP + STEPS):
        start = time.perf_counter()
        step()
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return median(taken[WARM_UP:])
