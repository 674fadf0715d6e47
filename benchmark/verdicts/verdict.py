"""The verdict on a published figure, with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from benchmark.catalog.references import Reference

Outcome = Literal["reproduced", "explained", "differs", "inconclusive", "not comparable", "not run"]


@dataclass(frozen=True)
class Verdict:
    """The comparison of a published figure with ours.

    Attributes:
        reference: identifier of the figure.
        architecture: name of the architecture.
        metric: miou, macc, aacc, params or macs, or a speed.
        unit: unit of both: percent, M or G.
        published: the figure, in its unit and convention.
        measured: our figure, in the same unit and convention; None if unknown.
        difference: measured / published - 1, in percent.
        outcome: the verdict.
        reason: its reason, in one line.
        protocol: protocol of our training; None without a training.
        interval: 90 % confidence interval of measured - published, in the unit of both, corrected for the selection of
            the best run in the published figure; None for figures that are not sampled.
        margin: equivalence margin of measured - published, in the same unit; None if the margin is of another kind,
            which the reason states.
        further_seeds: number of further seeds that would settle an inconclusive verdict; None if it is settled or no
            number would.
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
    protocol: str | None = None
    interval: tuple[float, float] | None = None
    margin: float | None = None
    further_seeds: int | None = None

    @classmethod
    def of(cls, reference: Reference, measured: float | None, outcome: Outcome, reason: str, **more: Any) -> Verdict:
        """Return the verdict on a reference; `more` adds or replaces fields that follow from it.

        If the figure is compared, or would be, the reason ends with the reference's caveat.
        """
        caveat = reference.caveat if outcome != "not comparable" else None
        fields: dict[str, Any] = {
            "reference": reference.name,
            "architecture": reference.architecture,
            "metric": reference.metric,
            "unit": reference.unit,
            "published": reference.value,
            "measured": measured,
            "difference": None if measured is None else 100 * (measured / reference.value - 1),
            "outcome": outcome,
            "reason": f"{reason}; {caveat}" if caveat else reason,
        }
        return cls(**fields | more)
