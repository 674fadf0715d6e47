"""Networks that other packages and folders add to the catalog.

- a folder in `SEGBENCH_MODELS` (or `--models DIR`) with the layout of `model_configs/`, metafiles included;
- an entry point of the group `segbench.architectures`: the name of a class or function that makes a network, of a path
  of a config, or of a folder of the same layout (a path, or a package).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import EntryPoint
from importlib.metadata import entry_points as installed
from pathlib import Path

from benchmark import usercode
from benchmark.catalog.own import Factory
from benchmark.errors import FOREIGN, UserError, one_line

FOLDERS = "SEGBENCH_MODELS"
"""Environment variable of folders, separated as in PATH."""

GROUP = "segbench.architectures"
"""Group of entry points."""

_NAME = re.compile(r"[A-Za-z0-9][\w.+-]{0,99}", re.ASCII)


def folders() -> list[Path]:
    """Return the folders of the environment, which worker processes inherit.

    Raises:
        UserError: there is no such folder, or it has no config.
    """
    found = [Path(each).resolve() for each in os.environ.get(FOLDERS, "").split(os.pathsep) if each]
    for folder in found:
        if not folder.is_dir():
            raise UserError(f"{folder}, named by {FOLDERS} or --models, is not a folder")
        if not any(folder.glob("[!_]*/*.py")):
            raise UserError(f"{folder}, named by {FOLDERS} or --models, has no METHOD/ARCHITECTURE.py")
    return list(dict.fromkeys(found))


def entry_points() -> list[EntryPoint]:
    """Return the entry points of installed packages, sorted by name."""
    return sorted(installed(group=GROUP), key=lambda point: (point.name, point.value))


def resolve(point: EntryPoint) -> Factory | Path:
    """Return what an entry point names; nothing is imported for a class or function that its module defines.

    Raises:
        UserError: there is no such module, it names something else, or its name is not fit for files and tables.
    """
    if not _NAME.fullmatch(point.name):
        raise UserError("its name is not of letters, digits, dots, dashes, plus signs and underscores")
    module = usercode.named(point.module)
    if module is None:
        raise UserError(f"there is no module {point.module}")
    if not point.attr:
        if module.path.name != "__init__.py":
            raise UserError(f"{point.module} is not a package of configs: write {point.module}:NAME")
        return module.path.parent
    if point.attr in usercode.assigned(module.path):  # and no class or function, or an imported name
        found = point.load()
        if isinstance(found, str | Path):
            path = Path(found)
            if not path.exists():
                raise UserError(f"there is no {path}")
            return path.resolve()
        if not callable(found):
            raise UserError(f"{point.value} is {type(found).__name__}, not a class, a function or a path")
    return Factory("entry point", module, point.attr, point.name, {}, {})


@contextmanager
def warned(point: EntryPoint) -> Iterator[None]:
    """Print one line of warning if what an entry point provides cannot be used."""
    try:
        yield
    except UserError as error:
        _warn(point, str(error))
    except FOREIGN as error:  # of another package's code, of any kind
        _warn(point, f"{type(error).__name__}: {one_line(error)}")


@cache
def _warn(point: EntryPoint, reason: str) -> None:
    """Print why an entry point is left out, once a process."""
    package = point.dist.name if point.dist else "a package"
    print(f"segbench: warning: entry point {point.name} of {package} is left out: {reason}", file=sys.stderr)
