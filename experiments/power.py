"""Error rates and power of verdicts, by simulation: `python experiments/power.py > experiments/power.md`.

Every row is of trials with known true values, evaluated by the functions of `segbench verify` and `segbench compare`.
The verdict is on the first network; the others only contribute to the variance estimate, so that no row averages over
dissimilar networks. All draws are seeded: the tables are reproducible. Error rates are simulated at the boundary of the
hypothesis, where they are largest.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import intervals
import numpy as np
from numpy.typing import NDArray

from benchmark.analysis.regression import WORSE, compare
from benchmark.catalog.references import Reference, Source, StatedProtocol
from benchmark.results.summary import Conditions, Summary
from benchmark.statistics.variance import moderated, sample_variance
from benchmark.verdicts.accuracy import Sample, verdict
from benchmark.verdicts.verdict import Verdict

TRIALS = 4_000
"""Number of verdicts per cell: the standard error of a share of 5 % is 0.3 points, of one of 75 % 0.7."""
RELEASES = 400
"""Number of tables per cell: the standard error of a share of 5 % is 1.1 points."""

PUBLISHED, MARGIN = 60.0, 1.0
MOST = 40
"""Maximum number of seeds of a network that is run until its verdict is conclusive."""

Scores = NDArray[np.float64]

REPRODUCTION = """\
Verdicts of `segbench verify` with a margin of 1.0 points on one network. Its deviation between seeds is the first of
the row; another one is that of the other networks of its protocol. A gap is the distance of the true means. At a gap
of the margin, at most 5 % may be reproduced, and at most 5 % may differ; the interval should contain the true
gap in 90 % of cases."""

SEQUENTIAL = """\
`segbench verify --until-conclusive` from 3 seeds on, up to 40, with the seeds that each verdict asks for. The errors
are those of the last verdict."""

RELEASE = """\
Tables of `segbench compare` with a margin of 0.5 points. An unchanged table may be an alarm in 5 % of cases. The seeds
that `--strict` requires are the mean of its estimates."""

BOOTSTRAP = """\
Intervals of 95 % for a difference of mIoU, of 1,000 draws each, on matrices of 11 classes made by a model whose
mIoU is known. A class in seven images is too rare for resampling to show all of its variance. With several seeds,
whose noise is half a point, it is added by a t interval, as `segbench compare --images` does it: a few seeds are too
few to be drawn from."""


def normal(rng: np.random.Generator, shape: Any) -> Scores:
    """Normal noise."""
    return rng.standard_normal(shape)


def heavy(rng: np.random.Generator, shape: Any) -> Scores:
    """Draw from Student's t with 3 degrees of freedom, scaled to standard deviation 1."""
    return rng.standard_t(3, shape) / math.sqrt(3)


def skewed(rng: np.random.Generator, shape: Any) -> Scores:
    """Draw from a reversed Gumbel distribution of mean 0 and standard deviation 1: occasionally a seed is poor."""
    return (np.euler_gamma - rng.gumbel(size=shape)) * math.sqrt(6) / math.pi


class Noise(NamedTuple):
    """The distribution of scores over seeds.

    Attributes:
        own: standard deviation of the tested network, in points.
        others: standard deviation of the other networks.
        spread: standard deviation of the logarithms of all deviations.
        draw: draws with mean 0 and standard deviation 1.
        published: standard deviation of the published training, relative to that of the network.
    """

    own: float
    others: float
    spread: float = 0.0
    draw: Callable[[np.random.Generator, Any], Scores] = normal
    published: float = 1.0

    def deviations(self, rng: np.random.Generator, architectures: int) -> Scores:
        """The standard deviations of the tested network and of the others."""
        middle = np.array([self.own, *[self.others] * (architectures - 1)])
        return middle * np.exp(self.spread * rng.standard_normal(architectures))

    def describe(self) -> str:
        """Describe it."""
        words = [f"{self.own:g} among {self.others:g}" if self.own != self.others else f"{self.own:g}"]
        words += [f"lognormal, {self.spread:g}"] if self.spread else []
        words += [{heavy: "t3", skewed: "skewed"}[self.draw]] if self.draw is not normal else []
        words += [f"published {self.published:g} times as noisy"] if self.published != 1 else []
        return ", ".join(words)


@dataclass(frozen=True)
class Case:
    """A kind of leaderboard.

    Attributes:
        noise: distribution of scores over seeds.
        architectures: number of architectures.
        seeds: number of seeds of each architecture.
        figure: selection of the published figure, see `publish`.
    """

    noise: Noise
    architectures: int = 46
    seeds: int = 3
    figure: str = "one run"


def reference(value: float, selection: str = "single", runs: int | None = 1) -> Reference:
    """A published figure of CamVid."""
    return Reference(
        *("figure", "method", "net", "miou", round(value, 2), "percent", 2, "camvid", "test"),
        StatedProtocol(None, "single", False, None, "none", "none", None, "ignore", None, None),
        *(runs, selection, "seen", Source("A paper", "paper", None, "Table 1", "https://example.org"), None),
    )


def result(architecture: str = "net", seed: int = 0, miou: float | None = None) -> Summary:
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
    more = {"architecture": architecture, "seed": seed, "run_id": f"{architecture}{seed}", "started": ""}
    return Summary(**plain | more | {"input": "360x480", "status": "ok", "device": "", "miou_percent": miou})


RESULT = result()


def publish(figure: str, draw: Callable[[int], Scores]) -> Reference:
    """Draw a published figure.

    Args:
        figure: one run, no noise, the best or the mean of some runs; the best may be not stated.
        draw: draws the scores of a number of published runs.
    """
    how, _, rest = figure.partition(" of ")
    if how == "no noise":
        return reference(PUBLISHED, "mean", 10**9)
    if how == "one run":
        return reference(draw(1)[0], *(("unknown", None) if rest else ("single", 1)))
    runs = int(rest.partition(",")[0])
    if how == "the mean":
        return reference(draw(runs).mean(), "mean", runs)
    return reference(draw(runs).max(), *(("unknown", None) if "not stated" in rest else ("best", runs)))


class Trial:
    """A simulated leaderboard and a published figure.

    Args:
        case: kind of leaderboard.
        gap: true mean of ours above that of the published training.
        rng: random number generator.
    """

    def __init__(self, case: Case, gap: float, rng: np.random.Generator) -> None:
        self.case, self.rng, self.mean = case, rng, PUBLISHED + gap
        own, *others = case.noise.deviations(rng, case.architectures)
        self.deviation = own
        self.others = [sample_variance(each) for each in self._draw(np.array(others)[:, None], case.seeds)]
        self.reference = publish(
            case.figure, lambda runs: PUBLISHED + case.noise.published * self._draw(np.array([[own]]), runs)[0]
        )
        self.scores = self.seeds(case.seeds)

    def seeds(self, number: int) -> list[float]:
        """Draw scores of a number of seeds of the network."""
        return (self.mean + self._draw(np.array([[self.deviation]]), number)[0]).tolist()

    def judge(self, looks: int = 0, sequential: bool = False) -> Verdict:
        """Return the verdict on the current scores."""
        variance = moderated(sample_variance(self.scores), self.others)
        sample = Sample("camvid", RESULT, self.scores, variance, self.case.architectures, looks=looks)
        return verdict(self.reference, sample, MARGIN, sequential=sequential)

    def _draw(self, deviations: Scores, number: int) -> Scores:
        return deviations * self.case.noise.draw(self.rng, (len(deviations), number))


def once(trial: Trial) -> Verdict:
    """Return the verdict of `segbench verify`."""
    return trial.judge()


def until_conclusive(trial: Trial) -> Verdict:
    """Return the last verdict of `segbench verify --until-conclusive`."""
    for looks in range(MOST):
        found = trial.judge(looks, sequential=True)
        if found.further_seeds is None or len(trial.scores) + found.further_seeds > MOST:
            break
        trial.scores += trial.seeds(found.further_seeds)
    return found


class Rates(NamedTuple):
    """The shares of verdicts, and the coverage of intervals."""

    reproduced: float
    differs: float
    covered: float


def rates(case: Case, gap: float, judge: Callable[[Trial], Verdict] = once, trials: int = TRIALS) -> Rates:
    """Return the share of each verdict at a true gap."""
    rng = np.random.default_rng(round(100 * (gap + 10)))
    outcomes: Counter[str] = Counter()
    covered = intervals_seen = 0
    for _ in range(trials):
        found = judge(Trial(case, gap, rng))
        outcomes[found.outcome] += 1
        if found.interval:
            intervals_seen += 1
            covered += found.interval[0] <= gap <= found.interval[1]
    return Rates(outcomes["reproduced"] / trials, outcomes["differs"] / trials, covered / max(intervals_seen, 1))


def reproduction() -> Iterator[str]:
    """`segbench verify`."""
    heads = ["deviation", "architectures", "seeds", "the figure is of", "gap 0: reproduced", "gap 3: differs"]
    yield from table([*heads, "margin: reproduced", "margin: differs", "interval holds"])
    common, unlike = [Noise(each, each) for each in (0.3, 0.6, 1.2)], Noise(3.4, 0.5)
    others = [Noise(0.5, 0.5, spread=0.5), Noise(0.5, 0.5, draw=heavy), Noise(0.5, 0.5, draw=skewed)]
    cases = [Case(noise, number) for noise in (*common, unlike, *others) for number in (1, 5, 46)]
    cases += [Case(noise, number, seeds) for seeds in (2, 5) for noise in (common[0], unlike) for number in (5, 46)]
    cases += [Case(Noise(0.5, 3.4), number) for number in (5, 46)]
    cases += [Case(Noise(0.3, 0.3, published=times), 46) for times in (0.5, 2.0)]
    figures = ("no noise", "the mean of 5", "the best of 5", "the best of 10", "one run of it, not stated")
    cases += [Case(common[0], number, figure=each) for each in figures for number in (5, 46)]
    cases += [Case(common[0], 46, figure="the best of 5, not stated")]
    for case in cases:
        right, far = rates(case, 0.0), rates(case, 3.0)
        border = [rates(case, gap) for gap in (MARGIN, -MARGIN)]
        shares = [
            right.reproduced,
            far.differs,
            max(each.reproduced for each in border),
            max(each.differs for each in border),
            min(each.covered for each in (right, *border)),
        ]
        words = [case.noise.describe(), str(case.architectures), str(case.seeds), case.figure]
        yield row([*words, *map(percent, shares)])


def sequential() -> Iterator[str]:
    """`segbench verify --until-conclusive`."""
    yield from table(
        ["deviation", "architectures", "gap 0: reproduced", "margin: reproduced", "margin: differs", "interval holds"]
    )
    for noise in (Noise(0.3, 0.3), Noise(0.6, 0.6), Noise(3.4, 0.5)):
        for number in (5, 46):
            case = Case(noise, number, figure="no noise")
            right, border = (rates(case, gap, until_conclusive, TRIALS // 2) for gap in (0.0, MARGIN))
            shares = [right.reproduced, border.reproduced, border.differs, min(right.covered, border.covered)]
            yield row([noise.describe(), str(number), *map(percent, shares)])


def releases() -> Iterator[str]:
    """`segbench compare`."""
    heads = [
        "deviation",
        "architectures",
        "seeds a side",
        "unchanged: alarm",
        "one loses 2: alarm",
        "all lose 0.3: alarm",
    ]
    yield from table([*heads, "shown not worse, unchanged", "the margin lost", "seeds that --strict asks for"])
    for noise in (Noise(0.3, 0.3), Noise(3.4, 0.5), Noise(0.5, 0.5, spread=0.5), Noise(0.5, 0.5, draw=heavy)):
        for number in (5, 46):
            for seeds in (3, 10):
                losses = np.zeros((4, number, 1))
                losses[1, -1], losses[2], losses[3] = 2.0, 0.3, 0.5
                found = [release(noise, number, seeds, loss) for loss in losses]
                words = [noise.describe(), str(number), str(seeds)]
                alarms = [percent(each.alarms) for each in found[:3]]
                cleared = [percent(found[index].cleared) for index in (0, 3)]
                yield row([*words, *alarms, *cleared, f"{found[0].seeds:.0f}"])


class Released(NamedTuple):
    """Return the share of alarms, the share of architectures shown not worse, and the requested seeds, over many
    tables."""

    alarms: float
    cleared: float
    seeds: float


def release(noise: Noise, architectures: int, seeds: int, loss: Scores) -> Released:
    """Compare tables with themselves less a loss of shape (architectures, 1)."""
    rng = np.random.default_rng(0)
    alarms, cleared, asked = 0, [], []
    names = [f"net{index}" for index in range(architectures)]
    for _ in range(RELEASES):
        deviations = noise.deviations(rng, architectures)[:, None]
        sides = [
            [
                result(name, seed, score)
                for name, scores in zip(names, values.tolist(), strict=True)
                for seed, score in enumerate(scores, first)
            ]
            for first, values in (
                (0, PUBLISHED + deviations * noise.draw(rng, (architectures, seeds))),
                (seeds, PUBLISHED - loss + deviations * noise.draw(rng, (architectures, seeds))),
            )
        ]
        found = compare(*sides, {})
        outcomes = [change.outcome for change in found.changes if change.figure == "miou_percent"]
        overall = found.overall.outcome if found.overall else "same"
        alarms += any(outcome in WORSE for outcome in (*outcomes, overall))
        cleared.append(outcomes.count("not worse") / architectures)
        asked += [found.seeds] if found.seeds else []
    return Released(alarms / RELEASES, float(np.mean(cleared)), float(np.mean(asked)))


def bootstrap() -> Iterator[str]:
    """Yield the table of intervals of a difference of mIoU."""
    heads = ["images", "rarest class in", "seeds before", "seeds now"]
    yield from table([*heads, "coverage", "too high", "too low"])
    for case, interval in intervals.cases():
        settings = [str(case.images), percent(case.rarest), *map(str, case.seeds)]
        yield row([*settings, *map(percent, case.coverage(interval))])


def table(heads: Sequence[str]) -> Iterator[str]:
    """Return the header of a table."""
    yield row(heads)
    yield row(["---:"] * len(heads))


def row(cells: Iterable[str]) -> str:
    """Return a row of a table."""
    return f"| {' | '.join(cells)} |"


def percent(share: float) -> str:
    """Format a share as percent."""
    return f"{100 * share:.1f} %"


def main() -> None:
    """Print the tables."""
    for heading, text, lines in (
        ("Verdicts on published figures", REPRODUCTION, reproduction()),
        ("Sequential verdicts (--until-conclusive)", SEQUENTIAL, sequential()),
        ("Comparison of releases", RELEASE, releases()),
        ("Coverage of the bootstrap intervals", BOOTSTRAP, bootstrap()),
    ):
        print(f"## {heading}\n\n{text}\n", flush=True)
        for line in lines:
            print(line, flush=True)
        print()


if __name__ == "__main__":
    main()
