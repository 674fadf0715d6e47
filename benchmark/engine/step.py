"""One training step: a batch as it lies on disk is made ready on the device, and the network learns from it."""

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
"""What a batch is given to, and returns its loss."""


def step(model: nn.Module, batch: Batch, optim_wrapper: OptimWrapper) -> Tensor:
    """One training step; returns the loss."""
    found = loss(model, batch, optim_wrapper)
    optim_wrapper.update_params(found)
    return found.detach()


def passes(model: nn.Module, batch: Batch, optim_wrapper: OptimWrapper) -> Tensor:
    """Forward and backward pass of a step: leaves gradients, of this batch alone, and returns the loss."""
    model.zero_grad()
    found = loss(model, batch, optim_wrapper)
    optim_wrapper.backward(optim_wrapper.scale_loss(found))
    return found.detach()


@contextmanager
def rehearsal(model: nn.Module, optim_wrapper: OptimWrapper) -> Iterator[None]:
    """Within it, passes are tried: what they change is put back at the end, and their gradients are dropped."""
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
    """The loss on a batch, as mmengine's models make it.

    What mmengine adds to the graph is left out: the mean of losses that are one number already, their sum with zero.
    """
    network: Any = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
    with optim_wrapper.optim_context(model):
        inputs = prepared(batch, network.data_preprocessor, memory_format(network))
        losses = model(**inputs, mode="loss")
    return reduce(add, (_mean(value) for name, value in losses.items() if "loss" in name))


def prepared(
    batch: Batch, preprocessor: SegDataPreProcessor, memory_format: torch.memory_format = torch.contiguous_format
) -> dict[str, Any]:
    """What a segmentor takes, on its device: what its data preprocessor makes of the images one by one.

    Args:
        batch: images and labels, all of the size that the preprocessor would pad them to.
        preprocessor: says where they go, and how their values are scaled.
        memory_format: of the images that are returned.

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
    """A loss as one number; a list stands for the sum of its means."""
    if isinstance(loss, list):
        return reduce(add, map(_mean, loss))
    return loss.mean() if loss.ndim else loss
