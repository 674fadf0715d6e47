"""Training step of several processes that share each batch and compute what one process computes.

mmengine's and PyTorch's data-parallel training averages losses and gradients of the processes. That is another training
where the processes have different numbers of labelled pixels, and where a loss compares the pixels of a batch (OHEM,
Lovász, Dice). Here the scores of all processes are gathered before a loss, and the gradients are summed after it, so
that the step does not depend on the number of processes up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch import distributed as dist

from benchmark.engine.batch_norm import over_all_processes
from benchmark.engine.draws import of_whole_batch
from benchmark.engine.patches import replaced
from benchmark.engine.share import Share
from benchmark.engine.step import loss
from benchmark.errors import UserError
from benchmark.inputs.batches import Batch

LOSS = "loss_by_feat"
"""Method of mmsegmentation's heads that takes scores and labels."""


class SharedStep:
    """Trains on the batch of which each process has its share; returns the loss of the whole batch.

    Args:
        model: the network, with the same weights in all processes.
        optim_wrapper: optimizer wrapper of the training.

    Raises:
        UserError: no head of the network computes its loss from scores.
    """

    def __init__(self, model: nn.Module, optim_wrapper: OptimWrapper) -> None:
        self._model, self._optim_wrapper = model, optim_wrapper
        self._share: Share | None = None
        self._heads = [module for module in model.modules() if hasattr(module, LOSS)]
        if not self._heads:
            raise _not_shared(model)
        for tensor in (*model.parameters(), *model.buffers()):
            dist.broadcast(tensor.detach(), 0)  # a network of the user's may be initialized without the seed

    def __call__(self, batch: Batch) -> Tensor:
        """Train on a batch; return its loss."""
        share = self._share = self._share or Share.of(len(batch["labels"]))
        network: Any = self._model
        device = network.data_preprocessor.device
        labels = share.whole(batch["labels"].to(device, non_blocking=True))
        with (
            of_whole_batch(share),
            replaced([F], "batch_norm", over_all_processes(F.batch_norm)),
            _losses_of_whole_batch(self._heads, share),
        ):
            found = loss(self._model, {"inputs": batch["inputs"], "labels": labels}, self._optim_wrapper)
            self._optim_wrapper.backward(self._optim_wrapper.scale_loss(found))
        if self._optim_wrapper.should_update():
            sum_gradients(self._model)
            self._optim_wrapper.step()
            self._optim_wrapper.zero_grad()
        return found.detach()


def sum_gradients(model: nn.Module) -> None:
    """Sum the gradients of all processes; weights without one are the same in all."""
    kinds: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
    for weight in model.parameters():
        if weight.grad is not None:
            kinds.setdefault((weight.grad.dtype, weight.grad.device), []).append(weight.grad)
    for gradients in kinds.values():
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        for gradient, total in zip(gradients, flat.split([each.numel() for each in gradients]), strict=True):
            gradient.copy_(total.view_as(gradient))


@contextmanager
def _losses_of_whole_batch(heads: list[nn.Module], share: Share) -> Iterator[None]:
    """Let heads compute their losses from the scores of all processes."""
    within = False

    def of_whole_batch_(head: nn.Module) -> Callable[..., Any]:
        method = getattr(head, LOSS)

        def found(*args: Any, **kwargs: Any) -> Any:
            nonlocal within
            if within:  # a head that calls another one
                return method(*args, **kwargs)
            scores = [_gathered(each, share) for each in args]
            if not any(changed for _, changed in scores):
                raise _not_shared(head)
            within = True
            try:
                return method(*(each for each, _ in scores), **kwargs)
            finally:
                within = False

        return found

    for head in heads:
        setattr(head, LOSS, of_whole_batch_(head))
    try:
        yield
    finally:
        for head in heads:
            delattr(head, LOSS)


def _gathered(value: Any, share: Share) -> tuple[Any, bool]:
    """Return an argument with the tensors of all processes, and whether it has any."""
    if isinstance(value, Tensor) and value.ndim > 1 and len(value) == share.images:
        return share.whole(value), True
    if isinstance(value, list | tuple):
        parts = [_gathered(each, share) for each in value]
        if any(changed for _, changed in parts):
            return type(value)(each for each, _ in parts), True
    if isinstance(value, Mapping):
        found = {name: _gathered(each, share) for name, each in value.items()}
        if any(changed for _, changed in found.values()):
            return {name: each for name, (each, _) in found.items()}, True
    return value, False


def _not_shared(module: nn.Module) -> UserError:
    return UserError(
        f"{type(module).__name__} computes its loss in a way that several processes cannot share: --gpus 1"
    )
