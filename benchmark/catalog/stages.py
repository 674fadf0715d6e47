"""The stages of the networks of `model_configs/`: parameters, MACs and output size of each, from a stored table.

The table is counted by `experiments/stages.py`, so that reports need neither torch nor the time to build networks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

TABLE = Path(__file__).with_suffix(".json")

OWN = "backbone.network."
"""Beginning of the names of the modules of a network of the user's in a segmentor."""

CLASSES, SIZE = 11, (360, 480)
"""Number of classes and size of the image for which the stages are counted: those of CamVid."""


class Stage(NamedTuple):
    """A stage of a network.

    Attributes:
        name: name of the module in the segmentor, such as `backbone.layer1`.
        params: parameters used at inference.
        macs: multiply-accumulates for one image.
        output: shape of its output without the batch, such as (channels, height, width); None if it returns no tensor.
    """

    name: str
    params: int
    macs: int
    output: tuple[int, ...] | None


@dataclass(frozen=True)
class Breakdown:
    """The stages of a network, with their sums.

    Attributes:
        stages: the stages in the order of execution.
        size: height and width of the image in pixels.
        classes: number of classes.
    """

    stages: Sequence[Stage]
    size: tuple[int, int] = SIZE
    classes: int = CLASSES

    @property
    def params(self) -> int:
        """The parameters of all stages."""
        return sum(stage.params for stage in self.stages)

    @property
    def macs(self) -> int:
        """The MACs of all stages."""
        return sum(stage.macs for stage in self.stages)

    def share(self, stage: Stage, figure: Literal["params", "macs"]) -> float:
        """Return the share of a stage in percent; 0 if the network has none of it."""
        part, whole = (stage.params, self.params) if figure == "params" else (stage.macs, self.macs)
        return 100 * part / (whole or 1)


def breakdown(architecture: str) -> Breakdown | None:
    """Return the stages of an architecture of `model_configs/`; None for any other."""
    rows = _table().get(architecture)
    if rows is None:
        return None
    return Breakdown([Stage(name, params, macs, output and tuple(output)) for name, params, macs, output in rows])


@cache
def _table() -> dict[str, list[list[Any]]]:
    table: dict[str, list[list[Any]]] = json.loads(TABLE.read_text(encoding="utf-8"))
    return table
