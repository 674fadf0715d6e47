"""Detect label errors from confusion matrices: which error, and the mIoU after its correction.

A network that learned the task but is scored under wrong labels still separates the classes: its large counts are off
the diagonal. Corrections only move or drop rows of the confusion matrix, so their mIoU is computed exactly. A finding
is not a proof, but a reason to check the labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from benchmark.confusion import VoidRule, marginals, percent, scores
from benchmark.results.arrays import read_totals
from benchmark.results.reading import Problem, Stored

Mistake = Literal["labels look permuted", "off by one", "class absent from predictions", "ignore label counted"]

GAIN = 5.0
"""Minimum gain of a correction in points of mIoU: the search for the best of many assignments gains a little on any
counts, but not as much for correct labels."""

SHARE = 0.5
"""Minimum share of the affected classes' corrected IoU that is due to the correction. A confusion of similar classes,
such as rider and pedestrian, leaves each class the best match of itself; with wrong labels it is near 0. It is not
relative to the distance from 100, which is large even for the best networks on 150 classes."""

AGREEMENT = 100 / 3
"""Minimum mean IoU of the affected classes after the correction: that of recall and precision of one half. A network
that has learned little separates pixels too, for example by colour, and some permutation of the classes fits that
better than the identity."""

SIMPLER = 0.9
"""Minimum share of the best assignment's gain at which a shift of all labels is preferred as the explanation: one error
is more likely than many."""

SHOWN = 4
"""Maximum number of classes in a description."""


@dataclass(frozen=True)
class Finding:
    """A possible label error.

    Attributes:
        mistake: kind of error.
        detail: its details, unless they follow from the classes.
        classes: indices of the affected classes; for permuted labels, pairs of predicted and true class.
        miou: mIoU in percent after the correction.
        gain: its increase, in points.
    """

    mistake: Mistake
    detail: str
    classes: Sequence[tuple[int, int]] | Sequence[int]
    miou: float
    gain: float

    def describe(self, names: Sequence[str]) -> str:
        """Format the finding in one line.

        Args:
            names: names of the classes, in the order of the counts.
        """
        what = [
            f"{names[each[0]]} is truly {names[each[1]]}" if isinstance(each, tuple) else names[each]
            for each in self.classes[:SHOWN]
        ]
        if len(self.classes) > SHOWN:
            what.append(f"and {len(self.classes) - SHOWN} more")
        facts = self.detail or ", ".join(what)
        return f"{self.mistake} ({facts}): mIoU would be {self.miou:.2f}, {self.gain:+.2f}"


def diagnose(counts: NDArray[np.integer], void: VoidRule = "ignore") -> list[Finding]:
    """Return possible errors of the labels that a confusion matrix was computed with.

    Args:
        counts: confusion matrices, shape (K + 1, K + 1) or (images, K + 1, K + 1); see `benchmark.confusion`.
        void: how pixels of void ground truth were counted.

    Returns:
        The findings, sorted by gain, the largest first. Each correction is computed separately.

    Raises:
        ValueError: see `benchmark.confusion.scores`.
    """
    total = counts.reshape(-1, *counts.shape[-2:]).sum(axis=0, dtype=np.int64)
    now = scores(total, void).miou
    if np.isnan(now):  # there is no pixel with ground truth
        return []
    order, shift = _permuted(total, void, now), _shifted(total, void, now)
    if order and shift:
        order, shift = (None, shift) if shift.gain >= SIMPLER * order.gain else (order, None)
    found = [each for each in (order, shift, *_left_out(total, void, now)) if each and each.gain >= GAIN]
    return sorted(found, key=lambda each: -each.gain)


def label_errors(stored: Stored) -> list[Finding]:
    """Return possible label errors of a result, from its last checkpoint on test; none if its counts are missing.

    Args:
        stored: a result.
    """
    evaluation, totals = stored.record.evaluation(), read_totals(stored)
    if evaluation is None or isinstance(totals, Problem):
        return []
    return diagnose(totals[evaluation.counts], stored.record.protocol.void)


def _permuted(total: NDArray[np.int64], void: VoidRule, now: float) -> Finding | None:
    """Find the permutation of classes that maximizes mIoU."""
    classes = len(total) - 1
    truth, predicted = marginals(total, void)
    overlap = total[:-1, :-1]  # of each class with each
    iou = np.nan_to_num(percent(overlap, truth[:, None] + predicted - overlap))
    # mIoU is the mean of the selected entries. A class is not moved without a gain.
    best = linear_sum_assignment(iou + 1e-9 * np.eye(classes), maximize=True)[1]
    order = np.arange(classes)
    for cycle in _cycles(best):
        if _is_repair(iou[cycle, cycle].mean(), iou[cycle, best[cycle]].mean()):
            order[cycle] = best[cycle]
    pairs = sorted((int(guessed), true) for true, guessed in enumerate(order) if guessed != true)
    miou = scores(total[:, [*order, classes]], void).miou
    return Finding("labels look permuted", "", pairs, miou, miou - now) if pairs else None


def _is_repair(before: float, after: float) -> bool:
    """Whether the mean IoU of the affected classes indicates that the correction is right."""
    return after >= AGREEMENT and after - before >= SHARE * after


def _cycles(order: NDArray[np.intp]) -> Iterator[list[int]]:
    """Yield the cycles of a permutation."""
    left = {index for index, target in enumerate(order.tolist()) if index != target}
    while left:
        cycle = [left.pop()]
        while (target := int(order[cycle[-1]])) in left:
            left.remove(target)
            cycle.append(target)
        yield cycle


def _shifted(total: NDArray[np.int64], void: VoidRule, now: float) -> Finding | None:
    """Shift all labels by one, down or up; the label at the end becomes void, or wraps around."""
    found = []
    for step, side in ((-1, "one too high"), (1, "one too low")):
        for rotated in (np.roll(total, step, axis=0), np.vstack([np.roll(total[:-1], step, axis=0), total[-1:]])):
            miou = scores(rotated, void).miou
            if _is_repair(now, miou):
                detail = f"labels of the ground truth are {side} for the predictions"
                found.append(Finding("off by one", detail, [], miou, miou - now))
    return max(found, key=lambda each: each.gain, default=None)


def _left_out(total: NDArray[np.int64], void: VoidRule, now: float) -> Iterator[Finding]:
    """Yield the gain of ignoring pixels of void, or classes that are never predicted."""
    if void == "false_positive":
        miou = scores(total, "ignore").miou
        yield Finding("ignore label counted", "void pixels count as false positives", [], miou, miou - now)
    truth, predicted = marginals(total, "false_positive")
    never = np.flatnonzero((truth > 0) & (predicted == 0))
    if not never.size or never.size == len(total) - 1:
        return
    kept = total.copy()
    kept[never] = 0
    miou = scores(kept, void).miou
    # An ignore label that is counted as a class is at an end of the list, and then no pixel is void.
    alone = never.size == 1 and never[0] in (0, len(total) - 2) and not total[-1].any()
    mistake: Mistake = "ignore label counted" if alone else "class absent from predictions"
    yield Finding(mistake, "", never.tolist(), miou, miou - now)
