"""Whether a published figure is reproduced, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmark.catalog import Reference

Outcome = Literal["reproduced", "explained", "differs", "not comparable"]


@dataclass(frozen=True)
class Verdict:
    """A published figure and ours.

    Attributes:
        reference: identifier of the figure.
        architecture: the architecture that it is of.
        metric: what is measured: miou, macc, aacc, params or macs.
        unit: of both: percent, M or G.
        published: the figure, in its unit and convention.
        measured: ours, in the same unit and convention; None where that cannot be said.
        difference: measured / published - 1, in percent.
        outcome: the verdict.
        reason: why, in one line.
    """

    reference: str
    architecture: str
    metric: str
    unit: str
    published: float
    measured: float | None
    difference: float | None
    outcome: Outcome
    reason: str

    @classmethod
    def of(cls, reference: Reference, measured: float | None, outcome: Outcome, reason: str) -> Verdict:
        """The verdict on a reference."""
        facts = reference.facts
        published = float(facts["value"])
        return cls(
            reference=reference.name,
            architecture=facts["architecture"],
            metric=facts["metric"],
            unit=facts["unit"],
            published=published,
            measured=measured,
            difference=None if measured is None else 100 * (measured / published - 1),
            outcome=outcome,
            reason=reason,
        )
