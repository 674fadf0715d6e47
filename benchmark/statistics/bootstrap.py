"""Sampling error of a difference of mIoU over images, by the paired bootstrap.

Two sides, base and new, were tested on the same images with some seeds each. A draw selects images with replacement,
the same for both sides and all seeds, because they were tested on the same images. Efron and Tibshirani, "An
Introduction to the Bootstrap" (1993), chapters 8 (paired data) and 14 (BCa intervals). Seeds are not drawn: a few are
too few to estimate their variance, and intervals were far too short. Their variance is estimated from a whole
leaderboard and added instead (`benchmark.analysis.regression`).

The mIoU of a draw is a function of sums over its images, so that all draws are one matrix product: the number of
times that each image was drawn, times the statistics of each image.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from benchmark.confusion import VoidRule, mean_defined, overlaps, percent

DRAWS = 10_000

BLOCK = 1_000
"""Draws that are made at a time: bounds the memory, not the result."""

Counts = NDArray[np.integer]
"""Confusion counts of a run on every image, shape (images, K + 1, K + 1); see `benchmark.confusion`."""


@dataclass(frozen=True)
class Difference:
    """A difference of dataset mIoU, new less base, and what it might have been instead.

    Attributes:
        value: of all images, means over the seeds, in points.
        draws: the same of every draw, sorted.
        acceleration: how fast the spread of the draws changes with the true difference (chapter 14, equation 14.15).
    """

    value: float
    draws: NDArray[np.float64]
    acceleration: float

    @property
    def error(self) -> float:
        """Standard error."""
        return float(self.draws.std(ddof=1))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the bias-corrected and accelerated (BCa) percentile interval (equations 14.9 and 14.10)."""
        tails = ndtri(np.array([(1 - level) / 2, (1 + level) / 2])) + self._bias
        low, high = np.quantile(self.draws, ndtr(self._bias + tails / (1 - self.acceleration * tails)))
        return float(low), float(high)

    def p_at_most(self, limit: float) -> float:
        """P-value of the hypothesis that the true difference is at most `limit`: small where it is greater.

        It is the level at which the one-sided interval begins at the limit. Never less than one draw in all.
        """
        z = ndtri(self._share(limit)) - self._bias
        return float(ndtr(z / (1 + self.acceleration * z) - self._bias))

    @property
    def _bias(self) -> float:
        return float(ndtri(self._share(self.value)))

    def _share(self, limit: float) -> float:
        """Share of draws below a limit, ties halved, kept off 0 and 1."""
        below = np.searchsorted(self.draws, limit, "left") + np.searchsorted(self.draws, limit, "right")
        return float((below / 2 + 0.5) / (len(self.draws) + 1))


def difference(
    base: Iterable[Counts],
    new: Iterable[Counts],
    *,
    draws: int = DRAWS,
    seed: int = 0,
    void: VoidRule = "ignore",
) -> Difference:
    """Return the difference of mean mIoU between two sides, with its bootstrap distribution.

    Args:
        base: counts of each run of the base, an array a seed.
        new: counts of each run of the other side, of the same images in the same order.
        draws: number of bootstrap draws.
        seed: of the draws; the same seed gives the same result.
        void: how pixels of void ground truth count.

    Raises:
        ValueError: a side has no run, or the runs are not of the same images and classes.
    """
    sides = [[_parts(counts, void) for counts in side] for side in (base, new)]
    if not all(sides) or len({parts.shape for side in sides for parts in side}) > 1:
        raise ValueError("both sides need runs, all of the same images and classes")
    first = len(sides[0])  # of the new side
    parts = np.stack([*sides[0], *sides[1]], axis=1)
    rng = np.random.default_rng(seed)
    found = []
    for start in range(0, draws, BLOCK):
        scores = _miou(_resample(parts, min(BLOCK, draws - start), rng))
        found.append(scores[:, first:].mean(axis=1) - scores[:, :first].mean(axis=1))
    whole = _miou(parts.sum(axis=0))
    return Difference(
        value=float(whole[first:].mean() - whole[:first].mean()),
        draws=np.sort(np.concatenate(found)),
        acceleration=_acceleration(_influence(parts, first)),
    )


def _parts(counts: Counts, void: VoidRule) -> NDArray[np.float64]:
    """Intersection and union of each class in each image, shape (images, 2, K); sums over images are those of all."""
    return np.stack(overlaps(counts, void), axis=1).astype(np.float64)  # exact up to 2**53 pixels


def _miou(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean IoU in percent of sums of shape (..., 2, K); 0 where no class is there."""
    return np.nan_to_num(mean_defined(percent(sums[..., 0, :], sums[..., 1, :])))


def _resample(parts: NDArray[np.float64], draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return sums over images that were drawn with replacement, shape (draws, runs, 2, K)."""
    images = len(parts)
    chosen = rng.integers(images, size=(draws, images)) + images * np.arange(draws)[:, None]
    weights = np.bincount(chosen.ravel(), minlength=draws * images).reshape(draws, images).astype(np.float64)
    return (weights @ parts.reshape(images, -1)).reshape(draws, *parts.shape[1:])


def _influence(parts: NDArray[np.float64], first: int) -> NDArray[np.float64]:
    """How much each image moves the difference, by leaving it out (the jackknife, chapter 11)."""
    scores = _miou(parts.sum(axis=0) - parts)
    without = scores[:, first:].mean(axis=1) - scores[:, :first].mean(axis=1)
    return np.asarray((len(parts) - 1) * (without.mean() - without))


def _acceleration(influence: NDArray[np.float64]) -> float:
    """Return a sixth of the skewness of the influences (equation 14.15)."""
    square = float((influence**2).sum())
    return float((influence**3).sum()) / (6 * square**1.5) if square else 0.0
