"""Short names of architectures, for the points of a plot and for terminals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from benchmark.catalog.catalog import ZOO_PREFIX

LENGTH = 28
"""Number of characters of a short name, unless other names need more to differ from it."""

SHORTEST = 12
"""Number of characters that a name keeps at least where there is no room for more."""

TAIL = 0.4
"""Share of the end of a name in what is left of it: names of the zoo end with the dataset and the size of images, those
of runs with the seed."""


def abbreviated(name: str, length: int) -> str:
    """Shorten a name in its middle.

    Args:
        name: the name.
        length: the most characters that it may have.
    """
    if len(name) <= length:
        return name
    tail = round(TAIL * (length - 1))
    return f"{name[: length - 1 - tail]}…{name[-tail:]}"


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Shorten names in the middle, each as much as it still differs from the others, and without the zoo's prefix.

    Args:
        names: names of architectures, all different.

    Returns:
        The short name of each name.
    """
    names = list(names)
    found = Counter(name.removeprefix(ZOO_PREFIX) for name in names)
    bare = {name: each if found[each := name.removeprefix(ZOO_PREFIX)] == 1 else name for name in names}
    return {name: _short(each, bare.values()) for name, each in bare.items()}


def _short(name: str, names: Iterable[str]) -> str:
    """Return the shortest form of a name that no other name has."""
    rivals = [each for each in names if len(each) > LENGTH and each != name]
    for length in range(LENGTH, len(name)):
        short = abbreviated(name, length)
        if all(abbreviated(each, length) != short for each in rivals):
            return short
    return name
