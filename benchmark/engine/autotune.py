"""How a network trains fastest, by trial on its own device.

Channels last is 1.2 to 1.5 times as fast for most networks in half precision on a GPU, and slower for some with grouped
convolutions (timm's tables); a CUDA graph is worth its memory where launches take longer than the work. No rule but a
trial tells.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from logging import Logger
from statistics import median
from typing import NamedTuple

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from benchmark.datasets.batches import Batch
from benchmark.engine.graph import GraphedStep, Unfit
from benchmark.engine.layout import arrange
from benchmark.engine.step import Step, passes, rehearsal

WARM_UP, STEPS = 3, 5
"""Steps of a trial that are not timed, in which cuDNN picks its algorithms, and steps that are."""


class Way(NamedTuple):
    """A way to train."""

    layout: str
    """name of the memory layout"""
    graphed: bool
    """whether forward and backward pass are replayed from a CUDA graph"""


def fastest(
    model: nn.Module, batch: Batch, optim_wrapper: OptimWrapper, layouts: Iterable[str], graphed: bool, logger: Logger
) -> Way:
    """The way in which forward and backward pass take least time.

    Args:
        model: the network; it ends as it was, except for its layout.
        batch: a batch of the training.
        optim_wrapper: how it is trained.
        layouts: names of the layouts to try.
        graphed: whether to try graphs as well.
        logger: is told why not.
    """
    seconds = {}
    with rehearsal(model, optim_wrapper):
        for layout in layouts:
            arrange(model, layout)
            seconds[Way(layout, False)] = _seconds(lambda batch: passes(model, batch, optim_wrapper), batch)
            if graphed:
                try:
                    seconds[Way(layout, True)] = _seconds(GraphedStep(model, batch, optim_wrapper).passes, batch)
                except Unfit as reason:
                    logger.info(f"trained without a CUDA graph: {reason}")
                    graphed = False
    return min(seconds, key=seconds.__getitem__)


def timed(call: Callable[[], object]) -> float:
    """Wall time of a call in seconds, with the work that it leaves to the GPU."""
    start = time.perf_counter()
    call()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _seconds(passes: Step, batch: Batch) -> float:
    """Median wall time of forward and backward pass."""
    return median([timed(lambda: passes(batch)) for _ in range(WARM_UP + STEPS)][WARM_UP:])
