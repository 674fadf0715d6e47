"""Titles of groups of results in a page: no two are equal, though protocol and overrides may be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmark.analysis.axes import differing
from benchmark.analysis.ranking import Group

LONGEST = 60
"""Characters of the differences that a title names; beyond, it names the fingerprint."""

Key = tuple[str, str]
"""Title of a group and its fingerprint."""


def titles(groups: Iterable[Group]) -> dict[Key, str]:
    """Return a distinct title for each group.

    Of groups with equal titles the first keeps it, and the others add in which axes they differ from it, or their
    fingerprint where these are too long.

    Args:
        groups: groups of one or more sets of results, in the order of the page.

    Returns:
        The distinct titles, by `Group.title` and fingerprint.
    """
    alike: dict[str, dict[str, Group]] = {}
    for group in groups:
        alike.setdefault(group.title, {}).setdefault(group.fingerprint, group)
    return {
        (title, each.fingerprint): f"{title} ({addition})" if addition else title
        for title, found in alike.items()
        for each, addition in zip(found.values(), _additions(list(found.values())), strict=True)
    }


def _additions(groups: Sequence[Group]) -> list[str]:
    first, *others = groups
    named = [_differences(_axes(each), _axes(first)) for each in others]
    return [
        "",
        *(
            text if text and len(text) <= LONGEST and named.count(text) == 1 else f"fingerprint {each.fingerprint}"
            for each, text in zip(others, named, strict=True)
        ),
    ]


def _axes(group: Group) -> Mapping[str, Any]:
    return group.runs[0].conditions.axes


def _differences(axes: Mapping[str, Any], others: Mapping[str, Any]) -> str:
    found = differing(axes, others).items()
    return ", ".join(f"{axis}: {'none' if value is None else value}" for axis, (value, _) in found)
