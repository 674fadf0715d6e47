"""Modules that an mmsegmentation-style config of the user's names in `custom_imports`.

They register parts of its network, in the process that reads the config and in the worker that trains it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmark import backend, usercode
from benchmark.errors import UserError


def requested(config: Mapping[str, Any], folder: Path) -> list[usercode.Module]:
    """Find the modules of a config, in the order in which it names them.

    Args:
        config: as it was read.
        folder: of its file; modules are looked for there, in the folders above it, and in the working directory, after
            what is installed.

    Raises:
        UserError: there is no such module, or they are no names.
    """
    names = (config.get("custom_imports") or {}).get("imports") or []
    found = []
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise UserError(f"custom_imports: imports is {names!r}, not a list of names of modules")
    for name in names:
        module = usercode.named(name, [folder, *folder.parents])
        if module is None:
            raise UserError(
                f"custom_imports: {name} cannot be imported: there is no such module installed, in {folder} or above "
                "it, or in the working directory"
            )
        found.append(module)
    return found


def of(plain: Iterable[Mapping[str, Any]]) -> list[usercode.Module]:
    """Return the modules that a composed config names."""
    return [
        usercode.Module(each["name"], Path(each["path"]), Path(each["folder"]) if each["folder"] else None)
        for each in plain
    ]


def load(modules: list[usercode.Module]) -> None:
    """Import modules.

    Raises:
        UserError: one cannot be imported.
    """
    backend.activate()  # what they import from mmsegmentation needs it

    for module in modules:
        try:
            module.load()
        except UserError as error:
            raise UserError(f"custom_imports: {error}") from error
