"""Verdicts "not run": published accuracies that are comparable with a protocol but have no result."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from benchmark.catalog.references import Reference
from benchmark.results.summary import Conditions, Summary
from benchmark.verdicts.comparability import mismatches
from benchmark.verdicts.verdict import Verdict

SEEDS = 3
"""Number of seeds suggested for a network without results: the fewest for a meaningful variance estimate."""

Plan = Callable[[str], Summary | None]
"""A function that returns the planned run of an architecture; None if the protocol cannot train it."""


def planned(architecture: str, conditions: Conditions, size: tuple[int, int]) -> Summary:
    """Return a placeholder for a future result, with its settings only."""
    plain: dict[str, Any] = dict.fromkeys(Summary._fields)
    known = {"conditions": conditions, "architecture": architecture, "input": f"{size[0]}x{size[1]}"}
    return Summary(**plain | known)


def verdicts(references: Iterable[Reference], existing: Iterable[Verdict], plan: Plan, metric: str) -> list[Verdict]:
    """Return a verdict "not run" for every published figure that is comparable with the protocol.

    Args:
        references: published accuracies on the dataset of the protocol.
        existing: verdicts on results of the protocol without overrides.
        plan: returns the planned run of an architecture.
        metric: the compared score: miou, macc or aacc.
    """
    known = {(each.reference, each.architecture) for each in existing}
    found = []
    for reference in references:
        network = reference.ours
        if network is None or (reference.name, network) in known:
            continue
        run = plan(network)
        if run is None or mismatches(reference, run, metric):
            continue
        protocol = run.conditions.protocol
        seeds = ",".join(map(str, range(SEEDS)))
        reason = f"`segbench run {network} -p {protocol} --seeds {seeds}` would decide"
        found.append(Verdict.of(reference, None, "not run", reason, architecture=network, protocol=protocol))
    return sorted(found, key=lambda each: (each.architecture, each.reference))
