"""Coverage of a leaderboard: architectures of the catalog without a result get a row "not run".

This applies to protocols without overrides only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from benchmark.analysis.ranking import Group, Standing
from benchmark.catalog import catalog

NOT_RUN = "not_run"
"""The status of the row of an architecture without results."""


def completed(found: Sequence[Group], asked: Collection[str] = ()) -> list[Group]:
    """Return the groups, with a row for every architecture without results.

    Args:
        found: groups of results from `ranking.groups`.
        asked: protocols that are shown even if they have no result without overrides; they come first.

    Returns:
        The groups; in each protocol the first one without overrides has these rows.
    """
    by_protocol = {name: list(groups) for name, groups in groupby(found, lambda group: group.protocol)}
    return [
        group
        for name in sorted({*by_protocol, *asked})
        for group in _completed(name, by_protocol.get(name, []), name in asked)
    ]


def not_run(protocol: str, found: Sequence[Group]) -> list[str]:
    """Return the architectures of the catalog without a result of the protocol without overrides.

    Args:
        protocol: its name; for a protocol that is not in the catalog, the list is empty.
        found: groups of results, of that protocol or others.
    """
    if protocol not in catalog.protocols():
        return []
    plain = next((group for group in found if group.protocol == protocol and not group.overrides), None)
    run = {run.architecture for run in plain.runs} if plain else set()
    return [name for name in catalog.architectures() if name not in run]


def command(protocol: str) -> str:
    """Return the command that runs the architectures without results."""
    return f"segbench run --all -p {protocol}"


def _completed(protocol: str, found: Sequence[Group], asked: bool) -> Iterator[Group]:
    rows = [row(name) for name in not_run(protocol, found)]
    plain = [group for group in found if not group.overrides][:1]
    if plain:
        yield replace(plain[0], not_run=rows)
    elif asked and rows:
        # Its fingerprint depends on the data, which an empty table does not need.
        yield Group(protocol, "", {}, {}, runs=[], superseded=0, notes=[], not_run=rows)
    yield from found[len(plain) :]


def row(architecture: str) -> Standing:
    """Return the row of an architecture of the catalog without results."""
    nothing: dict[str, Any] = dict.fromkeys(Standing._fields)
    method = catalog.architecture(architecture).method
    known = {"architecture": architecture, "method": method, "status": NOT_RUN, "seeds": 0, "failed": 0}
    known |= dict.fromkeys(("device", "best", "front"), "")
    return Standing(**nothing | known)
