"""Convert checkpoints of mmsegmentation, including ours: our modules are built from its own and have its names."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor

from benchmark.conversion.converted import Converted


def convert(found: Mapping[str, Tensor], wanted: Collection[str]) -> Converted | None:
    """Return the weights unchanged; None where no name is one of the segmentor's."""
    if not found.keys() & set(wanted):
        return None
    return Converted(dict(found), {})
