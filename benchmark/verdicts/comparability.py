"""Comparability of a published accuracy with ours: the axes on which they differ.

Facts that a source does not state are not mismatches, but are listed as assumptions of the verdict. A fact that is
unknown of ours but stated by the source is a mismatch, as nothing shows that the two agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmark.catalog.references import Reference
from benchmark.datasets import catalog as datasets
from benchmark.results.summary import Summary

STATED = ("input_size", "scales", "flip", "crop", "pretraining", "extra_data", "iterations", "batch", "void")
"""The facts of a protocol that a verdict depends on: fields of `StatedProtocol`."""

UNUSUAL = ("classes", "crf")
"""Facts that sources state only if they are unusual."""

CHANGED = {"max_iters": "iterations", "batch_size": "batch", "init": "pretraining", "crf": "crf"}
"""Overrides that affect accuracy, by the fact that they change: a source that does not state it means the default."""


def mismatches(reference: Reference, run: Summary, metric: str) -> list[str]:
    """Return why the two are not comparable, a line for each axis; empty if they are.

    Args:
        reference: a published accuracy.
        run: a result.
        metric: the compared score: miou, macc or aacc.
    """
    ours = facts(run, metric)
    return [
        *([f"source: {reference.objection}"] if reference.objection else []),
        *([f"network: {reference.network}"] if reference.network else []),
        *(
            f"{axis.replace('_', ' ')}: {_shown(value)}, ours {_shown(ours[axis])}"
            for axis, value in _stated(reference).items()
            if value is not None and value != ours[axis]
        ),
        *_changed(reference, run, ours),
    ]


def unstated(reference: Reference) -> list[str]:
    """Return the facts that the source does not state."""
    return [axis.replace("_", " ") for axis in STATED if getattr(reference.protocol, axis) is None]


def facts(run: Summary, metric: str) -> dict[str, Any]:
    """Return the facts of our score in the vocabulary of the metafiles; None for unknown ones."""
    axes = run.conditions.axes
    name, crop = _at(axes, "data", "dataset"), _at(axes, "augmentation", "crop_size")
    known = (datasets.EMBEDDED | datasets.ON_DISK).get(name)
    return {
        "dataset": name,
        "split": _at(axes, "splits", "test", "split"),  # the substitute for test, if that is not public
        "metric": metric,
        "classes": len(known.classes) if known else None,
        "input_size": None if run.input is None else tuple(int(side) for side in run.input.split("x")),
        "scales": "single",  # no protocol has several scales
        "flip": False,
        "crop": crop and tuple(crop),
        "pretraining": None if "pretraining" not in axes else axes["pretraining"] or "none",
        "extra_data": "none",
        "iterations": _at(axes, "schedule", "iterations"),
        "batch": axes.get("batch"),
        "void": axes.get("void"),
        "crf": "crf" in axes.get("evaluation", {}),
    }


def _at(axes: Mapping[str, Any], *path: str) -> Any:
    """Return a nested axis; None if a result does not have it."""
    found: Any = axes
    for name in path:
        found = found.get(name, {}) if isinstance(found, Mapping) else {}
    return None if found == {} else found


def _stated(reference: Reference) -> dict[str, Any]:
    named = {axis: getattr(reference, axis) for axis in ("dataset", "split", "metric")}
    return named | {axis: getattr(reference.protocol, axis) for axis in (*STATED, *UNUSUAL)}


def _changed(reference: Reference, run: Summary, ours: Mapping[str, Any]) -> Iterator[str]:
    for override, value in run.conditions.overrides.items():
        axis = CHANGED.get(override)
        if axis and getattr(reference.protocol, axis, None) is None:
            changed = value if axis == override else ours[axis]
            yield f"{axis}: not stated, ours changed to {_shown(changed)}"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "not known"
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)
