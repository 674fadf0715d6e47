"""Random draws of a forward pass on a batch that several processes share.

Every process draws for the whole batch, from generators in the same state, and uses the part of its own images: the
numbers are those that one process draws. This holds for draws by operators of PyTorch in the shape of the batch; a
network that draws in other ways, such as by NumPy, draws the same numbers in every process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.engine.patches import replaced
from benchmark.engine.share import Share

Function = Callable[..., Tensor]

DROPOUTS = ("dropout", "dropout1d", "dropout2d", "dropout3d")
"""Functions of `torch.nn.functional` that multiply elements or channels by random factors."""

ALPHA_DROPOUTS = ("alpha_dropout", "feature_alpha_dropout")
"""Those that also add random numbers."""

CREATED = ("rand", "randn", "randint")
"""Functions of torch whose argument is a shape."""

LIKE = ("rand_like", "randn_like", "randint_like", "bernoulli")
"""Functions of torch whose argument is a tensor of the shape."""

FILLED = ("bernoulli_", "uniform_", "normal_", "exponential_", "random_")
"""Methods of tensors."""


@contextmanager
def of_whole_batch(share: Share) -> Iterator[None]:
    """Take each draw that has the shape of this process' images from one for the whole batch.

    Args:
        share: the images of this process.
    """
    wrappers: tuple[tuple[Any, Sequence[str], Callable[[Function, Share], Function]], ...] = (
        (F, DROPOUTS, _multiplied),
        (F, ALPHA_DROPOUTS, _applied),
        (torch, CREATED, _created),
        (torch, LIKE, _like),
        (Tensor, FILLED, _filled),
    )
    with ExitStack() as stack:
        for owner, names, wrap in wrappers:
            for name in names:
                stack.enter_context(replaced([owner], name, wrap(getattr(owner, name), share)))
        yield


def _multiplied(dropout: Function, share: Share) -> Function:
    """Multiply by the factors of a dropout of the whole batch, which are what it makes of ones."""

    def multiplied(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if not training or not _has_images(input, share):
            return dropout(input, p, training, inplace)
        with torch.no_grad():
            channels = (*input.shape[:2], *[1] * (input.ndim - 2))
            like = input if dropout.__name__ == "dropout" else input.new_empty(channels)
            factors = share.mine(dropout(_whole_like(like, share).fill_(1), p))
        return input.mul_(factors) if inplace else input * factors

    return multiplied


def _applied(dropout: Function, share: Share) -> Function:
    """Apply a dropout to the whole batch, with zeros for the images of other processes."""

    def applied(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
        if not training or not _has_images(input, share):
            return dropout(input, p, training, inplace)
        return share.mine(dropout(_placed(input, share), p, training))

    return applied


def _created(draw: Function, share: Share) -> Function:
    def created(*args: Any, **kwargs: Any) -> Tensor:
        before, shape = _split(args, kwargs)
        if not _is_batch(shape, share) or kwargs.get("generator") is not None:
            return draw(*args, **kwargs)
        kwargs.pop("size", None)
        return share.mine(draw(*before, (share.batch, *shape[1:]), **kwargs)).contiguous()

    return created


def _like(draw: Function, share: Share) -> Function:
    def like(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if not _is_batch(input.shape, share) or kwargs.get("generator") is not None:
            return draw(input, *args, **kwargs)
        return share.mine(draw(_placed(input, share), *args, **kwargs)).contiguous()

    return like


def _filled(fill: Function, share: Share) -> Function:
    def filled(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if not _is_batch(input.shape, share) or kwargs.get("generator") is not None:
            return fill(input, *args, **kwargs)
        return input.copy_(share.mine(fill(_whole_like(input, share), *args, **kwargs)))

    return filled


def _has_images(input: Tensor, share: Share) -> bool:
    """Return whether an input has one or more rows for each image, as windows and heads of attention do."""
    return input.ndim > 1 and len(input) > 0 and len(input) % share.images == 0


def _is_batch(shape: Sequence[int], share: Share) -> bool:
    """Return whether a draw has one row for each image; a single number decides for the whole batch."""
    return len(shape) > 0 and shape[0] == share.images and tuple(shape) != (1,)


def _whole_like(input: Tensor, share: Share) -> Tensor:
    """Return an empty tensor of the whole batch with the order of dimensions in memory, in which numbers are drawn."""
    rows = len(input) // share.images * share.batch
    order = sorted(range(input.ndim), key=input.stride, reverse=True)
    empty = input.new_empty([rows if dim == 0 else input.shape[dim] for dim in order])
    return empty.permute([order.index(dim) for dim in range(input.ndim)])


def _placed(input: Tensor, share: Share) -> Tensor:
    """Return a tensor of the whole batch that has zeros for the images of other processes."""
    whole = torch.zeros_like(_whole_like(input, share))
    rows = whole.unflatten(0, (share.batch, -1))
    rows[share.rank :: share.processes] = input.unflatten(0, (share.images, -1))
    return whole


def _split(args: Sequence[Any], kwargs: Any) -> tuple[Sequence[Any], Sequence[int]]:
    """Return the arguments before the shape, and the shape."""
    if "size" in kwargs:
        return args, tuple(kwargs["size"])
    at = next((at for at, each in enumerate(args) if isinstance(each, Sequence)), None)
    if at is not None:
        return args[:at], tuple(args[at])
    return (), args
