"""Warnings to the user: one line each on stderr, or wherever the process of a run sends them."""

from __future__ import annotations

import sys
from collections.abc import Callable


def _print(text: str) -> None:
    print(text, file=sys.stderr)


_show: Callable[[str], None] = _print


def warn(text: str) -> None:
    """Show a line to the user."""
    _show(text)


def redirect(show: Callable[[str], None] | None) -> None:
    """Give the lines of this process to a function; None prints them on stderr again."""
    global _show
    _show = show or _print
