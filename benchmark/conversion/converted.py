"""Result of a conversion of third-party weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

COUNTER = "num_batches_tracked"
"""Counter of batches in batch normalization since PyTorch 0.4.1; older files lack it, and no score depends on it."""


@dataclass(frozen=True)
class Converted:
    """Weights by the names of our modules.

    Attributes:
        state: tensors by the names of the whole segmentor: `backbone.`, `decode_head.`.
        options: options to merge into the architecture's model config for these weights; empty for the default.
    """

    state: dict[str, Tensor]
    options: dict[str, Any]
