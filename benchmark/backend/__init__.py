"""Run OpenMMLab on current PyTorch without compiling anything.

Call `activate()` before the first import of torchvision, mmcv.ops or mmseg.models. Each module here fixes one problem
of their imports, their operators or their start-up time; the rest of the package does not depend on these fixes.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Adaptation:
    """One property of the environment that the backend checked.

    Attributes:
        name: name of the package or problem.
        done: whether an adaptation was needed.
        why: in one line, what was adapted and why, or why no adaptation was needed.
    """

    name: str
    done: bool
    why: str


def activate() -> None:
    """Make mmcv, mmengine and mmseg importable; repeated calls have no cost.

    Raises:
        UserError: a required package is missing or does not load.
    """
    _adapt()


def silence() -> None:
    """Silence OpenMMLab's warnings of deprecations between its own modules, which users cannot fix."""
    warnings.filterwarnings("ignore", module=r"(mmengine|mmcv|mmseg)\b")


def adaptations() -> list[Adaptation]:
    """Return what `activate` adapted and what it left unchanged; activates first.

    Raises:
        UserError: see `activate`.
    """
    return list(_adapt())


@cache  # exceptions are not cached: the next call tries again
def _adapt() -> tuple[Adaptation, ...]:
    from benchmark.backend import checkpoints, compiled, installed, metadata, metafiles, vision

    installed.check()
    return tuple(module.adapt() for module in (vision, compiled, checkpoints, metadata, metafiles))
