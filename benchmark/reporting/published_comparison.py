"""What was published of the networks of a leaderboard, compared with its results."""

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
"""How metrics are written in the report."""


@dataclass(frozen=True)
class PublishedRow:
    """A published accuracy or speed and what is said of it."""

    verdict: Verdict
    reference: Reference

    @property
    def figure(self) -> str:
        """The metric, as it is written."""
        return FIGURES[self.reference.metric]


@dataclass(frozen=True)
class Publication:
    """All that is published on the dataset of a leaderboard of its networks.

    Attributes:
        is_any: whether anything is published on the dataset, of whatever network.
        margin: points that do not matter.
        comparable: what can be compared with the results, with its verdicts.
        others: what cannot, with the reasons.
        speeds: what is published of how fast its networks are, beside the timings of its results.
    """

    is_any: bool
    margin: float
    comparable: Sequence[PublishedRow]
    others: Sequence[PublishedRow]
    speeds: Sequence[PublishedRow]


def publication(
    dataset: str, runs: Collection[Summary], records: Iterable[Record], references: Collection[Reference]
) -> Publication:
    """Hold each published accuracy against the same metric of the results, and each speed against their timings.

    Args:
        dataset: name of the dataset.
        runs: results of one leaderboard.
        records: the same results, of which the timings are taken.
        references: published figures of any dataset and metric.
    """
    known = {each.name: each for each in references if each.dataset == dataset and each.metric in TITLES}
    found = [
        PublishedRow(verdict, known[verdict.reference])
        for metric in {each.metric for each in known.values()}
        for verdict in verdicts(runs, [each for each in known.values() if each.metric == metric], MARGIN, metric)
    ]
    found.sort(key=lambda check: (check.verdict.architecture, check.verdict.reference))
    return Publication(
        is_any=bool(known),
        margin=MARGIN,
        comparable=[check for check in found if check.verdict.outcome != "not comparable"],
        others=[check for check in found if check.verdict.outcome == "not comparable"],
        speeds=_speeds(records, references),
    )


def _speeds(records: Iterable[Record], references: Iterable[Reference]) -> list[PublishedRow]:
    """Return what is published of the speed of networks that were timed."""
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
