"""What was published of the networks of a leaderboard, held against its results."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.analysis import weights
from benchmark.analysis.accuracy import MARGIN, verdicts
from benchmark.analysis.verdict import Verdict
from benchmark.references import TITLES, Reference
from benchmark.results.summary import Summary

if TYPE_CHECKING:
    from benchmark.results.weights import Evaluated


@dataclass(frozen=True)
class Check:
    """A published accuracy and what is said of it."""

    verdict: Verdict
    reference: Reference

    @property
    def figure(self) -> str:
        """The metric, as it is written."""
        return TITLES[self.reference.metric]


@dataclass(frozen=True)
class Publication:
    """All that is published on the dataset of a leaderboard of its networks.

    Attributes:
        is_any: whether anything is published on the dataset, of whatever network.
        margin: points that do not matter.
        comparable: what can be held against the results, with its verdicts.
        others: what cannot, with the reasons.
    """

    is_any: bool
    margin: float
    comparable: Sequence[Check]
    others: Sequence[Check]


def publication(dataset: str, runs: Collection[Summary], references: Iterable[Reference]) -> Publication:
    """Hold each published accuracy against the same metric of the results.

    Args:
        dataset: name of the dataset.
        runs: results of one leaderboard.
        references: published figures of any dataset and metric.
    """
    known = {each.name: each for each in references if each.dataset == dataset and each.metric in TITLES}
    found = [
        Check(verdict, known[verdict.reference])
        for metric in {each.metric for each in known.values()}
        for verdict in verdicts(runs, [each for each in known.values() if each.metric == metric], MARGIN, metric)
    ]
    found.sort(key=lambda check: (check.verdict.architecture, check.verdict.reference))
    return Publication(
        is_any=bool(known),
        margin=MARGIN,
        comparable=[check for check in found if check.verdict.outcome != "not comparable"],
        others=[check for check in found if check.verdict.outcome == "not comparable"],
    )


def evaluated_weights(evaluated: Iterable[Evaluated], references: Iterable[Reference]) -> list[Check]:
    """Compare stored evaluations of published weights with the figures that they were published with.

    Args:
        evaluated: evaluations of a store.
        references: published figures.
    """
    known = {each.name: each for each in references}
    return [Check(verdict, known[verdict.reference]) for verdict in weights.verdicts(evaluated, known.values())]
