"""The accuracy of each training batch, which mmsegmentation's heads compute and nobody here reads.

The backend has to be active.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmseg.models.decode_heads import ddr_head, decode_head, pid_head, point_head
from torch import Tensor

HEADS = (ddr_head, decode_head, pid_head, point_head)
"""Modules that call `accuracy` by this name."""


@contextmanager
def unread() -> Iterator[None]:
    """Within it, the heads leave their accuracy out.

    It picks pixels by a mask, for which the device has to finish, twice a head and iteration.
    """
    theirs = [head.accuracy for head in HEADS]
    try:
        for head in HEADS:
            head.accuracy = _nothing
        yield
    finally:
        for head, accuracy in zip(HEADS, theirs, strict=True):
            head.accuracy = accuracy


def _nothing(*_: Any, **__: Any) -> Tensor:
    return torch.empty(0)
