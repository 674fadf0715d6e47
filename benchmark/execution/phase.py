"""A phase of a run in the plan."""

from __future__ import annotations

from typing import NamedTuple


class Phase(NamedTuple):
    """A phase of a run, or of other work that is counted.

    Attributes:
        name: as in reports of progress: "first_stage", "train", "val" or "test".
        amount: its iterations, images or items; those of val and test of all passes over the split.
        seconds: estimated seconds of all of them.
    """

    name: str
    amount: int
    seconds: float
