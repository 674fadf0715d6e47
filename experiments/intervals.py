"""Coverage of the intervals of the paired bootstrap, by simulation; `experiments/power.py` prints it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from benchmark.confusion import scores
from benchmark.statistics.bootstrap import difference
from benchmark.statistics.equivalence import Error, welch
from benchmark.statistics.variance import sample_variance

CLASSES = 11
PIXELS = 2000
"""Mean number of pixels of a class in an image that contains it."""

ACCURACY = 0.80, 0.82
"""Pixel accuracy of BASE and NEW."""

DRAWS = 1_000
TEST_SETS = 2_000
"""Number of intervals per row: the standard error of a share of 95 % is 0.5 points."""

Interval = Callable[[list[NDArray[np.int64]], list[NDArray[np.int64]], int], tuple[float, float]]
"""A function of the confusion matrices of both sides and the number of the trial."""


@dataclass(frozen=True)
class Population:
    """Images and networks with known population mIoU.

    Attributes:
        images: number of images in a test set.
        rarest: share of the images that show the rarest class; the most frequent is in all, the others between.
        seeds: number of runs of BASE, and of NEW.
        spread: standard deviation of the accuracy between seeds.
    """

    images: int = 233
    rarest: float = 0.3
    seeds: tuple[int, int] = (1, 1)
    spread: float = 0.0

    @property
    def shares(self) -> NDArray[np.float64]:
        """The share of images that contain each class."""
        return np.linspace(1, self.rarest, CLASSES)

    def draw(self, rng: np.random.Generator) -> list[list[NDArray[np.int64]]]:
        """Draw confusion matrices of each run of each side on a new test set.

        The pixels of a class vary from image to image as much as their mean, and an image is equally difficult for all
        runs, which motivates pairing.
        """
        shape = self.images, CLASSES
        pixels = rng.poisson(PIXELS * rng.exponential(size=shape)) * (rng.random(shape) < self.shares)
        ease = rng.uniform(-0.15, 0.15, (self.images, 1, 1))
        sides = []
        for accuracy, runs in zip(ACCURACY, self.seeds, strict=True):
            means = accuracy + self.spread * rng.standard_normal(runs)
            counts = np.zeros((runs, self.images, CLASSES + 1, CLASSES + 1), np.int64)
            for run, mean in zip(counts, means, strict=True):
                run[:, :CLASSES, :CLASSES] = rng.multinomial(pixels, labelled(mean + ease))
            sides.append(list(counts))
        return sides

    def truth(self) -> float:
        """The true difference of mIoU: over all images, and the mean over seeds."""
        quantiles = ndtri((np.arange(1000) + 0.5) / 1000) if self.spread else np.zeros(1)
        means = []
        for accuracy in ACCURACY:
            expected = np.zeros((len(quantiles), CLASSES + 1, CLASSES + 1))
            rates = labelled((accuracy + self.spread * quantiles)[:, None, None])
            expected[:, :CLASSES, :CLASSES] = self.shares[:, None] * rates  # ease is 0 in the mean
            means.append(np.mean([scores(np.rint(each * 1e12).astype(np.int64)).miou for each in expected]))
        return float(means[1] - means[0])

    def coverage(self, interval: Interval) -> tuple[float, float, float]:
        """Return the coverage of the intervals, and the shares wholly above and wholly below the true value."""
        rng, truth = np.random.default_rng(0), self.truth()
        found = np.array([interval(*self.draw(rng), trial) for trial in range(TEST_SETS)])
        above, below = (found[:, 0] > truth).mean(), (found[:, 1] < truth).mean()
        return float(1 - above - below), float(above), float(below)


def of_images(base: list[NDArray[np.int64]], new: list[NDArray[np.int64]], trial: int) -> tuple[float, float]:
    """Return the interval of the bootstrap."""
    return difference(base, new, draws=DRAWS, seed=trial).interval(0.95)


def of_seeds_as_well(base: list[NDArray[np.int64]], new: list[NDArray[np.int64]], trial: int) -> tuple[float, float]:
    """Return a t interval: the error of images is from the bootstrap, that of seeds from the scores."""
    images = difference(base, new, draws=DRAWS, seed=trial)
    errors = [Error(images.error, math.inf)]
    for side in (base, new):
        variance = sample_variance([scores(counts).miou for counts in side])
        errors.append(Error(math.sqrt(variance.value / len(side)), variance.df))
    error = welch(*errors)
    reach = error.value * float(stdtrit(error.df, 0.975))
    return images.value - reach, images.value + reach


def labelled(accuracy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the label distribution of each class: correct with the given probability, else uniform."""
    right = np.eye(CLASSES)
    return np.asarray(accuracy * right + (1 - accuracy) * (1 - right) / (CLASSES - 1))


def cases() -> Iterator[tuple[Population, Interval]]:
    """The simulated cases, in the order of the table."""
    for case in (Population(), Population(rarest=0.03), Population(images=500), Population(images=50)):
        yield case, of_images
    for seeds in ((3, 3), (10, 3)):
        yield Population(seeds=seeds, spread=0.005), of_seeds_as_well
