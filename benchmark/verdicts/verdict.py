"""Whether a published figure is reproduced, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from benchmark.catalog.references import Reference

Outcome = Literal["reproduced", "explained", "differs", "inconclusive", "not comparable", "not run"]


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
        protocol: that ours was trained under; None where nothing was.
        interval: 90 % confidence interval of measured - published, in the unit of both, after what selection of
            the best run has added to the published figure was taken off; None where nothing was sampled.
        margin: the largest measured - published that does not matter, in the same unit; None where the margin is
            another one, which the reason then says.
        further_seeds: how many more would settle an inconclusive verdict; None where it is settled, or none would.
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
        """Return the verdict on a reference; `more` are fields beside or instead of those that follow from it.

        Where the figure is compared, or would be, the reason ends with the reference's caveat.
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
