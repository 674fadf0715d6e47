"""Class-weighted cross-entropy, averaged like PyTorch's `cross_entropy(weight=...)`.

mmsegmentation's own, with class weights, looks up the weight of every label, which fails for void pixels, whose label
is not a class; and by default it divides by the number of all pixels, including void.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from benchmark.models.layers.memory_format import is_channels_last, pixels

LABELS = 256
"""Number of possible label values."""


@MODELS.register_module()
class WeightedCrossEntropyLoss(nn.Module):
    """The weighted mean over pixels: sum(w l) / sum(w), with w the weight of a pixel's class.

    Args:
        class_weight: weight of every class.
        loss_weight: factor of the loss.
        loss_name: name under which mmsegmentation's heads return it.
    """

    _weights: Tensor

    def __init__(self, class_weight: Sequence[float], loss_weight: float = 1.0, loss_name: str = "loss_ce") -> None:
        super().__init__()
        self.loss_weight, self.loss_name = loss_weight, loss_name
        weights = torch.zeros(LABELS)
        weights[: len(class_weight)] = torch.tensor(class_weight)
        self.register_buffer("_weights", weights, persistent=False)

    def forward(
        self, cls_score: Tensor, label: Tensor, weight: Tensor | None = None, ignore_index: int = 255
    ) -> Tensor:
        """Compute the loss as a scalar; 0 if all pixels are ignored.

        Args:
            cls_score: scores, (N, classes, ...).
            label: classes, (N, ...).
            weight: weight of every pixel in addition to that of its class, (N, ...).
            ignore_index: label of ignored pixels.
        """
        if is_channels_last(cls_score):  # `log_softmax` along the channels, and its gradient, would be contiguous
            cls_score, label = pixels(cls_score), label.flatten()
            weight = None if weight is None else weight.flatten()
        weights = self._weights[label] * (label != ignore_index)
        if weight is not None:
            weights = weights * weight
        losses = F.cross_entropy(cls_score, label, reduction="none", ignore_index=ignore_index)
        return self.loss_weight * (weights * losses).sum() / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)
