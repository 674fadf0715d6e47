"""Modules that an mmsegmentation-style config of the user's names in `custom_imports`.

They register parts of its network, in the process that reads the config and in the worker that trains it.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmark import backend
from benchmark.errors import UserError, one_line


def requested(config: Mapping[str, Any], folder: Path) -> dict[str, Any] | None:
    """Import the modules of a config; return what `load` needs to do it again, and the SHA-256 of their sources.

    Args:
        config: as it was read.
        folder: of its file; modules are looked for there, and in the working directory, after what is installed.

    Raises:
        UserError: a module cannot be imported.
    """
    names = (config.get("custom_imports") or {}).get("imports") or []
    names = [names] if isinstance(names, str) else list(names)
    if not names:
        return None
    places = [str(folder), str(Path.cwd())]
    sources = hashlib.sha256()
    for module in load({"places": places, "imports": names}):
        for path in _sources(module):
            sources.update(path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return {"places": places, "imports": names, "sha256": sources.hexdigest()}


def load(wanted: Mapping[str, Any]) -> list[ModuleType]:
    """Import modules, which are looked for in further places too.

    Raises:
        UserError: one cannot be imported.
    """
    backend.activate()  # what they import from mmsegmentation needs it

    sys.path.extend(place for place in wanted["places"] if place not in sys.path)
    return [_imported(name) for name in wanted["imports"]]


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:  # of the user's code, of any kind
        raise UserError(
            f"custom_imports: {name} cannot be imported: {type(error).__name__}: {one_line(error)}"
        ) from error


def _sources(module: ModuleType) -> Iterator[Path]:
    """Yield the source files of a module, those of a whole package in the order of their paths."""
    if hasattr(module, "__path__"):
        for place in module.__path__:
            yield from sorted(Path(place).rglob("*.py"))
    elif module.__file__:
        yield Path(module.__file__)
