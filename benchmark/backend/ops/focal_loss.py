"""Sigmoid focal loss: https://arxiv.org/abs/1708.02002, equation 5, on each class separately.

With p = sigmoid(input), the loss of the target class is -alpha (1 - p)^gamma log p, that of every other class
-(1 - alpha) p^gamma log(1 - p). A target outside the classes is background: every class is treated as another.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Compute the loss of each sample and class.

    Args:
        input: logits (samples, classes).
        target: class index (samples,).
        weight: weight of the target's class (classes,), or empty for equal weights.
        output: (samples, classes), overwritten.
        gamma: exponent that reduces the loss of well-classified samples.
        alpha: weight of the target's class; the others have 1 - alpha.
    """
    positive, logit = _sided(input, target)
    loss = -(-logit).sigmoid().pow(gamma) * F.logsigmoid(logit)
    output.copy_(torch.where(positive, alpha * loss, (1 - alpha) * loss) * _class_weight(weight, target))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Compute the derivative of each loss by its logit into `grad_input`; see the forward pass."""
    positive, logit = _sided(input, target)
    p, q = logit.sigmoid(), (-logit).sigmoid()
    slope = q.pow(gamma) * (gamma * p * F.logsigmoid(logit) - q)  # derivative of -q^gamma log p: p' = p q, q' = -p q
    grad_input.copy_(torch.where(positive, alpha * slope, (alpha - 1) * slope) * _class_weight(weight, target))


def _sided(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the target mask, and the signed logit: negation turns p into 1 - p, so one formula suffices."""
    positive = target[:, None] == torch.arange(input.shape[1], device=input.device)
    return positive, torch.where(positive, input, -input)


def _class_weight(weight: Tensor, target: Tensor) -> Tensor | int:
    return weight[target.clamp(0, len(weight) - 1)][:, None] if weight.numel() else 1
