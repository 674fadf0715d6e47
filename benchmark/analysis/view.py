"""A choice of the rows of a leaderboard, and their order."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from benchmark.analysis import coverage
from benchmark.analysis.ranking import Group, Standing, groups
from benchmark.catalog import catalog
from benchmark.errors import UserError, unknown
from benchmark.results.summary import Summary

Row = TypeVar("Row", bound=Summary | Standing)

GIVEN = "given"
"""The order in which rows were named."""

LOWER_IS_BETTER = re.compile(r"rank.*|params.*|macs|latency_(ms|ratio)|.*_memory_bytes|failed|miou_sd_percent")
"""Columns that are sorted upwards; other numbers are sorted downwards, and texts by the alphabet."""


def split(names: Iterable[str]) -> list[str]:
    """Split names at commas, except those within the arguments of a network, `Net(width=8, depth=2)`."""
    parts = (part.strip() for name in names for part in re.split(r",(?![^(]*\))", name))
    return [part for part in parts if part]


def matches(row: Summary | Standing, pattern: str) -> bool:
    """Return whether a row is named by its architecture, a glob of it (`fcn*`), or its method."""
    name = row.architecture
    return pattern in (name, row.method) or fnmatchcase(name, pattern)


def chosen(rows: Iterable[Row], patterns: Sequence[str]) -> list[Row]:
    """Return the rows that a pattern names; all, if there is no pattern."""
    return [row for row in rows if not patterns or any(matches(row, pattern) for pattern in patterns)]


def groups_of(runs: Sequence[Summary], patterns: Sequence[str] = (), asked: Collection[str] = ()) -> list[Group]:
    """Group the results of the chosen rows, and add those that were not run.

    Ranks, marks and fronts are those among the chosen rows.

    Args:
        runs: results.
        patterns: of `chosen`.
        asked: protocols that are shown even if nothing was run.

    Raises:
        UserError: a pattern names no row; the message suggests similar names.
    """
    completed = coverage.completed(groups(chosen(runs, patterns)), asked)
    found = [replace(group, not_run=chosen(group.not_run, patterns)) for group in completed]
    rows: list[Summary | Standing] = []
    for group in found:
        rows.extend(group.runs)
        rows.extend(group.not_run)
    for pattern in patterns:
        if not chosen(rows, [pattern]):
            known = dict.fromkeys(name for run in runs for name in (run.architecture, run.method))
            if pattern in catalog.architectures() or pattern in catalog.methods():
                raise UserError(f"no results of {pattern}: there are those of {', '.join(known) or 'none'}")
            raise unknown("architecture", pattern, [*known, *catalog.architectures(), *catalog.methods()])
    return [group for group in found if group.runs or group.not_run]


def one(found: Sequence[Group], fingerprint: str | None = None) -> tuple[Group, list[Group]]:
    """Return the group of a figure or an archive, and the others of its protocol.

    Args:
        found: the groups of one protocol or several.
        fingerprint: of the group, or its first digits; by default, that of the protocol as it is defined or, where
            nothing was run without overrides, of the most runs.

    Raises:
        UserError: there are groups of several protocols, or none with the fingerprint.
    """
    protocols = list(dict.fromkeys(group.protocol for group in found))
    if len(protocols) > 1:
        raise UserError(f"there are results of {', '.join(protocols)}: name one with -p")
    chosen = next((group for group in found if group.fingerprint.startswith(fingerprint or "")), None)
    if chosen is None:
        known = ", ".join(f"{group.title} ({group.fingerprint})" for group in found)
        raise UserError(f"no results of fingerprint {fingerprint}: there are {known}")
    return chosen, [group for group in found if group is not chosen]


def was_run(rows: Sequence[Standing]) -> list[Standing]:
    """Return the rows that have results."""
    return [row for row in rows if row.status != coverage.NOT_RUN]


def ordered(rows: Sequence[Standing], sort: str | None, patterns: Sequence[str] = ()) -> list[Standing]:
    """Sort rows, those without a value last.

    Args:
        rows: a leaderboard.
        sort: a column, the best first, or `-COLUMN` for the reverse; `given` for the order of the patterns; None for
            that of the leaderboard.
        patterns: by which the rows were chosen.

    Raises:
        UserError: there is no such column.
    """
    if sort is None or (sort == GIVEN and not patterns):
        return list(rows)
    if sort == GIVEN:
        return sorted(rows, key=lambda row: [matches(row, pattern) for pattern in patterns].index(True))
    column = sort.removeprefix("-")
    if column not in Standing._fields:
        raise unknown_column(column, Standing._fields)
    present = [row for row in rows if getattr(row, column) is not None]
    absent = [row for row in rows if getattr(row, column) is None]

    def key(row: Standing) -> Any:
        return getattr(row, column)

    downwards = bool(present) and not isinstance(key(present[0]), str) and not LOWER_IS_BETTER.fullmatch(column)
    return [*sorted(present, key=key, reverse=downwards != sort.startswith("-")), *absent]


def unknown_column(name: str, known: Iterable[str]) -> UserError:
    """Return the error for a column that does not exist."""
    return UserError(f"unknown column {name!r}: there are {', '.join(known)}")
