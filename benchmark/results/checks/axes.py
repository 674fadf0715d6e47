"""Read the axes of a protocol: plain JSON data, whose layout may differ between versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def axis(axes: Mapping[str, Any], name: str) -> Any:
    """Return the value at a dotted name, `schedule.iterations`; None if it is missing."""
    found: Any = axes
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found


def number(axes: Mapping[str, Any], name: str) -> int | None:
    """Return the integer at a dotted name; None if it is missing."""
    found = axis(axes, name)
    return found if type(found) is int else None
