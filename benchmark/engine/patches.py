"""Patches of mmsegmentation for training, which skip unused results, copies and conversions of its heads.

In contiguous format and float32, losses and gradients stay bitwise equal. The backend must be active.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from mmseg.models import utils
from mmseg.models.decode_heads import ddr_head, decode_head, pid_head, point_head
from mmseg.models.losses import CrossEntropyLoss, cross_entropy_loss
from torch import Tensor

from benchmark.engine import deterministic
from benchmark.models.layers.memory_format import channels_last_mean, is_channels_last, pixels

HEADS = (ddr_head, decode_head, pid_head, point_head)
"""Modules that call `accuracy` under this name."""


@contextmanager
def training_patches() -> Iterator[None]:
    """Apply all patches of this module while a network trains."""
    with skip_accuracy(), skip_resize(), keep_dtype(), deterministic_operators(), keep_memory_format():
        yield


@contextmanager
def skip_accuracy() -> Iterator[None]:
    """Skip the accuracy of each training batch, which mmsegmentation's heads compute.

    It indexes pixels by a mask, which synchronizes with the device, twice per head and iteration.
    """
    with replaced(HEADS, "accuracy", lambda *_, **__: torch.empty(0)):
        yield


@contextmanager
def skip_resize() -> Iterator[None]:
    """Skip mmsegmentation's interpolation of logits that already have the size of their labels."""
    resize = decode_head.resize

    def resized(input: Tensor, size: Any = None, *args: Any, **kwargs: Any) -> Tensor:
        if torch.is_autocast_enabled(input.device.type):
            input = input.float()  # as autocast does before it interpolates, so that losses are computed in float32
        if size is not None and tuple(size) == tuple(input.shape[2:]):
            return input
        result: Tensor = resize(input, size, *args, **kwargs)
        return result

    with replaced([decode_head], "resize", resized):
        yield


@contextmanager
def keep_dtype() -> Iterator[None]:
    """Return resized feature maps in their own data type; only logits become float32 under autocast, for the loss.

    Autocast interpolates in float32, and concatenation then converts the other maps to float32, too.
    """
    resize = utils.resize

    def resized(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        result: Tensor = resize(input, *args, **kwargs)
        return result.to(input.dtype)

    modules = [module for name, module in sys.modules.items() if name.startswith("mmseg.models.")]
    users = [each for each in modules if vars(each).get("resize") is resize and each is not decode_head]
    with replaced(users, "resize", resized):
        yield


@contextmanager
def keep_memory_format() -> Iterator[None]:
    """Keep gradients of means and, by a per-pixel computation, of cross-entropies in channels_last format.

    `log_softmax` along the channels copies logits in that format, and returns a contiguous gradient.
    """
    forward, adaptive_avg_pool2d = CrossEntropyLoss.forward, F.adaptive_avg_pool2d

    def flat(self: Any, cls_score: Tensor, label: Tensor, weight: Tensor | None = None, **kwargs: Any) -> Tensor:
        plain = self.cls_criterion is cross_entropy_loss.cross_entropy and self.class_weight is None
        if plain and is_channels_last(cls_score):
            cls_score, label = pixels(cls_score), label.flatten()
            weight = None if weight is None else weight.flatten()
        loss: Tensor = forward(self, cls_score, label, weight, **kwargs)
        return loss

    def pooled(input: Tensor, output_size: Any) -> Tensor:
        if output_size in (1, (1, 1)) and is_channels_last(input):
            return channels_last_mean(input)
        return adaptive_avg_pool2d(input, output_size)

    with replaced([CrossEntropyLoss], "forward", flat), replaced([F], "adaptive_avg_pool2d", pooled):
        yield


@contextmanager
def deterministic_operators() -> Iterator[None]:
    """Replace operators that PyTorch refuses to differentiate on CUDA in deterministic mode; see `deterministic`."""
    with (
        replaced([F], "adaptive_avg_pool2d", deterministic.deterministic_adaptive_avg_pool2d),
        replaced([F], "grid_sample", deterministic.deterministic_grid_sample),
    ):
        yield


@contextmanager
def replaced(owners: Iterable[Any], name: str, function: Callable[..., Any]) -> Iterator[None]:
    """Replace a function of modules, classes or objects within the context."""
    theirs = [(owner, getattr(owner, name)) for owner in owners]
    try:
        for owner, _ in theirs:
            setattr(owner, name, function)
        yield
    finally:
        for owner, original in theirs:
            setattr(owner, name, original)
