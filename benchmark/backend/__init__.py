"""Runs OpenMMLab on today's PyTorch without compiling anything.

`activate()` comes before the first import of torchvision, mmcv.ops or mmseg.models. Each module here mends one thing
that would keep them from importing or from working, or the user waiting; nothing else in the suite knows of any of it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Adaptation:
    """One thing that the backend looked at.

    Attributes:
        name: what it is about.
        done: whether something had to be adapted.
        why: in one line, what was adapted and why, or why nothing had to be.
    """

    name: str
    done: bool
    why: str


def activate() -> None:
    """Make mmcv, mmengine and mmseg importable and whole; calling it again costs nothing.

    Raises:
        UserError: a package that they need is absent or does not load.
    """
    _adapt()


def silence() -> None:
    """Keep OpenMMLab's warnings from users: deprecations between its own modules, which they cannot mend."""
    warnings.filterwarnings("ignore", module=r"(mmengine|mmcv|mmseg)\b")


def adaptations() -> list[Adaptation]:
    """What `activate` adapted and what it left alone; activates first.

    Raises:
        UserError: as `activate`.
    """
    return list(_adapt())


@cache  # and an error is not cached: after it, the next call tries again
def _adapt() -> tuple[Adaptation, ...]:
    from benchmark.backend import checkpoints, compiled, installed, metadata, metafiles, vision

    installed.check()
    return tuple(module.adapt() for module in (vision, compiled, checkpoints, metadata, metafiles))
