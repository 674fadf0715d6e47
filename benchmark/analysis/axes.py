"""The axes of a protocol: everything that can change results. Results with different axes are not comparable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def flat(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Flatten nested axes to (dotted name, value) pairs; a list of plain values is one value."""
    items: Iterable[tuple[Any, Any]]
    if isinstance(tree, Mapping) and tree:
        items = tree.items()
    elif isinstance(tree, list) and any(isinstance(each, Mapping) for each in tree):
        items = enumerate(tree)
    else:
        yield prefix, tree
        return
    for name, value in items:
        yield from flat(value, f"{prefix}.{name}" if prefix else str(name))


def differing(axes: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the axes that differ, by dotted name: both values, None for a missing one."""
    here, there = dict(flat(axes)), dict(flat(others))
    return {
        axis: (here.get(axis), there.get(axis))
        for axis in [*here, *(axis for axis in there if axis not in here)]
        if here.get(axis) != there.get(axis)
    }
