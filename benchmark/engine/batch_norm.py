"""Batch normalization over a batch that several processes share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn.modules._functions import SyncBatchNorm


def over_all_processes(batch_norm: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return `F.batch_norm` over the batch of all processes.

    Modules keep their classes and the names of their parameters and buffers, so that checkpoints do not depend on the
    number of processes.

    Args:
        batch_norm: `F.batch_norm` of one process, which is called in evaluation mode.
    """

    def synchronized(
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        if not training:
            return batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
        found: Tensor
        apply: Any
        if input.is_cuda:
            apply = SyncBatchNorm.apply
            found = apply(
                input, weight, bias, running_mean, running_var, eps, momentum, dist.group.WORLD, dist.get_world_size()
            )
            return found
        if weight is None or bias is None:
            one = torch.ones(input.shape[1], dtype=torch.float32, device=input.device)
            weight, bias = one if weight is None else weight, torch.zeros_like(one) if bias is None else bias
        apply = _BatchNorm.apply
        found, mean, var, count = apply(input, weight, bias, eps, batch_norm)
        if running_mean is not None and running_var is not None:
            unbiased = var * count / (count - 1)
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_(unbiased.to(running_var.dtype), momentum)
        return found

    return synchronized


class _BatchNorm(torch.autograd.Function):
    """Batch normalization in training mode on a CPU, for which PyTorch has no synchronized one.

    The means and squared deviations of the processes are merged in float64 (Chan et al., "Updating formulae and a
    pairwise algorithm for computing sample variances", 1979): a difference of large sums would lose digits.
    """

    @staticmethod
    def forward(
        ctx: Any, input: Tensor, weight: Tensor, bias: Tensor, eps: float, batch_norm: Callable[..., Tensor]
    ) -> tuple[Tensor, Tensor, Tensor, int]:
        dims = [dim for dim in range(input.ndim) if dim != 1]
        own = input.numel() // input.shape[1]
        var, mean = torch.var_mean(_precise(input), dims, correction=0)
        moments = torch.stack([mean.double(), var.double(), torch.full_like(mean, own, dtype=torch.float64)])
        parts = [torch.empty_like(moments) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, moments)
        means, variances, counts = torch.stack(parts, dim=1)
        count = counts.sum(0)
        mean = (means * counts).sum(0) / count
        var = ((variances + (means - mean).square()) * counts).sum(0) / count
        ctx.eps, ctx.dims, ctx.count = eps, dims, int(count[0])
        ctx.save_for_backward(input, weight, mean, var)
        statistics = mean.to(weight.dtype), var.to(weight.dtype)
        output = batch_norm(input, *statistics, weight, bias, training=False, eps=eps)
        ctx.mark_non_differentiable(mean, var)
        return output, mean, var, ctx.count

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, Tensor, Tensor, None, None]:
        input, weight, mean, var = ctx.saved_tensors
        shape = [1, -1] + [1] * (input.ndim - 2)
        gradient, input_ = _precise(gradients[0]), _precise(input)
        mean, inverse = mean.to(input_.dtype).view(shape), (var + ctx.eps).rsqrt().to(input_.dtype).view(shape)
        normalized = (input_ - mean) * inverse
        sums = torch.stack([gradient.sum(ctx.dims, dtype=torch.float64), _dot(gradient, normalized, ctx.dims)])
        of_bias, of_weight = sums.to(weight.dtype, copy=True)  # of this process: they are summed later
        dist.all_reduce(sums)
        average, projection = (sums / ctx.count).to(input_.dtype)
        gradient = gradient - average.view(shape) - normalized * projection.view(shape)
        gradient = gradient * (weight.to(input_.dtype).view(shape) * inverse)
        return gradient.to(input.dtype), of_weight, of_bias, None, None


def _precise(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _dot(a: Tensor, b: Tensor, dims: list[int]) -> Tensor:
    return (a * b).sum(dims, dtype=torch.float64)
