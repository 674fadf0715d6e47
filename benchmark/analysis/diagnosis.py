"""Detect label errors from confusion matrices: what looks wrong, and the mIoU that its repair would give.

A network that learned the task and is scored under other labels still tells the classes apart: its large counts lie in
other places than the diagonal. Repairs only move or drop rows of the counts, so their mIoU is computed and not guessed.
What is found is a suspicion that is strong enough to look at the labels before the network.
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
"""Points of mIoU that a repair must gain: the search for the best of many assignments gains a little on any counts, and
no honest network loses that much to it."""

SHARE = 0.5
"""Part of the IoU that the classes concerned have after a repair which it must have brought. A confusion of kin, such
as rider and pedestrian, leaves each class the best match of itself; wrong labels leave next to nothing of that. It is
not a part of what is missing to 100, from which networks on 150 classes are far at their best."""

AGREEMENT = 100 / 3
"""Mean IoU that the classes concerned must have after a repair: that of a class of which half is found, in predictions
of which half are right. A network that has learned little sorts pixels too, by colour if by nothing else, and some
order of the classes suits that better than theirs."""

SIMPLER = 0.9
"""Part of the gain of the best assignment with which a mere shift of all labels explains the counts better: one mistake
is more likely than many."""

SHOWN = 4
"""Classes that a description names."""


@dataclass(frozen=True)
class Finding:
    """Something that looks wrong.

    Attributes:
        mistake: what it looks like.
        detail: in what way, where the classes concerned do not say it.
        classes: indices of the classes concerned; where labels look permuted, pairs of what was predicted and what that
            is in truth.
        miou: mIoU in percent that the repair would give.
        gain: how much more than now, in points.
    """

    mistake: Mistake
    detail: str
    classes: Sequence[tuple[int, int]] | Sequence[int]
    miou: float
    gain: float

    def describe(self, names: Sequence[str]) -> str:
        """Return the finding in one line.

        Args:
            names: of the classes, in the order of the counts.
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
    """Return what looks wrong with the labels that counts were made with; nothing, where nothing does.

    Args:
        counts: confusion counts, shape (K + 1, K + 1) or (images, K + 1, K + 1); see `benchmark.confusion`.
        void: how pixels of void ground truth were counted.

    Returns:
        The findings, the one whose repair gains most first. Each repair is computed for itself.

    Raises:
        ValueError: see `benchmark.confusion.scores`.
    """
    total = counts.reshape(-1, *counts.shape[-2:]).sum(axis=0, dtype=np.int64)
    now = scores(total, void).miou
    if np.isnan(now):  # no pixel has ground truth
        return []
    order, shift = _permuted(total, void, now), _shifted(total, void, now)
    if order and shift:
        order, shift = (None, shift) if shift.gain >= SIMPLER * order.gain else (order, None)
    found = [each for each in (order, shift, *_left_out(total, void, now)) if each and each.gain >= GAIN]
    return sorted(found, key=lambda each: -each.gain)


def suspicions(stored: Stored) -> list[Finding]:
    """Return possible label errors of a result, by its last checkpoint on test; none where its counts are gone.

    Args:
        stored: a result.
    """
    evaluation, totals = stored.record.evaluation(), read_totals(stored)
    if evaluation is None or isinstance(totals, Problem):
        return []
    return diagnose(totals[evaluation.counts], stored.record.protocol.void)


def _permuted(total: NDArray[np.int64], void: VoidRule, now: float) -> Finding | None:
    """Return the predictions under the names that suit them best."""
    classes = len(total) - 1
    truth, predicted = marginals(total, void)
    overlap = total[:-1, :-1]  # of each class with each
    iou = np.nan_to_num(percent(overlap, truth[:, None] + predicted - overlap))
    # mIoU is the mean of what is picked. A class stays where moving it gains nothing.
    best = linear_sum_assignment(iou + 1e-9 * np.eye(classes), maximize=True)[1]
    order = np.arange(classes)
    for cycle in _cycles(best):
        if _is_repair(iou[cycle, cycle].mean(), iou[cycle, best[cycle]].mean()):
            order[cycle] = best[cycle]
    pairs = sorted((int(guessed), true) for true, guessed in enumerate(order) if guessed != true)
    miou = scores(total[:, [*order, classes]], void).miou
    return Finding("labels look permuted", "", pairs, miou, miou - now) if pairs else None


def _is_repair(before: float, after: float) -> bool:
    """Whether the mean IoU of the classes concerned says that they are right now and were not before."""
    return after >= AGREEMENT and after - before >= SHARE * after


def _cycles(order: NDArray[np.intp]) -> Iterator[list[int]]:
    """Yield the classes of a permutation that change places among each other."""
    left = {index for index, target in enumerate(order.tolist()) if index != target}
    while left:
        cycle = [left.pop()]
        while (target := int(order[cycle[-1]])) in left:
            left.remove(target)
            cycle.append(target)
        yield cycle


def _shifted(total: NDArray[np.int64], void: VoidRule, now: float) -> Finding | None:
    """All labels one lower or one higher; the label at the end falls into void, or comes in again at the other end."""
    found = []
    for step, side in ((-1, "one too high"), (1, "one too low")):
        for rotated in (np.roll(total, step, axis=0), np.vstack([np.roll(total[:-1], step, axis=0), total[-1:]])):
            miou = scores(rotated, void).miou
            if _is_repair(now, miou):
                detail = f"labels of the ground truth are {side} for the predictions"
                found.append(Finding("off by one", detail, [], miou, miou - now))
    return max(found, key=lambda each: each.gain, default=None)


def _left_out(total: NDArray[np.int64], void: VoidRule, now: float) -> Iterator[Finding]:
    """Yield what would be gained by not counting: pixels of void, or classes that are never predicted."""
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
    # The label of pixels that have none stands at an end of the list; where it is a class, no other pixel is void.
    alone = never.size == 1 and never[0] in (0, len(total) - 2) and not total[-1].any()
    mistake: Mistake = "ignore label counted" if alone else "class absent from predictions"
    yield Finding(mistake, "", never.tolist(), miou, miou - now)
