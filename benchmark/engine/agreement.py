"""Compare two ways to compute a training step by their losses, gradients and buffers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import Tensor, nn

from benchmark.engine.step import preserved_state
from benchmark.inputs.batches import Batch

Outcome = dict[str, list[Tensor]]
"""Losses, gradients and buffers of a step."""

SEED = 20220921
"""Random seed of a comparison, the same for both sides."""

BACKOFF = 16.0
"""Divisor of the loss scale if scaled gradients overflow."""


def flipped(batch: Batch) -> Batch:
    """Flip the images and labels of a batch horizontally, to get a different batch of the same shape."""
    return {"inputs": batch["inputs"].flip(-1), "labels": batch["labels"].flip(-1)}


def outcome(model: nn.Module, optim_wrapper: OptimWrapper, passes: Callable[[], Tensor]) -> Outcome:
    """Compute the loss, gradients and buffers of a forward and a backward pass, and restore the model.

    Float16 gradients overflow at the initial loss scale, and a training skips its first steps until the scale is small
    enough. This function lowers the scale immediately and restores it at the end.

    Args:
        model: the network.
        optim_wrapper: optimizer wrapper of the training; if it scales the loss, gradients are returned unscaled.
        passes: computes both passes, sets gradients and returns the loss; is called again at each lower scale.
    """
    scaler = optim_wrapper.loss_scaler if isinstance(optim_wrapper, AmpOptimWrapper) else None
    usual = scale = float(scaler.get_scale()) if scaler else 1.0
    try:
        while True:
            torch.manual_seed(SEED)
            with preserved_state(model, optim_wrapper):
                loss = passes()
                gradients = [torch.zeros_like(w) if w.grad is None else w.grad / scale for w in model.parameters()]
                buffers = [buffer.clone() for buffer in model.buffers() if buffer.is_floating_point()]
            if scaler is None or scale <= 1.0 or all(gradient.isfinite().all() for gradient in gradients):
                return {"losses": [loss], "gradients": gradients, "buffers": buffers}
            scale = max(1.0, scale / BACKOFF)
            scaler.update(scale)
    finally:
        if scaler is not None and scale != usual:
            scaler.update(usual)


def distance(expected: Sequence[float], found: Sequence[float]) -> float:
    """Compute the Euclidean distance of two series of losses, relative to the norm of the expected ones."""
    return math.dist(expected, found) / math.hypot(*expected)


@contextmanager
def last_bits_changed(model: nn.Module, seed: int, dtype: torch.dtype | None = None) -> Iterator[None]:
    """Change the last bit of each weight, up or down at random, to measure the effect of rounding.

    Args:
        model: the network.
        seed: seed of the choice of weights that become larger.
        dtype: data type whose last bit is changed; by default that of the weights.
    """
    kept = [weight.detach().clone() for weight in model.parameters()]
    generator = torch.Generator().manual_seed(seed)
    try:
        with torch.no_grad():
            for weight in model.parameters():
                sign = 2 * torch.randint(2, weight.shape, generator=generator) - 1
                weight.mul_(1 + torch.finfo(dtype or weight.dtype).eps * sign.to(weight.device))
        yield
    finally:
        with torch.no_grad():
            for weight, value in zip(model.parameters(), kept, strict=True):
                weight.copy_(value)


def distances(expected: Outcome, found: Outcome) -> dict[str, float]:
    """Compute the Euclidean distance of all numbers of each kind, relative to the norm of the expected ones."""
    return {what: _distance(values, found[what]) for what, values in expected.items()}


def _distance(expected: list[Tensor], found: list[Tensor]) -> float:
    gap = sum(float((a.double() - b.double()).square().sum()) for a, b in zip(expected, found, strict=True))
    norm = sum(float(a.double().square().sum()) for a in expected)
    return math.sqrt(gap / norm) if gap else 0.0
