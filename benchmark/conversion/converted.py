"""Result of a conversion of third-party weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Converted:
    """Weights by the names of our modules.

    Attributes:
        state: tensors by the names of the whole segmentor: `backbone.`, `decode_head.`.
        options: options to merge into the architecture's model config for these weights; empty for the default.
    """

    state: dict[str, Tensor]
    options: dict[str, Any]
