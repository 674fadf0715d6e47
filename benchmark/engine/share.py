"""The part of a global batch that one of several processes computes, and the exchange of such parts.

Process r of N computes the images r, r + N, r + 2N and so on of a batch, as `inputs.batches` shares them out. A tensor
of the whole batch has the images in the order that they have with one process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.dist import all_reduce, broadcast, get_dist_info, is_distributed
from torch import Tensor
from torch import distributed as dist


@dataclass(frozen=True)
class Share:
    """The images of a batch that one process computes.

    Attributes:
        rank: number of the process, from 0.
        processes: number of processes.
        batch: images of the whole batch; at least one for each process.
    """

    rank: int
    processes: int
    batch: int

    @classmethod
    def of(cls, images: int) -> Share:
        """Return the share of this process; all processes must call this.

        Args:
            images: images of this process.

        Raises:
            RuntimeError: the processes do not share a batch as `inputs.batches` does.
        """
        rank, processes = get_dist_info()
        total = torch.tensor([images])
        all_reduce(total)
        share = cls(rank, processes, int(total))
        if share.images != images:
            raise RuntimeError(f"process {rank} of {processes} has {images} images of a batch of {share.batch}")
        return share

    @property
    def images(self) -> int:
        """Number of images of this process."""
        return len(range(self.rank, self.batch, self.processes))

    def mine(self, whole: Tensor) -> Tensor:
        """Return the part of this process of a tensor of the whole batch.

        Args:
            whole: shape (k x batch, ...), the k rows of an image one after the other.
        """
        rows = whole.unflatten(0, (self.batch, -1))[self.rank :: self.processes]
        mine: Tensor = rows.flatten(0, 1)
        return mine

    def whole(self, mine: Tensor) -> Tensor:
        """Return a tensor of the whole batch; all processes must call this.

        The gradient of the result must be the same in all processes, as of a loss that all compute: each passes its
        part of it on.

        Args:
            mine: shape (images of this process, ...), on any device.
        """
        apply: Any = _Whole.apply
        found: Tensor = apply(mine, self)
        return found


class _Whole(torch.autograd.Function):
    """Gather the parts of a batch."""

    @staticmethod
    def forward(ctx: Any, mine: Tensor, share: Share) -> Tensor:
        ctx.share = share
        most = -(-share.batch // share.processes)  # the last processes may have one image less
        padded = mine.new_zeros((most, *mine.shape[1:]))
        padded[: len(mine)] = mine
        parts = [torch.empty_like(padded) for _ in range(share.processes)]
        dist.all_gather(parts, padded)
        return torch.stack(parts, dim=1).flatten(0, 1)[: share.batch]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.share.mine(gradients[0]).contiguous(), None


def agreed(decision: bool) -> bool:
    """Return the decision of the first process, which all processes must request alike."""
    if not is_distributed():
        return decision
    found = torch.tensor([decision], dtype=torch.uint8)
    broadcast(found)
    return bool(found)


def summed(numbers: Sequence[int]) -> list[int]:
    """Return the sums over all processes of some numbers of each."""
    if not is_distributed():
        return list(numbers)
    found = torch.tensor(numbers)
    all_reduce(found)
    totals: list[int] = found.tolist()
    return totals


def largest(number: int | None) -> int | None:
    """Return the largest number of all processes, for which it waits; None if none has one."""
    if not is_distributed():
        return number
    found = torch.tensor([-1 if number is None else number])
    all_reduce(found, "max")
    return None if found < 0 else int(found)


def gathered(part: Any) -> list[Any]:
    """Return an object of each process, in the first process; nothing in the others."""
    rank, processes = get_dist_info()
    parts = [None] * processes if rank == 0 else None
    dist.gather_object(part, parts)
    return parts or []
