"""Numbers, sizes and durations of the command line: argument types, and how durations are shown."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable

from benchmark.arguments import MOST, SEEDS
from benchmark.errors import UserError


def whole(least: int, most: int = MOST) -> Callable[[str], int]:
    """Return an argument type: integers in a closed range."""

    def parse(text: str) -> int:
        number = int(text) if re.fullmatch(r"[+-]?[0-9]{1,20}", text) else None
        if number is None or not least <= number <= most:
            raise argparse.ArgumentTypeError(f"{_shown(text)} is not a whole number from {least} to {most}")
        return number

    return parse


def real(least: float, most: float) -> Callable[[str], float]:
    """Return an argument type: finite numbers in a closed range."""

    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"{_shown(text)} is not a number from {least:g} to {most:g}")
        return number

    return parse


count = whole(1)
"""An argument type: 1, 2, 3 and so on."""


seed = whole(0, SEEDS)
"""An argument type: the seed of a run."""


def seeds(text: str) -> list[int]:
    """Return an argument type: distinct seeds, separated by commas."""
    try:
        return list(dict.fromkeys(seed(each) for each in text.split(",")))
    except argparse.ArgumentTypeError:
        form = f"a list of whole numbers from 0 to {SEEDS} such as 0,1,2"
        raise argparse.ArgumentTypeError(f"{_shown(text)} is not {form}") from None


def duration(text: str) -> float:
    """Return an argument type: the seconds of a duration such as 25m, 90s, 1h30m or 1500."""
    found = re.fullmatch(r"(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s)?|([\d.]+)", text, re.ASCII)
    try:
        hours, minutes, *rest = (float(part or 0) for part in found.groups()) if found else (0.0,) * 4
    except ValueError:  # two points
        hours, minutes, *rest = (0.0,) * 4
    total = 3600 * hours + 60 * minutes + sum(rest)
    if not 0 < total <= MOST:
        raise argparse.ArgumentTypeError(f"{_shown(text)}: a duration such as 25m, 90s, 1h30m or 1500 is needed")
    return total


def size(text: str) -> tuple[int, int]:
    """Return height and width of the argument of --size.

    Raises:
        UserError: it is not HxW.
    """
    found = re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", text, re.ASCII)
    if not found:
        raise UserError(f"--size {text}: give height and width in pixels as HxW, for example 512x1024")
    return int(found[1]), int(found[2])


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def seconds(text: str) -> float:
    """Return the seconds of a duration such as 25m.

    Raises:
        UserError: it is not a positive duration.
    """
    try:
        return duration(text)
    except argparse.ArgumentTypeError as error:
        raise UserError(f"--time-budget {error}") from None


def duration_text(seconds: float) -> str:
    """Format a duration: 45 s, 12 min, 2.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
