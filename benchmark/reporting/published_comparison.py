"""Comparison of the results of a leaderboard with published figures."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.catalog.references import TITLES, Reference
from benchmark.results.summary import Summary
from benchmark.verdicts import speed, weights
from benchmark.verdicts.accuracy import MARGIN, verdicts
from benchmark.verdicts.verdict import Verdict

if TYPE_CHECKING:
    from benchmark.results.record import Record
    from benchmark.results.weights import Evaluated

FIGURES = TITLES | {"latency_ms": "Latency", "fps": "Images a second"}
"""The names of metrics in the report."""


@dataclass(frozen=True)
class PublishedRow:
    """A published accuracy or speed with its verdict."""

    verdict: Verdict
    reference: Reference

    @property
    def figure(self) -> str:
        """The name of the metric."""
        return FIGURES[self.reference.metric]


@dataclass(frozen=True)
class PublishedComparison:
    """The published figures of the networks of a leaderboard, on its dataset.

    Attributes:
        is_any: whether any figure is published on the dataset, for any network.
        margin: equivalence margin in points.
        comparable: figures that are comparable with the results, with verdicts.
        others: other figures, with reasons.
        speeds: published speeds of its networks, compared with the timings of its results.
    """

    is_any: bool
    margin: float
    comparable: Sequence[PublishedRow]
    others: Sequence[PublishedRow]
    speeds: Sequence[PublishedRow]


def published_comparison(
    dataset: str, runs: Collection[Summary], records: Iterable[Record], references: Collection[Reference]
) -> PublishedComparison:
    """Compare each published accuracy with the same metric of the results, and each speed with their timings.

    Args:
        dataset: name of the dataset.
        runs: results of one leaderboard.
        records: the same results, for their timings.
        references: published figures of any dataset and metric.
    """
    known = {each.name: each for each in references if each.dataset == dataset and each.metric in TITLES}
    found = [
        PublishedRow(verdict, known[verdict.reference])
        for metric in {each.metric for each in known.values()}
        for verdict in verdicts(runs, [each for each in known.values() if each.metric == metric], MARGIN, metric)
    ]
    found.sort(key=lambda check: (check.verdict.architecture, check.verdict.reference))
    return PublishedComparison(
        is_any=bool(known),
        margin=MARGIN,
        comparable=[check for check in found if check.verdict.outcome != "not comparable"],
        others=[check for check in found if check.verdict.outcome == "not comparable"],
        speeds=_speeds(records, references),
    )


def _speeds(records: Iterable[Record], references: Iterable[Reference]) -> list[PublishedRow]:
    """Return the published speeds of networks that were timed."""
    known = {each.name: each for each in references}
    made = speed.verdicts(records, known.values())
    return [PublishedRow(verdict, known[verdict.reference]) for verdict in made if verdict.measured is not None]


def evaluated_weights(evaluated: Iterable[Evaluated], references: Iterable[Reference]) -> list[PublishedRow]:
    """Compare stored evaluations of published weights with the figures that they were published with.

    Args:
        evaluated: evaluations of a store.
        references: published figures.
    """
    known = {each.name: each for each in references}
    return [PublishedRow(verdict, known[verdict.reference]) for verdict in weights.verdicts(evaluated, known.values())]
