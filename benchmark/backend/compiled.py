"""Replace mmcv's compiled module, `mmcv._ext`, by PyTorch operators.

`mmseg.models` imports `mmcv.ops`, which needs `mmcv._ext`: C++ and CUDA code without wheels for current PyTorch.
If a compiled module loads, it is used. Otherwise `benchmark.backend.ops` replaces it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, spec_from_loader
from types import ModuleType

from benchmark.backend import Adaptation

NAME = "mmcv._ext"


def adapt() -> Adaptation:
    """Let `mmcv._ext` import as `benchmark.backend.ops`, unless a compiled module loads."""
    reason = _does_not_load()
    if reason is None:
        return Adaptation(NAME, False, "compiled mmcv is installed and used")
    sys.meta_path.insert(0, _Finder())
    return Adaptation(NAME, True, f"{reason}: its operators run in PyTorch")


def _does_not_load() -> str | None:
    """Load compiled mmcv; return why it cannot be used, or None."""
    package = find_spec("mmcv")
    # search mmcv's folder directly, because find_spec("mmcv._ext") would import mmcv, which takes 1.5 s
    if package is None or PathFinder.find_spec(NAME, package.submodule_search_locations) is None:
        return "no compiled mmcv is installed"
    try:
        import_module(NAME)
    except (ImportError, OSError) as error:
        return f"compiled mmcv does not load ({str(error).splitlines()[0]})"
    return None


class _Finder(MetaPathFinder, Loader):
    """Finds and loads `mmcv._ext`, with a real spec and loader, which mmcv and mmengine check."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return spec_from_loader(NAME, self, origin="benchmark.backend.ops") if fullname == NAME else None

    def exec_module(self, module: ModuleType) -> None:
        ops = import_module("benchmark.backend.ops")
        vars(module).update({name: getattr(ops, name) for name in (*ops.__all__, "__getattr__")})
