"""Disagreement between sources: published figures of one network under one protocol."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from benchmark.catalog.references import ACCURACY, Reference

FACTS = ("flip", "crop", "pretraining", "extra_data", "iterations", "batch", "void")
"""Facts in which the protocols of compared figures may differ."""


@dataclass(frozen=True)
class SourceComparison:
    """Figures of several sources that should be the same.

    Attributes:
        architecture: the network, by its name in this suite.
        metric: miou, macc or aacc.
        dataset, split: data that it was measured on.
        scales: `single` or `multi`.
        flip: whether horizontal-flip test-time augmentation is used; None if no source states it.
        references: the figures, sorted from highest to lowest.
    """

    architecture: str
    metric: str
    dataset: str
    split: str
    scales: str
    flip: bool | None
    references: tuple[Reference, ...]

    @property
    def spread(self) -> float:
        """The range, highest - lowest, in points."""
        return round(self.references[0].value - self.references[-1].value, max(r.decimals for r in self.references))

    @property
    def differing(self) -> list[str]:
        """The facts of the protocol in which at least two of the sources differ."""
        return [fact for fact in FACTS if len(self._stated(fact) - {None}) > 1]

    @property
    def unstated(self) -> list[str]:
        """The facts that only some of the sources state."""
        return [fact for fact in FACTS if None in self._stated(fact) and len(self._stated(fact)) > 1]

    def _stated(self, fact: str) -> set[object]:
        return {getattr(each.protocol, fact) for each in self.references}


def compare(references: Iterable[Reference]) -> list[SourceComparison]:
    """Return accuracies of one network, metric, dataset, split, scales and flip from two or more sources.

    A figure whose source does not state whether flips were averaged is in both groups.
    """
    found: dict[SourceComparison, list[Reference]] = defaultdict(list)
    for each in references:
        ours, dataset, split, scales = each.ours, each.dataset, each.split, each.protocol.scales
        if ours and dataset and split and scales and each.metric in ACCURACY:
            found[SourceComparison(ours, each.metric, dataset, split, scales, each.protocol.flip, ())].append(each)
    for kind in [kind for kind in found if kind.flip is None]:
        stated_kinds = [other for flip in (True, False) if (other := replace(kind, flip=flip)) in found]
        for other in stated_kinds:
            found[other] += found[kind]
        if stated_kinds:
            del found[kind]
    return [
        replace(kind, references=tuple(sorted(members, key=lambda each: -each.value)))
        for kind, members in found.items()
        if len({each.source.title for each in members}) > 1
    ]
