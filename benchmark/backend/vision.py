"""Import torchvision with a PyTorch that its compiled part was not built for.

PyPI's torchvision for Linux is built against CUDA. With a CPU build of PyTorch its library does not load, and the
import then fails when it registers shape functions for operators that the library would declare:
``operator torchvision::nms does not exist``. If they are declared first, the Python part, which is sufficient here,
imports.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec
from typing import TYPE_CHECKING

from benchmark.backend import Adaptation

if TYPE_CHECKING:
    import torch

NAME = "torchvision"

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)

_library: torch.library.Library | None = None  # the declarations exist as long as this object


def adapt() -> Adaptation:
    """Declare the operators if torchvision's library cannot load."""
    import torch

    global _library
    if "torchvision" in sys.modules:
        return Adaptation(NAME, False, "imported before the backend was activated")
    reason = _does_not_load()
    if reason is None:
        return Adaptation(NAME, False, "its compiled part loads")
    _library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in SCHEMAS:
        _library.define(schema)
    return Adaptation(NAME, True, f"its compiled part does not load ({reason}): operators nms and qnms declared empty")


def _does_not_load() -> str | None:
    """Load torchvision's library; return why it does not load, or None."""
    import torch

    package = find_spec("torchvision")
    library = package and PathFinder.find_spec("torchvision._C", package.submodule_search_locations)
    if library is None or library.origin is None:
        return "it is missing"
    try:
        torch.ops.load_library(library.origin)
    except (ImportError, OSError) as error:
        return str(error.__cause__ or error).splitlines()[0]
    return None
