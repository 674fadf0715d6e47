"""Abbreviate names that are longer than a terminal is wide."""

from __future__ import annotations


def abbreviated(name: str, width: int) -> str:
    """Shorten a name in its middle: its end is the seed, or what tells it from others of its family.

    Args:
        name: the name.
        width: the most characters that it may have.
    """
    if len(name) <= width:
        return name
    end = width // 3
    return f"{name[: width - end - 1]}…{name[len(name) - end :]}"
