"""Faults of a user's data: one line for all of a kind, with their number and the first names."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.errors import UserError

SHOWN = 3
"""How many names a line has before it says how many more there are."""


class FaultsError(UserError):
    """Everything that is wrong with a user's data.

    Attributes:
        lines: one line for each kind.
    """

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = list(lines)


def listed(names: Sequence[str], total: int | None = None) -> str:
    """Return the first names of a list, and how many more there are.

    Args:
        names: the names, or the first of them.
        total: their number, where `names` has not all.
    """
    more = (len(names) if total is None else total) - min(SHOWN, len(names))
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more else "")


def counted(number: int, what: str, plural: str | None = None) -> str:
    """Return a number of things: "1 image", "3 images"; with the plural where that is another one."""
    return f"{number} {what}" if number == 1 else f"{number} {plural or f'{what}s'}"
