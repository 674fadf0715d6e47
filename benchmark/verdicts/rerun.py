"""Reproduction of a result by a repeated run: bitwise, or within the variation between seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from benchmark.analysis.axes import differing
from benchmark.analysis.ranking import groups
from benchmark.catalog.references import TITLES
from benchmark.results.record import Environment, Record
from benchmark.results.summary import Summary, summarise
from benchmark.verdicts.accuracy import samples

BAND = 1.0
"""Allowed difference of mIoU in points if fewer than two seeds estimate the variance: the default margin of `verify`
(`accuracy.MARGIN`), and the 95 % range of pairs of seeds with a standard deviation of 0.36."""

CONFIDENCE = 0.95
"""The probability that the difference of a pair of seeds is within the band."""

Arrays = Mapping[str, NDArray[Any]]


class Band(NamedTuple):
    """The allowed difference of two mIoU in points, and its source."""

    points: float
    source: str


class ComparedValue(NamedTuple):
    """A compared figure: the old value, the new value, and their difference, None if they are equal."""

    name: str
    then: str
    now: str
    differs: str | None


@dataclass(frozen=True)
class Reproduction:
    """The outcome of a repeated run.

    Attributes:
        figures: all compared figures.
        difference: mIoU of the last checkpoint on test, new - old, in points.
        bitwise: whether all figures are equal.
        reproduced: whether the result is reproduced.
        reason: the reason, in one line.
    """

    figures: Sequence[ComparedValue]
    difference: float
    bitwise: bool
    reproduced: bool
    reason: str


def mismatches(then: Record, now: Record) -> list[str]:
    """Return why two results are not of the same run, a line for each axis; empty if they are.

    The code may differ: the repeated run shows whether that changes anything.
    """
    lines = [
        f"{axis} is {was} in the result, and {here} here"
        for axis, (was, here) in differing(then.protocol.axes, now.protocol.axes).items()
    ]
    if then.architecture != now.architecture or then.seed != now.seed:
        lines.append("architecture or seed differ")
    if then.config_sha256 != now.config_sha256:
        lines.append(
            f"the network of {then.architecture} differs here: the hash of its config was "
            f"{then.config_sha256[:12]}, and is {now.config_sha256[:12]}"
        )
    return lines


def environment_differences(then: Record, now: Record) -> dict[str, tuple[Any, Any]]:
    """Return the differences of the two environments and settings, by name."""
    return differing(_environment(then), _environment(now))


def must_be_equal(then: Environment, now: Environment) -> bool:
    """Return whether the two runs must agree to the last bit.

    On a CPU the order of operations is the same for the same processor, number of threads and packages. On a GPU it is
    not guaranteed: libraries choose algorithms by timing, and the training mode is autotuned.
    """
    alike = ("cpu", "threads", "packages", "device", "world_size")
    same = all(getattr(then, name) == getattr(now, name) for name in alike)
    return same and then.device == "cpu" and then.deterministic and now.deterministic


def band(record: Record, runs: Iterable[Summary]) -> Band:
    """Return the band within which another run must be: that of two seeds of its architecture.

    Another run of the same seed differs no more than one of another seed, which also differs in initial weights,
    batches and all random draws. The standard deviation between seeds is estimated as in `verify`, moderated by the
    other architectures of the protocol.

    Args:
        record: the result.
        runs: results; those of the same protocol estimate the variance between seeds.
    """
    own = summarise(record)
    everything = [*(run for run in runs if run.run_id != own.run_id), own]
    for group in groups(everything):
        if group.fingerprint != record.protocol.fingerprint:
            continue
        for sample in samples(group):
            if sample.run.architecture == record.architecture and sample.variance and sample.variance.value > 0:
                deviation = math.sqrt(sample.variance.value)
                reach = float(stdtrit(sample.variance.df, (1 + CONFIDENCE) / 2)) * math.sqrt(2) * deviation
                return Band(reach, f"{CONFIDENCE:.0%} of two seeds, whose deviation is {deviation:.2f}")
    return Band(BAND, "the protocol has no two seeds to estimate their variance")


def reproduction(then: Record, now: Record, old: Arrays, new: Arrays, allowed: Band) -> Reproduction:
    """Compare a result with that of the repeated run.

    Args:
        then: the result, evaluated on test.
        now: the result of the repeated run, evaluated on test.
        old: arrays of the result.
        new: arrays of the repeated run.
        allowed: allowed difference of mIoU if they need not be equal.
    """
    figures = [*_scores(then, now), *_counts(then, now, old, new), *_curves(then, now), *_checkpoints(then, now)]
    first, second = then.evaluation(), now.evaluation()
    assert first is not None
    assert second is not None
    difference = second.miou - first.miou
    bitwise = not any(figure.differs for figure in figures)
    if bitwise:
        return Reproduction(figures, difference, True, True, "counts, losses and weights are equal")
    code, today = then.environment.code, now.environment.code
    other_code = code.digest not in (None, today.digest)  # otherwise it is the same as far as is known
    if must_be_equal(then.environment, now.environment) and not other_code:
        reason = "a deterministic run on the same processor, with the same threads and packages, must be equal"
        return Reproduction(figures, difference, False, False, reason)
    within = abs(difference) <= allowed.points
    reason = f"mIoU {difference:+.3f}, band {allowed.points:.2f} ({allowed.source})"
    if other_code:
        reason += "; code that can change results has changed since"
    return Reproduction(figures, difference, False, within, reason)


def _environment(record: Record) -> dict[str, Any]:
    environment, execution = record.environment, record.training and record.training.execution
    kept = environment.model_dump(exclude={"packages_sha256", "platform", "memory", "cores", "adaptations"})
    return kept | ({"execution": execution.model_dump(exclude={"compile_seconds"})} if execution else {})


def _scores(then: Record, now: Record) -> Iterator[ComparedValue]:
    for before in then.evaluations:
        after = now.evaluation(before.checkpoint, before.split)
        for metric, title in TITLES.items():
            was, found = getattr(before, metric), getattr(after, metric) if after else math.nan
            differs = None if was == found else f"{found - was:+.3g}"
            yield ComparedValue(
                f"{title} of {before.checkpoint} on {before.split}", f"{was:.4f}", f"{found:.4f}", differs
            )


def _counts(then: Record, now: Record, old: Arrays, new: Arrays) -> Iterator[ComparedValue]:
    for before in then.evaluations:
        after = now.evaluation(before.checkpoint, before.split)
        if after is None:
            continue
        was, found = (_by_name(arrays, each.counts, each.split) for arrays, each in ((old, before), (new, after)))
        changed = sum(name not in found or not np.array_equal(was[name], found[name]) for name in was)
        pixels = sum(int(np.abs(was[name] - found[name]).sum()) // 2 for name in was if name in found)
        differs = f"{changed} images, {pixels} pixels" if changed else None
        yield ComparedValue(f"counts of {before.checkpoint} on {before.split}", f"{len(was)}", f"{len(found)}", differs)


def _by_name(arrays: Arrays, counts: str, split: str) -> dict[str, NDArray[np.int64]]:
    return dict(zip(arrays[f"names_{split}"].tolist(), arrays[counts], strict=True))


def _curves(then: Record, now: Record) -> Iterator[ComparedValue]:
    for name, title in (("loss", "loss"), ("val_miou", "mIoU on val")):
        was, found = (list(getattr(each.training, name)) if each.training else [] for each in (then, now))
        # A missing tail is a difference from its first element.
        different = [pair for pair in zip(was, found, strict=False) if pair[0] != pair[1]]
        differs = None
        if different or len(was) != len(found):
            at = different[0][0][0] if different else max(was, found, key=len)[min(len(was), len(found))][0]
            differs = f"from iteration {at} on"
        ends = [f"{points[-1][1]:.4f}" if points else "-" for points in (was, found)]
        yield ComparedValue(title, ends[0], ends[1], differs)


def _checkpoints(then: Record, now: Record) -> Iterator[ComparedValue]:
    was, found = ({each.name: each.sha256 for each in record.artifacts} for record in (then, now))
    for name in sorted(was):
        if name.startswith("checkpoint_"):
            hashes = was[name][:12], found.get(name, "-")[:12]
            yield ComparedValue(
                name.replace("_", " "), *hashes, None if was[name] == found.get(name) else "another file"
            )
