"""Check a protocol: values that are stored both in its axes and in the record must agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmark.confusion import METRIC_VERSION
from benchmark.results.checks.axes import axis, number
from benchmark.results.record import Dataset, Protocol, fingerprint

OVERRIDES = {
    "max_iters": "schedule.iterations",
    "batch_size": "batch",
    "precision": "precision",
    "init": "pretraining",
    "data": "data.dataset",
}
"""The axis that an override changes."""


def check_fingerprint(protocol: Protocol) -> Iterator[str]:
    """Compare the fingerprint with the hash of the axes."""
    if protocol.fingerprint != fingerprint(protocol.axes):
        yield f"fingerprint {protocol.fingerprint} is not the hash of the axes, {fingerprint(protocol.axes)}"


def check_protocol(protocol: Protocol, dataset: Dataset) -> Iterator[str]:
    """Compare the axes with the data, the void rule, the overrides and each other."""
    axes = protocol.axes
    for name, here in (("digest", dataset.digest), ("dataset", dataset.name)):
        found = axis(axes, f"data.{name}")
        if found not in (None, here):
            what = "digest" if name == "digest" else "name"
            yield f"the {what} of the dataset differs from that in the axes, {found}"
    if axis(axes, "data.classes") not in (None, dataset.classes):
        yield f"the classes of the dataset differ from those in the axes, {axis(axes, 'data.classes')}"
    if axis(axes, "void") not in (None, protocol.void):
        yield f"void is {protocol.void}, but {axis(axes, 'void')} in the axes"
    metric = axis(axes, "evaluation.metric")
    if metric is not None and (type(metric) is not int or not 1 <= metric <= METRIC_VERSION):
        yield f"evaluation.metric is {metric} in the axes, but versions of the metric are 1 to {METRIC_VERSION}"
    yield from _overrides(protocol)
    yield from _stage(axes, "")
    if isinstance(axis(axes, "first_stage"), Mapping):
        yield from _stage(axes["first_stage"], "first_stage.")


def _overrides(protocol: Protocol) -> Iterator[str]:
    axes, overrides = protocol.axes, protocol.overrides
    for name, place in OVERRIDES.items():
        found = axis(axes, place)
        if name in overrides and found is not None and found != overrides[name]:
            yield f"the override {name} is {overrides[name]}, but {place} in the axes is {found}"
    interval, found = overrides.get("val_interval"), number(axes, "schedule.validation_interval")
    if type(interval) is int and found is not None:
        expected = min(interval, number(axes, "schedule.iterations") or interval)
        if found != expected:
            yield f"the override val_interval is {interval}, but schedule.validation_interval in the axes is {found}"
    if "crf" in overrides and "evaluation" in axes and not axis(axes, "evaluation.crf"):
        yield f"the override crf is {overrides['crf']}, but the axes have no evaluation.crf"
    if axis(axes, "evaluation.crf") and "crf" not in overrides:
        yield "the axes have an evaluation.crf without an override"


def _stage(axes: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """Compare the axes of one stage of the training with each other."""
    crop, size = axis(axes, "augmentation.crop_size"), axis(axes, "input.size")
    if size is not None and crop is not None and list(size) != list(crop):
        yield f"{prefix}input.size is {size} in the axes, but augmentation.crop_size is {crop}"
    iterations, interval = number(axes, "schedule.iterations"), number(axes, "schedule.validation_interval")
    if iterations is not None and interval is not None and not 1 <= interval <= iterations:
        yield f"{prefix}schedule.validation_interval is {interval} in the axes, with {iterations} iterations"
    steps = axis(axes, "schedule.learning_rate")
    ends = [step.get("end") for step in steps if isinstance(step, Mapping)] if isinstance(steps, list) else []
    last = max((end for end in ends if type(end) is int), default=None)
    # In a very short training, a step that would vanish takes one iteration more.
    if iterations is not None and last is not None and not 0 <= last - iterations <= len(ends):
        yield f"{prefix}schedule.learning_rate ends at {last} in the axes, with {iterations} iterations"
