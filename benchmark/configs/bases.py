"""Bases of config files: `_base_ = "segbench::_base_/protocols/NAME.py"` names a file of `model_configs/`.

mmengine finds `mmseg::PATH` and the like in the packages of OpenMMLab only. The scope works from any folder, with an
installed package as with a checkout.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import suppress
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from benchmark.catalog import catalog
from benchmark.errors import UserError

SCOPE = "segbench::"


@cache
def activate() -> None:
    """Make mmengine find bases of the scope."""
    from mmengine import Config

    original = Config._get_cfg_path

    def find(path: Any, filename: str) -> tuple[str, str | None]:
        if not isinstance(path, str) or not path:
            raise UserError(f"{filename}: _base_ names files, as texts, and not {path!r}")
        # Without the scope, mmengine does not look for the classes of the base in a registry of that name.
        if path.startswith(SCOPE):
            try:
                return str(resolve(path)), None
            except UserError as error:
                raise UserError(f"{filename}: {error}") from error
        if "::" not in path:
            file = Path(filename).parent / path
            if not file.is_file():
                raise UserError(f"{filename}: _base_ names {path}: {file}: No such file")
        try:
            found: tuple[str, str | None] = original(path, filename)
        except (ImportError, ValueError) as error:
            raise UserError(f"{filename}: there is no base {path}") from error
        return found

    Config._get_cfg_path = staticmethod(find)


def resolve(base: str) -> Path:
    """Return the file of a base of the scope.

    Raises:
        UserError: there is none; the message suggests similar ones.
    """
    root, wanted = catalog.config_root(), base.removeprefix(SCOPE)
    known = [path.relative_to(root).as_posix() for path in sorted(root.glob("**/*.py"))]
    if wanted not in known:
        near = get_close_matches(wanted, known, n=1, cutoff=0.5) or [f"_base_/protocols/{catalog.DEFAULT_PROTOCOL}.py"]
        raise UserError(f"there is no base {base}: did you mean {SCOPE}{near[0]}?")
    return root / wanted


def cycle(path: Path, above: tuple[Path, ...] = ()) -> Path | None:
    """Return a config file that is, directly or by its bases, a base of itself; None if there is none."""
    if path.resolve() in above:
        return path
    found = (cycle(base, (*above, path.resolve())) for base in _files(path, ast.parse(path.read_bytes())))
    return next(filter(None, found), None)


def chain(path: Path) -> Iterator[tuple[Path, ast.Module]]:
    """Yield a config file and those of its bases that are the user's, each before its bases, with what they say.

    Args:
        path: of a config that mmengine can read.
    """
    tree = ast.parse(path.read_bytes())
    yield path, tree
    for base in _files(path, tree):
        yield from chain(base)


def _files(path: Path, tree: ast.Module) -> Iterator[Path]:
    """Yield the bases of a config file that are the user's."""
    for base in _bases(tree):
        if isinstance(base, str) and "::" not in base and (path.parent / base).is_file():
            yield path.parent / base


def _bases(tree: ast.Module) -> list[Any]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "_base_":
            with suppress(ValueError):  # an expression
                found = ast.literal_eval(node.value)
                return found if isinstance(found, list) else [found]
    return []
