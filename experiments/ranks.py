"""Coverage of rank ranges, by simulation: `python experiments/ranks.py > experiments/ranks.md`.

Every row is of leaderboards with known true means, ranked by the function of `segbench leaderboard`. All draws are
seeded, so that the table is reproducible. The worst case for the level is that all networks are equally good: every
separation is then an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.statistics.ranks import ranges

BOARDS = 2_000
"""Number of leaderboards per row: the standard error of a share of 95 % is 0.5 points."""

TEXT = """\
Leaderboards whose true means are equal but for the first, which is better by the gap. At a gap of 0, at least 95 % of
the leaderboards must leave rank 1 open to every network. With a gap, the best must keep rank 1 open, and the share of
the others that is shown to be worse is the power. Deviations are those between seeds, in points."""


@dataclass(frozen=True)
class RankCase:
    """A kind of leaderboard.

    Attributes:
        deviations: description of the standard deviations.
        spread: true standard deviation between seeds of each network.
        seeds: number of seeds of each network.
        gap: points by which the first network is better than the others.
    """

    deviations: str
    spread: Sequence[float]
    seeds: int
    gap: float = 0.0

    def shares(self, boards: int = BOARDS, seed: int = 0) -> tuple[float, float]:
        """Return the share of leaderboards in which the best may have rank 1, and of the others shown to be worse."""
        rng = np.random.default_rng(seed)
        covered, worse = 0, 0.0
        for _ in range(boards):
            noise = rng.normal(size=(len(self.spread), self.seeds)) * np.array(self.spread)[:, None]
            noise[0] += self.gap
            lows = np.array([each.low for each in ranges(noise.tolist())])
            covered += (lows[0] if self.gap else lows.max()) == 1
            worse += (lows[1:] > 1).mean()
        return covered / boards, worse / boards


def cases() -> Iterator[RankCase]:
    """Leaderboards of several sizes and kinds of noise."""
    for networks in (3, 5, 46):
        for seeds in (2, 3, 5):
            yield RankCase("0.6 each", [0.6] * networks, seeds)
    for networks in (5, 46):
        yield RankCase("the first 3.4, 0.5 each else", [3.4] + [0.5] * (networks - 1), 3)
        yield RankCase("from 0.2 to 1.8", np.geomspace(0.2, 1.8, networks).tolist(), 3)
        for gap in (1.0, 3.0):
            yield RankCase("0.6 each", [0.6] * networks, 3, gap)


def main() -> None:
    """Print the table."""
    print(f"## Coverage of rank ranges\n\n{TEXT}\n")
    print("| networks | seeds | deviations | gap | rank 1 left open to the best | others shown to be worse |")
    print("| ---: | ---: | --- | ---: | ---: | ---: |")
    for case in cases():
        covered, worse = (f"{100 * share:.1f} %" for share in case.shares())
        cells = (len(case.spread), case.seeds, case.deviations, f"{case.gap:g}", covered, worse)
        print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
