"""Training with a network that `torch.compile` has compiled.

Its parts are compiled one by one, losses are not. A part is compiled in training alone: evaluation, which other
programs repeat with the same weights, runs as it always does. Names of weights stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial, wraps
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from benchmark.datasets.batches import Batch
from benchmark.engine.step import passes, rehearsal
from benchmark.engine.trial import timed
from benchmark.errors import UserError

PARTS = ("backbone", "neck", "decode_head", "auxiliary_head")


def compiled(model: nn.Module, batch: Batch, optim_wrapper: OptimWrapper) -> float:
    """Compile a segmentor for its training.

    Args:
        model: the segmentor; it computes as before, and trains faster.
        batch: a batch of the training; all others are of its shape.
        optim_wrapper: how it is trained.

    Returns:
        Seconds that it took, the passes on this batch included.

    Raises:
        UserError: it cannot be compiled.
    """
    from torch._dynamo.exc import TorchDynamoException  # takes a second to import

    for part in _parts(model):
        part.forward = _in_training(part)
    with rehearsal(model, optim_wrapper):
        try:
            return timed(partial(passes, model, batch, optim_wrapper))
        except TorchDynamoException as error:
            raise UserError(f"the network cannot be compiled: {str(error).strip().partition(chr(10))[0]}") from error


def _parts(model: nn.Module) -> Iterator[nn.Module]:
    for name in PARTS:
        part = getattr(model, name, None)
        if isinstance(part, nn.ModuleList):
            yield from part
        elif part is not None:
            yield part


def _in_training(part: nn.Module) -> Callable[..., Any]:
    """`forward` of a part, which heads call as such: its compiled version in training."""
    eager = part.forward
    fast = torch.compile(eager)

    @wraps(eager)
    def forward(*args: Any, **kwargs: Any) -> Any:
        return (fast if part.training else eager)(*args, **kwargs)

    return forward
