"""Checks of arguments of Python functions: each returns the value, or says in one line what it must be.

The command line checks its texts as it parses them, in `benchmark.cli.quantities`, by the same limits.
"""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

from benchmark.errors import UserError, unknown_key

MOST = 10**9
"""The upper limit of arguments that are counts: larger than that of any training, batch or network."""

MOST_RETRIES = 1000
"""The largest number of times that a run is repeated."""

SEEDS = 2**32 - 1
"""The largest seed that NumPy accepts."""

WIDTHS = 1.5, 20.0
"""The smallest and the largest width of a figure, in inches."""

MOST_CLASSES = 100_000
"""The maximum number of classes: larger than that of any dataset, with weights that fit in memory."""


def whole(name: str, value: Any, least: int = 1, most: int = MOST) -> int:
    """Return an integer in a closed range.

    Raises:
        UserError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or not least <= int(value) <= most:
        raise UserError(f"{name} is {_shown(value)}: give a whole number from {least} to {most}")
    return int(value)


def real(name: str, value: Any, least: float, most: float) -> float:
    """Return a finite number in a closed range.

    Raises:
        UserError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not least <= float(value) <= most:  # nor NaN
        raise UserError(f"{name} is {_shown(value)}: give a number from {least:g} to {most:g}")
    return float(value)


def choice(name: str, value: Any, known: Iterable[str]) -> Any:
    """Return one of several values.

    Raises:
        UserError: it is none of them.
    """
    known = list(known)
    if value not in known:
        raise UserError(f"{name} is {_shown(value)}: give {' or '.join(known)}")
    return value


def names(name: str, value: Any) -> list[str]:
    """Return one or several names as a list.

    Raises:
        UserError: something else is given.
    """
    found = [value] if isinstance(value, str) else list(value) if isinstance(value, Iterable) else None
    if not found or not all(isinstance(each, str) for each in found):
        raise UserError(f"{name} is {_shown(value)}: give a name, or a list of names")
    return found


def seeds(name: str, value: Any) -> list[int]:
    """Return distinct seeds as a list.

    Raises:
        UserError: something else is given.
    """
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise UserError(f"{name} is {_shown(value)}: give a list of whole numbers from 0 to {SEEDS}, such as [0, 1, 2]")
    found = list(dict.fromkeys(whole(name, each, 0, SEEDS) for each in value))
    if not found:
        raise UserError(f"{name} is empty: give at least one")
    return found


def size(name: str, value: Any) -> tuple[int, int]:
    """Return height and width in pixels.

    Raises:
        UserError: something else is given.
    """
    try:
        height, width = (whole(name, each, 1, 99_999) for each in value)
    except (TypeError, ValueError, UserError):
        raise UserError(f"{name} is {_shown(value)}: give height and width in pixels, such as (360, 480)") from None
    return height, width


def keys(name: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Check the names of values that a caller gives.

    Raises:
        UserError: one is unknown.
    """
    known = list(known)
    for each in given:
        if each not in known:
            raise UserError(f"{name}: {each}: {unknown_key(each, known)}; known are {', '.join(known)}")


def _shown(value: Any) -> str:
    text = repr(value).replace("\n", " ")
    return text if len(text) <= 60 else f"{text[:57]}..."
