"""How often verdicts are right and wrong, by simulation: `python benchmarks/power.py > benchmarks/power.md`.

Every row is of trials whose truth is known, judged by the functions behind `segbench verify` and `segbench compare`.
All draws are seeded, so that the tables come out the same again. Where an error has to be rare, the truth lies on the
very border, where it is the least so.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from benchmark.analysis.accuracy import Sample, verdict
from benchmark.analysis.bootstrap import difference
from benchmark.analysis.equivalence import Error, welch
from benchmark.analysis.regression import decide
from benchmark.analysis.variance import Variance, moderate, sample_variance
from benchmark.confusion import scores
from benchmark.references import Reference, Source, StatedProtocol
from benchmark.results.summary import Conditions, Summary

VERDICTS = 40_000
"""Verdicts a row, about: the standard error of a share of 5 % is 0.1 points, of one of 75 % 0.2."""

PUBLISHED = 60.0

CLASSES = 11
PIXELS = 2000
"""Of a class in an image that shows it, in the mean."""

ACCURACY = 0.80, 0.82
"""Share of the pixels that the base and that what is new label right."""

DRAWS = 1_000
TEST_SETS = 2_000
"""Intervals a row: the standard error of a share of 95 % is 0.5 points."""

REPRODUCTION = """\
Verdicts of `segbench verify` with a margin of 1.0 points, deviations between seeds of about 0.3. A gap is the distance
of the true means; at a gap of the margin, at most 5 % may come out as reproduced, and at most 5 % as differing."""

RELEASE = """\
The gate of `segbench compare` with a margin of 0.5 points. Where the margin was lost, at most 5 % may pass."""

BOOTSTRAP = """\
Intervals of 95 % for a difference of mIoU, of 1,000 draws each, on confusion counts of 11 classes made by a model whose
mIoU is known. A class that seven images show is too rare for resampling to tell all of its noise. With several seeds,
whose noise is half a point, it is added by a t interval, as `segbench compare --images` does it: a few seeds are too
few to be drawn from."""

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]
"""True standard deviations between the seeds of so many architectures, in points."""

Interval = Callable[[list[NDArray[np.int64]], list[NDArray[np.int64]], int], tuple[float, float]]
"""Of the counts of both sides, and the number of the trial."""

Moderate = Callable[[Sequence[float], Sequence[float]], Sequence[Variance | None]]


def alike(rng: np.random.Generator, architectures: int) -> NDArray[np.float64]:
    """0.3 for all."""
    return np.full(architectures, 0.3)


def unlike(rng: np.random.Generator, architectures: int) -> NDArray[np.float64]:
    """Variances of mean 0.09 from a scaled inverse chi-squared distribution of 8 degrees of freedom, as the method has
    it: nine of ten deviations are between 0.19 and 0.43."""
    return np.sqrt(0.09 * 6 / rng.chisquare(8, architectures))


def outliers(rng: np.random.Generator, architectures: int) -> NDArray[np.float64]:
    """Against what the method expects: 0.2 for most, 0.8 for every tenth."""
    return np.where(np.arange(architectures) % 10 == 9, 0.8, 0.2)


def own(variances: Sequence[float], df: Sequence[float]) -> list[Variance]:
    """No moderation: to each its own."""
    return [Variance(value, each) for value, each in zip(variances, df, strict=True)]


def reference(value: float, selection: str = "single", runs: int | None = 1) -> Reference:
    """A published figure of CamVid."""
    return Reference(
        *("figure", "method", "net", "miou", round(value, 2), "percent", 2, "camvid", "test"),
        StatedProtocol(None, "single", False, None, "none", "none", None, "ignore", None, None),
        *(runs, selection, "seen", Source("A paper", "paper", None, "Table 1", "https://example.org"), None),
    )


def result() -> Summary:
    """A result under that figure's protocol."""
    axes = {
        "data": {"dataset": "camvid"},
        "splits": {"test": {"split": "test"}},
        "augmentation": {"crop_size": [360, 480]},
        "schedule": {"iterations": 6000},
        "batch": 8,
        "pretraining": None,
        "void": "ignore",
        "evaluation": {},
    }
    plain = dict.fromkeys(Summary._fields) | {"conditions": Conditions("camvid", "0" * 16, {}, axes)}
    return Summary(**plain | {"architecture": "net", "input": "360x480"})


RESULT = result()

NOISES = {alike: "0.3 for all", unlike: "differs", outliers: "differs, with outliers"}
ESTIMATES = {moderate: "moderated", own: "its own"}


@dataclass(frozen=True)
class Case:
    """A kind of leaderboard.

    Attributes:
        noise: true deviations between seeds.
        architectures: on a leaderboard.
        seeds: of each.
        estimate: how the noise is estimated.
        figure: what the published one is of; by its first word, see `publish`.
        margin: points that do not matter.
    """

    noise: Draw
    architectures: int = 40
    seeds: int = 3
    estimate: Moderate = moderate
    figure: str = "one run"
    margin: float = 1.0

    def leaderboards(self, seed: int) -> Iterator[tuple[np.random.Generator, NDArray[np.float64]]]:
        """A source of draws, and the true deviations of the architectures, for each leaderboard."""
        rng = np.random.default_rng(seed)
        for _ in range(VERDICTS // self.architectures):
            yield rng, self.noise(rng, self.architectures)

    def estimates(self, *sides: NDArray[np.float64]) -> Sequence[Variance | None]:
        """The variance of each architecture, of scores of shape (architectures, seeds) a side."""
        df = sum(side.shape[1] - 1 for side in sides)
        squares = sum(side.var(axis=1, ddof=1) * (side.shape[1] - 1) for side in sides)
        return self.estimate(list(squares / df), [df] * self.architectures)


def publish(figure: str, mean: float, sigma: float, rng: np.random.Generator) -> Reference:
    """A figure as it may come about."""
    runs = mean + sigma * rng.standard_normal(5)
    if figure == "no noise at all":
        return reference(mean, "mean", 10**9)
    if figure == "one run":
        return reference(runs[0])
    if figure == "the best of 5":
        return reference(runs.max(), "best", 5)
    assert figure == "the best of 5, unsaid"
    return reference(runs.max(), "unknown", None)


def outcomes(case: Case, gap: float) -> Counter[str]:
    """How often each verdict is given where our true mean is that much above that of the published training."""
    found: Counter[str] = Counter()
    for rng, deviations in case.leaderboards(round(100 * gap)):
        scores = PUBLISHED + gap + deviations[:, None] * rng.standard_normal((len(deviations), case.seeds))
        for ours, variance, sigma in zip(scores.tolist(), case.estimates(scores), deviations, strict=True):
            sample = Sample("camvid", RESULT, ours, variance, case.architectures)
            found[verdict(publish(case.figure, PUBLISHED, sigma, rng), sample, case.margin).outcome] += 1
    return found


def passes(case: Case, bank: int, loss: float) -> float:
    """Share of releases' architectures that pass the gate where so much was lost.

    Args:
        case: the noise, the new seeds and the margin.
        bank: seeds of the base.
        loss: true mean before less true mean now, in points.
    """
    found = []
    for rng, deviations in case.leaderboards(round(100 * loss)):
        base = deviations[:, None] * rng.standard_normal((len(deviations), bank))
        new = deviations[:, None] * rng.standard_normal((len(deviations), case.seeds)) - loss
        for before, now, variance in zip(base.tolist(), new.tolist(), case.estimates(base, new), strict=True):
            assert variance is not None
            found.append(decide(before, now, variance, case.margin).is_not_worse)
    return float(np.mean(found))


def reproduction() -> Iterator[str]:
    """`segbench verify`."""
    heads = ["noise of seeds", "architectures", "seeds", "variance", "the figure is of", "gap 0: reproduced"]
    yield from table([*heads, "gap 0: differs", "gap of the margin: reproduced", "gap of the margin: differs"])
    cases = [Case(alike, estimate=estimate) for estimate in (moderate, own)]
    cases += [Case(alike, architectures=architectures) for architectures in (2, 5, 10)]
    cases += [Case(alike, seeds=seeds) for seeds in (2, 5, 10)]
    cases += [Case(alike, estimate=estimate, figure="no noise at all") for estimate in (moderate, own)]
    cases += [Case(alike, figure=figure) for figure in ("the best of 5", "the best of 5, unsaid")]
    cases += [Case(noise, estimate=estimate) for noise in (unlike, outliers) for estimate in (moderate, own)]
    for case in cases:
        right, wrong = outcomes(case, 0.0), outcomes(case, case.margin)
        words = [NOISES[case.noise], str(case.architectures), str(case.seeds), ESTIMATES[case.estimate], case.figure]
        shares = [each[verdict] / each.total() for each in (right, wrong) for verdict in ("reproduced", "differs")]
        yield row([*words, *map(percent, shares)])


def release() -> Iterator[str]:
    """`segbench compare`."""
    heads = ["noise of seeds", "architectures", "seeds before", "seeds now", "variance"]
    yield from table([*heads, "nothing lost: passes", "the margin lost: passes"])
    cases = [Case(noise, estimate=estimate, margin=0.5) for noise in NOISES for estimate in (moderate, own)]
    cases += [Case(alike, architectures=5, margin=0.5), Case(alike, seeds=5, margin=0.5)]
    for case in cases:
        words = [NOISES[case.noise], str(case.architectures), "10", str(case.seeds), ESTIMATES[case.estimate]]
        yield row([*words, *(percent(passes(case, 10, loss)) for loss in (0.0, case.margin))])


@dataclass(frozen=True)
class Population:
    """Images and networks whose mIoU over all images that there could be is known.

    Attributes:
        images: in a test set.
        rarest: share of the images that show the rarest class; the most frequent is in all, the others between.
        seeds: runs of the base, and of what is new.
        spread: standard deviation of the accuracy between seeds.
    """

    images: int = 233
    rarest: float = 0.3
    seeds: tuple[int, int] = (1, 1)
    spread: float = 0.0

    @property
    def shares(self) -> NDArray[np.float64]:
        """Of the images that show each class."""
        return np.linspace(1, self.rarest, CLASSES)

    def draw(self, rng: np.random.Generator) -> list[list[NDArray[np.int64]]]:
        """Counts of each run of each side on a new test set.

        The pixels of a class vary from image to image as much as their mean, and an image is as hard for one run as
        for another, which is what pairing is for.
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
        """The difference of mIoU over all images and, in the mean, all seeds."""
        quantiles = ndtri((np.arange(1000) + 0.5) / 1000) if self.spread else np.zeros(1)
        means = []
        for accuracy in ACCURACY:
            expected = np.zeros((len(quantiles), CLASSES + 1, CLASSES + 1))
            rates = labelled((accuracy + self.spread * quantiles)[:, None, None])
            expected[:, :CLASSES, :CLASSES] = self.shares[:, None] * rates  # ease is 0 in the mean
            means.append(np.mean([scores(np.rint(each * 1e12).astype(np.int64)).miou for each in expected]))
        return float(means[1] - means[0])

    def coverage(self, interval: Interval) -> tuple[float, float, float]:
        """Of the intervals: share that holds the truth, and shares that are wholly above and wholly below it."""
        rng, truth = np.random.default_rng(0), self.truth()
        found = np.array([interval(*self.draw(rng), trial) for trial in range(TEST_SETS)])
        above, below = (found[:, 0] > truth).mean(), (found[:, 1] < truth).mean()
        return float(1 - above - below), float(above), float(below)


def of_images(base: list[NDArray[np.int64]], new: list[NDArray[np.int64]], trial: int) -> tuple[float, float]:
    """The interval of the bootstrap."""
    return difference(base, new, draws=DRAWS, seed=trial).interval(0.95)


def of_seeds_as_well(base: list[NDArray[np.int64]], new: list[NDArray[np.int64]], trial: int) -> tuple[float, float]:
    """A t interval: the bootstrap tells the error of images alone, the scores that of seeds."""
    images = difference(base, new, draws=DRAWS, seed=trial)
    errors = [Error(images.error, math.inf)]
    for side in (base, new):
        variance = sample_variance([scores(counts).miou for counts in side])
        errors.append(Error(math.sqrt(variance.value / len(side)), variance.df))
    error = welch(*errors)
    reach = error.value * float(stdtrit(error.df, 0.975))
    return images.value - reach, images.value + reach


def labelled(accuracy: NDArray[np.float64]) -> NDArray[np.float64]:
    """How the pixels of each class are labelled: right with that chance, else as any other class."""
    right = np.eye(CLASSES)
    return np.asarray(accuracy * right + (1 - accuracy) * (1 - right) / (CLASSES - 1))


def bootstrap() -> Iterator[str]:
    """Intervals of a difference of mIoU."""
    heads = ["images", "rarest class in", "seeds before", "seeds now"]
    yield from table([*heads, "held the truth", "too high", "too low"])
    for case in (Population(), Population(rarest=0.03), Population(images=500), Population(images=50)):
        yield covered(case, of_images)
    for seeds in ((3, 3), (10, 3)):
        yield covered(Population(seeds=seeds, spread=0.005), of_seeds_as_well)


def covered(case: Population, interval: Interval) -> str:
    """A line of the table."""
    settings = [str(case.images), percent(case.rarest), *map(str, case.seeds)]
    return row([*settings, *map(percent, case.coverage(interval))])


def table(heads: Sequence[str]) -> Iterator[str]:
    """The first lines of a table."""
    yield row(heads)
    yield row(["---:"] * len(heads))


def row(cells: Iterable[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"


def percent(share: float) -> str:
    """A share as text."""
    return f"{100 * share:.1f} %"


def main() -> None:
    """Print the tables."""
    for heading, text, lines in (
        ("Is a published figure reproduced?", REPRODUCTION, reproduction()),
        ("May a release pass?", RELEASE, release()),
        ("Do the intervals of the bootstrap hold the truth?", BOOTSTRAP, bootstrap()),
    ):
        print(f"## {heading}\n\n{text}\n", flush=True)
        for line in lines:
            print(line, flush=True)
        print()


if __name__ == "__main__":
    main()
