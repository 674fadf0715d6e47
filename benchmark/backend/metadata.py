"""Replace mmengine's lookup of installed packages through pkg_resources, which setuptools 82 removed.

Without it, every config whose base is part of an installed package (``mmseg::_base_/models/pspnet_r50-d8.py``) fails.
The two functions concerned are replaced by equivalents with importlib.
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from benchmark.backend import Adaptation

NAME = "package metadata"


def adapt() -> Adaptation:
    """Replace mmengine's `is_installed` and `get_installed_path` if pkg_resources is missing."""
    if find_spec("pkg_resources") is not None:
        return Adaptation(NAME, False, "pkg_resources, which mmengine uses, is installed")
    from mmengine.utils import package_utils

    for replacement in (is_installed, get_installed_path):
        original = getattr(package_utils, replacement.__name__)
        # mmengine's modules import the functions by name, so each has its own reference
        for module in [module for name, module in sys.modules.items() if name.split(".")[0] == "mmengine"]:
            if vars(module).get(replacement.__name__) is original:
                setattr(module, replacement.__name__, replacement)
    return Adaptation(NAME, True, "mmengine uses pkg_resources, removed from setuptools: its lookups now use importlib")


def is_installed(package: str) -> bool:
    """Return whether a distribution or an importable module of that name is installed."""
    try:
        distribution(package)
    except PackageNotFoundError:
        spec = find_spec(package)
        return spec is not None and spec.origin is not None
    return True


def get_installed_path(package: str) -> str:
    """Return the folder of a package, by the name of its module or of its distribution.

    Raises:
        PackageNotFoundError: it is not installed.
    """
    spec = find_spec(package)
    if spec is None:
        modules = (distribution(package).read_text("top_level.txt") or "").split()
        spec = find_spec(modules[0]) if modules else None
    if spec is None or spec.origin is None:
        raise PackageNotFoundError(package)
    return str(Path(spec.origin).parent)
