"""Python code of the user's that defines networks: where it is, a digest of it, and its import.

Finding and hashing import nothing: the modules that a file imports from its folder are read from its text.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import metadata
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from benchmark.errors import FOREIGN, UserError, one_line

INSTALLED = ("site-packages", "dist-packages")
"""Folders of installed packages, which are known by their versions."""

LIBRARIES = frozenset(
    {"torch", "numpy", "torchvision", "mmengine", "mmcv", "mmseg", "cv2", "PIL", "benchmark", "segbench"}
)
"""Packages that the environment of a result lists anyway."""

HOME = "_segbench_"
"""Names of packages that stand for folders of files begin with this."""


@dataclass(frozen=True)
class Module:
    """A module, not imported yet.

    Attributes:
        name: by which it is imported.
        path: its file.
        folder: where it and its siblings are looked for first; None where it is installed.
    """

    name: str
    path: Path
    folder: Path | None

    @property
    def is_alone(self) -> bool:
        """Whether it is a file that is of no package."""
        return self.name.startswith(HOME)

    @cached_property
    def sources(self) -> Sources:
        """The files that define it."""
        return _sources(self)

    def load(self) -> ModuleType:
        """Import it, again where its sources were edited since.

        Raises:
            UserError: it raises an exception.
        """
        try:
            return _load(self)
        except UserError:
            raise
        except FOREIGN as error:  # of the user's code, of any kind
            where = self.path if self.folder else self.name
            raise UserError(f"{where} cannot be imported: {type(error).__name__}: {one_line(error)}") from error


@dataclass(frozen=True)
class Sources:
    """What defines a module.

    Attributes:
        files: its source files, and those that it imports from its folder; of a package all.
        packages: versions of the other distributions that it imports, by name, without those of `LIBRARIES`.
    """

    files: Sequence[Path]
    packages: dict[str, str]

    @property
    def sha256(self) -> str:
        """SHA-256 of the files, wherever they are."""
        return digest(self.files)


def digest(files: Iterable[Path]) -> str:
    """Return the SHA-256 of source files, whatever their line endings and wherever they are."""
    found = hashlib.sha256()
    for path in files:
        found.update(path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return found.hexdigest()


def assigned(path: Path) -> set[str]:
    """Return the names that a file assigns at its top level.

    Raises:
        SyntaxError: it is not Python.
        ValueError: likewise.
    """
    found = set[str]()
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found.update(each.id for each in targets if isinstance(each, ast.Name))
    return found


def at(path: Path) -> Module:
    """Return the module of a file: of the package that its folder belongs to, or on its own."""
    path = path.resolve()
    parts, folder = [] if path.stem == "__init__" else [path.stem], path.parent
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        parts.insert(0, folder.name)
        folder = folder.parent
    if len(parts) > 1 or path.stem == "__init__":
        return Module(".".join(parts), path, folder)
    return Module(f"{_home(path.parent)}.{path.stem}", path, path.parent)


def named(name: str, folders: Sequence[Path] = ()) -> Module | None:
    """Return the module of a dotted name; None where there is none.

    Args:
        name: of the module.
        folders: are searched after the installed packages; the working directory is the last.
    """
    known = [Path(each).resolve() for each in sys.path]
    for folder in (None, *(each.resolve() for each in folders), Path.cwd().resolve()):
        path = _path(name, None if folder is None else [str(folder)])
        if path is not None:
            if folder is None and not _is_installed(path):
                folder = next((each for each in known if path.is_relative_to(each)), None)
            return Module(name, path, folder)
    return None


def _is_installed(path: Path) -> bool:
    return any(part in INSTALLED for part in path.parts)


def _path(name: str, places: list[str] | None) -> Path | None:
    """Return the file of a module without importing the packages that it is in."""
    spec = None
    for part in name.split("."):
        try:  # the finders of editable installations know top-level modules
            # without its parents' names, of which a package without __init__.py would look up its parent's module
            spec = find_spec(part) if places is None else PathFinder.find_spec(part, places)
        except (ImportError, ValueError):
            return None
        if spec is None:
            return None
        places = list(spec.submodule_search_locations or ())
    return Path(spec.origin).resolve() if spec and spec.origin and Path(spec.origin).is_file() else None


def _home(folder: Path) -> str:
    """Return the name of the package that stands for a folder, so that its modules may import each other relatively."""
    return f"{HOME}{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"


_imported: dict[Path, str] = {}
"""Digests of the user's files, as they were imported."""


def _load(module: Module) -> ModuleType:
    if module.folder is None:
        return importlib.import_module(module.name)
    files = {path: digest([path]) for path in module.sources.files}
    _forget(module, is_edited=any(_imported.get(path, sha256) != sha256 for path, sha256 in files.items()))
    _imported.update(files)
    if module.name in sys.modules:
        return sys.modules[module.name]
    with _first(module.folder):
        importlib.invalidate_caches()
        return _alone(module) if module.is_alone else _of_package(module)


def _alone(module: Module) -> ModuleType:
    """Import a file that is of no package."""
    home, _, stem = module.name.rpartition(".")
    package = sys.modules.setdefault(home, ModuleType(home))
    package.__path__ = [str(module.folder)]
    spec = importlib.util.spec_from_file_location(module.name, module.path)
    assert spec is not None
    assert spec.loader is not None
    found = sys.modules[module.name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(found)
    except BaseException:
        del sys.modules[module.name]
        raise
    setattr(package, stem, found)
    return found


def _of_package(module: Module) -> ModuleType:
    found = importlib.import_module(module.name)
    where = found.__file__
    if where is None or Path(where).resolve() != module.path:
        raise UserError(f"{module.path}: the name {module.name} is that of {where}: rename one of them")
    return found


def _forget(module: Module, *, is_edited: bool) -> None:
    """Forget imported modules with the names of those in the user's folder of another folder, or edited."""
    assert module.folder is not None
    names = {path.relative_to(module.folder).parts[0].removesuffix(".py") for path in module.sources.files}
    if module.is_alone:
        names.discard(module.path.stem)  # it is imported by another name
        names.add(module.name.partition(".")[0])
    for name in [name for name in sys.modules if name.partition(".")[0] in names]:
        where = getattr(sys.modules[name], "__file__", None)
        if is_edited or (where is not None and not Path(where).resolve().is_relative_to(module.folder)):
            del sys.modules[name]


@contextmanager
def _first(folder: Path) -> Iterator[None]:
    """Search a folder first for modules; afterwards last, for what is imported late."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with suppress(ValueError):  # the user's code may have removed it
            sys.path.remove(str(folder))
        if str(folder) not in sys.path:
            sys.path.append(str(folder))


def _sources(module: Module) -> Sources:
    folder = module.folder
    if folder is None:
        is_single = "." not in module.name and module.path.name != "__init__.py"
        paths = [module.path] if is_single else _all(module.path.parent)
        return Sources(paths, versions({module.name.partition(".")[0]}))
    top = folder / module.name.partition(".")[0]
    waiting = [module.path, *([] if module.is_alone or not top.is_dir() else _all(top))]
    files, others = set(waiting), set[str]()
    while waiting:
        path = waiting.pop()
        for name, level in _imports(path):
            found = [each for each in _siblings(name, level, path, folder) if each.is_relative_to(folder)]
            if not found and not level:
                others.add(name.partition(".")[0])
            waiting += [each for each in found if each not in files]
            files.update(found)
    order = sorted(files, key=lambda path: path.relative_to(folder).parts)
    return Sources(order, versions(others - LIBRARIES - sys.stdlib_module_names))


def _all(package: Path) -> list[Path]:
    return sorted(package.rglob("*.py"))


def _imports(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the names that a file imports, and how many packages above it they start."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError):  # its import will tell
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((each.name, 0) for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = f"{node.module}." if node.module else ""
            yield from ((f"{base}{each.name}", node.level) for each in node.names)


def _siblings(name: str, level: int, path: Path, folder: Path) -> Iterator[Path]:
    """Yield the files that an import reads in the folder of the user's; of a package all."""
    if level > len(path.parents):
        return
    place = path.parents[level - 1] if level else folder
    for part in name.split("."):
        if (place / f"{part}.py").is_file():
            yield place / f"{part}.py"
            return
        place = place / part
        if (place / "__init__.py").is_file():
            yield from _all(place)
            return
        if not place.is_dir():
            return


def versions(tops: Set[str]) -> dict[str, str]:
    """Return the versions of the distributions that have top-level modules of these names."""
    if not tops:
        return {}
    known = _distributions(tuple(sys.path))
    names = sorted({name for top in tops for name in known.get(top, ())})
    return {name.lower().replace("_", "-"): metadata.version(name) for name in names}


@cache
def _distributions(_path: tuple[str, ...]) -> Mapping[str, Sequence[str]]:
    """Return the distributions of each top-level module on the path."""
    return metadata.packages_distributions()
