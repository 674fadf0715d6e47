"""Training step: preprocess a batch on the device, and update the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from operator import add
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmseg.models import SegDataPreProcessor
from torch import Tensor, nn

from benchmark.engine.layout import memory_format
from benchmark.inputs.batches import Batch, sample

Step = Callable[[Batch], Tensor]
"""Trains on a batch and returns its loss."""


def step(model: nn.Module, batch: Batch, optim_wrapper: OptimWrapper) -> Tensor:
    """Train on a batch; return the loss."""
    found = loss(model, batch, optim_wrapper)
    optim_wrapper.update_params(found)
    return found.detach()


def passes(model: nn.Module, batch: Batch, optim_wrapper: OptimWrapper) -> Tensor:
    """Run forward and backward pass of a step: set the gradients of this batch, and return the loss."""
    model.zero_grad()
    found = loss(model, batch, optim_wrapper)
    optim_wrapper.backward(optim_wrapper.scale_loss(found))
    return found.detach()


@contextmanager
def preserved_state(model: nn.Module, optim_wrapper: OptimWrapper) -> Iterator[None]:
    """Restore the buffers and zero the gradients at the end of the context."""
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    count = optim_wrapper._inner_count
    try:
        yield
    finally:
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name])
        optim_wrapper._inner_count = count
        model.zero_grad()


def loss(model: nn.Module, batch: Batch, optim_wrapper: OptimWrapper) -> Tensor:
    """Compute the loss on a batch, like mmengine's models.

    Redundant operations of mmengine are skipped: the mean of a scalar loss, the addition of zero.
    """
    network: Any = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
    with optim_wrapper.optim_context(model):
        inputs = prepared(batch, network.data_preprocessor, memory_format(network))
        losses = model(**inputs, mode="loss")
    return reduce(add, (_mean(value) for name, value in losses.items() if "loss" in name))


def prepared(
    batch: Batch, preprocessor: SegDataPreProcessor, memory_format: torch.memory_format = torch.contiguous_format
) -> dict[str, Any]:
    """Return the inputs of a segmentor on its device, as its data preprocessor computes them image by image.

    Args:
        batch: images and labels, all of the size that the preprocessor would pad them to.
        preprocessor: has their device, mean and standard deviation.
        memory_format: memory format of the returned images.

    Returns:
        `inputs`, float32 of shape (batch, 3, height, width), and `data_samples` with labels in int64.
    """
    images = batch["inputs"].to(preprocessor.device, non_blocking=True)
    labels = batch["labels"].to(preprocessor.device, non_blocking=True).long()
    return {
        "inputs": (images.to(torch.float32, memory_format=memory_format) - preprocessor.mean) / preprocessor.std,
        "data_samples": [sample(label) for label in labels],
    }


def _mean(loss: Tensor | list[Tensor]) -> Tensor:
    """Reduce a loss to one number; a list gives the sum of its means."""
    if isinstance(loss, list):
        return reduce(add, map(_mean, loss))
    return loss.mean() if loss.ndim else loss
