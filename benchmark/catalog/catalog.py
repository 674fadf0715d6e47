"""Methods, architectures, protocols and references, read from the files of `model_configs/`.

Listing executes no config: an architecture or a protocol is a file, its name is the file's name, and its summary the
first line of the file's docstring.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from benchmark.catalog import deviations, own, plugins
from benchmark.catalog.deviations import Deviation
from benchmark.catalog.own import Factory, Kind
from benchmark.catalog.references import METAFILE, YEARS, Reference, parse
from benchmark.errors import UserError, one_line, unknown
from benchmark.files import unique_keys

ZOO_PREFIX = "mmseg:"
"""`mmseg:NAME` names an architecture by its config in the mmsegmentation zoo."""

T = TypeVar("T")

DEFAULT_PROTOCOL = "shapes_64x64_smoke"

_STEM = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,98}[A-Za-z0-9])?")
"""Stems of protocol files: names of folders on any file system."""

RESERVED = ("weights",)
"""Folders of a store that are not of a protocol."""


@dataclass(frozen=True)
class Architecture:
    """An architecture: a network of a method.

    Attributes:
        name: name of the file.
        method: name of the method's folder.
        summary: one line.
        path: the mmengine config file that defines `model`, or the Python code of the factory.
        kind: where a network of the user's is from; None for those of the suite and of the zoo.
        factory: what makes the network, where there is no config.
    """

    name: str
    method: str
    summary: str
    path: Path
    kind: Kind | None = None
    factory: Factory | None = None

    @property
    def full_name(self) -> str:
        """Its name with all arguments, by which it can be named again."""
        return self.factory.full_name if self.factory else self.name


@dataclass(frozen=True)
class ProtocolEntry:
    """Dataset, splits, input, augmentation, schedule and evaluation, the same for every architecture.

    Attributes:
        name: name of the file, without suffix.
        summary: one line.
        path: the mmengine config file.
        is_own: whether the file is the user's.
    """

    name: str
    summary: str
    path: Path
    is_own: bool = False


@dataclass(frozen=True)
class Method:
    """A paper.

    Attributes:
        name: name of its folder.
        title: title of the paper.
        year: year of publication.
        representative: the architecture that represents the method by default; None for a comparison.
        facts: the whole metafile, references included.
    """

    name: str
    title: str
    year: int
    representative: str | None
    facts: Mapping[str, Any]


def config_root() -> Path:
    """Return the folder `model_configs`: inside an installed package, beside the package in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "model_configs"
    return installed if installed.is_dir() else package.parent / "model_configs"


_faults: dict[Path, UserError] = {}


def faults() -> list[UserError]:
    """Return the errors of files of `model_configs/` that were skipped so far; each was printed to stderr."""
    return list(_faults.values())


@cache
def architectures() -> dict[str, Architecture]:
    """Return all architectures by name, sorted by method and name, without those with an invalid file.

    Those of the suite come first, then those of the folders of `SEGBENCH_MODELS`, then those of entry points.

    Raises:
        UserError: there is no such folder, or a network in it has the name of another one.
    """
    found = _architectures(config_root(), None)
    for folder in plugins.folders():
        _add(found, _architectures(folder, "folder"))
    for point in plugins.entry_points():
        with plugins.warned(point):
            _add(found, _provided(point))
    return found


def _architectures(root: Path, kind: Kind | None) -> dict[str, Architecture]:
    if kind is not None:  # a fault of the user's is said whatever the command reads; ours have tests
        _valid(sorted(root.glob("[!_]*/metafile.yaml")), _method)
    return {
        path.stem: Architecture(path.stem, path.parent.name, summary, path, kind)
        for path, summary in _valid(sorted(root.glob("[!_]*/*.py")), _summary)
        if path.name != "__init__.py"
    }


def _add(found: dict[str, Architecture], others: Mapping[str, Architecture]) -> None:
    """Add architectures of the user's.

    Raises:
        UserError: an architecture, or a method, has the name of another one.
    """
    taken = {each.method: each for each in found.values() if each.method != own.METHOD}
    for each in others.values():
        if other := found.get(each.name):
            raise UserError(f"{each.path}: the name {each.name} is taken by {other.path}: rename this one")
        if other := taken.get(each.method):
            raise UserError(
                f"{each.path.parent}: the name {each.method} is taken by {other.path.parent}: rename this one"
            )
    found.update(others)


def _provided(point: EntryPoint) -> dict[str, Architecture]:
    """Return the networks that an entry point provides: a class or function, a config, or a folder of configs."""
    found, summary = plugins.resolve(point), f"entry point {point.value}"
    if isinstance(found, Factory):
        return {point.name: Architecture(point.name, own.METHOD, summary, found.module.path, found.kind, found)}
    if found.is_dir():
        return _architectures(found, "entry point")
    return {point.name: Architecture(point.name, own.METHOD, summary, found, "entry point")}


def model_roots() -> list[Path]:
    """Return the folders of methods: that of the suite, and those of the user's."""
    ours = config_root()
    others = {
        each.path.parent.parent: None for each in architectures().values() if each.kind and each.method != own.METHOD
    }
    return [ours, *others]


@cache
def protocols() -> dict[str, ProtocolEntry]:
    """Return all protocols by name, without those with an invalid file."""
    paths = sorted((config_root() / "_base_" / "protocols").glob("*.py"))
    return {path.stem: ProtocolEntry(path.stem, summary, path) for path, summary in _valid(paths, _summary)}


@cache
def methods() -> dict[str, Method]:
    """Return all methods by name, without those with an invalid metafile."""
    paths = [path for root in model_roots() for path in sorted(root.glob("*/metafile.yaml"))]
    return {path.parent.name: method for path, method in _valid(paths, _method)}


@cache
def references() -> dict[str, Reference]:
    """Return the published figures of the metafiles for our architectures, by identifier.

    Invalid entries are skipped, and reported on stderr.

    Raises:
        UserError: an identifier is given twice.
    """
    return {name: each for name, each in _figures().items() if each.network is None}


@cache
def related() -> dict[str, Reference]:
    """Return the published figures of the metafiles for other networks of the methods, by identifier.

    Such a figure is listed with the most similar architecture, and never compared.

    Raises:
        UserError: as `references`.
    """
    return {name: each for name, each in _figures().items() if each.network is not None}


@cache
def deviations_of(method: str) -> list[Deviation]:
    """Return the deviations of the architectures of a method from those of its authors.

    Raises:
        UserError: an entry is invalid; the message contains file, entry and field.
    """
    place, members = _metafile(method), _members(method)
    entries = methods()[method].facts.get("deviations") or ()
    return [deviations.parse(entry, members, f"{place}: deviation {number}") for number, entry in enumerate(entries, 1)]


def _figures() -> dict[str, Reference]:
    """Return the entries of `references` and `related`, by identifier."""
    found: dict[str, Reference] = {}
    for method in methods().values():
        place, members = _metafile(method.name), _members(method.name)
        for section in ("references", "related"):
            for entry in method.facts.get(section) or ():
                try:
                    reference = parse(entry, method.name, members, str(place))
                    if (reference.network is not None) != (section == "related"):
                        right = "related" if reference.network else "references"
                        raise UserError(
                            f"{place}: reference {reference.name}: network is for `related`: move it to {right}"
                        )
                except UserError as error:
                    _leave_out(place, error)
                    continue
                if reference.name in found:
                    first = _metafile(found[reference.name].method)
                    raise UserError(f"{place}: reference {reference.name}: id is taken, in {first}")
                found[reference.name] = reference
    return found


def _folder(method: str) -> Path:
    """Return the folder of a method: of the suite, or of the user's."""
    return next(root / method for root in model_roots() if (root / method).is_dir())


def _metafile(method: str) -> Path:
    return _folder(method) / "metafile.yaml"


def _members(method: str) -> list[str]:
    """Return the names of the architectures of a method."""
    return sorted(path.stem for path in _folder(method).glob("*.py"))


def forget() -> None:
    """Read all files again when they are asked for next: the folders of `SEGBENCH_MODELS` have changed."""
    for each in (architectures, protocols, methods, references, related, deviations_of):
        each.cache_clear()
    _faults.clear()


def zoo_root() -> Path:
    """Return the folder of the installed mmsegmentation's configs, without importing it.

    Raises:
        UserError: it is not installed.
    """
    spec = find_spec("mmseg")
    if spec is None or spec.origin is None:
        raise UserError("mmsegmentation is not installed: python -m pip install mmsegmentation==1.2.2")
    return Path(spec.origin).parent / ".mim" / "configs"


@cache
def zoo() -> dict[str, Architecture]:
    """Return the configs of the installed mmsegmentation that train a network, by `mmseg:NAME`."""
    return {
        name: Architecture(name, path.parent.name, f"mmsegmentation zoo, configs/{path.parent.name}/{path.name}", path)
        for path in sorted(zoo_root().glob("[!_]*/*.py"))
        for name in [ZOO_PREFIX + path.stem]
    }


def architecture(name: str) -> Architecture:
    """Return the architecture of that name, of the suite, of the mmsegmentation zoo or of the user's.

    Args:
        name: of a config, `mmseg:CONFIG`, or of a class or function: `FILE.py:NAME`, `package.module:NAME`; or
            the file of a config, `FILE.py`.

    Raises:
        UserError: there is none; the message suggests similar names.
    """
    if name.startswith(ZOO_PREFIX):
        return _find("architecture", name, zoo())
    base, arguments = own.split(name)
    if own.is_own(base):
        found = own.factory(name)
        path = (found.library or found.module).path
        return Architecture(found.title, own.METHOD, f"network of {path}", path, found.kind, found)
    if own.is_config(base):
        path = own.config_file(base)
        entry = Architecture(own.shown(path), own.METHOD, f"config {path}", path, "config")
    else:
        own.check_complete(base)
        entry = _find("architecture", base, architectures())
    if not arguments:
        return entry
    if entry.factory is None:
        raise UserError(f"{name}: arguments are for classes and functions, and {base} is a config")
    found = replace(entry.factory, arguments=arguments)
    return replace(entry, name=found.title, factory=found)


def takes_arguments(name: str) -> bool:
    """Return whether a name is that of a class or function, which takes arguments, and not of a config."""
    base, _ = own.split(name)
    if base.startswith(ZOO_PREFIX) or own.is_config(base):
        return False
    return own.is_own(base) or (base in architectures() and architectures()[base].factory is not None)


def representatives() -> list[str]:
    """Return the representative architectures of all methods."""
    return [method.representative for method in methods().values() if method.representative]


def protocol(name: str) -> ProtocolEntry:
    """Return the protocol of that name, or of a file of the user's.

    Args:
        name: of a protocol, or the path of its file, `FILE.py`.

    Raises:
        UserError: there is none, and the message suggests similar names; or the file cannot be one.
    """
    if not own.is_config(name):
        here = Path(f"{name}.py")
        if name not in protocols() and here.is_file():
            raise UserError(f"unknown protocol {name!r}: did you mean the file {here}?")
        return _find("protocol", name, protocols())
    path = own.existing_file(name)
    ours = protocols().get(path.stem)
    if ours and ours.path.resolve() == path:
        return ours
    return ProtocolEntry(protocol_name(name), _summary(path), path, is_own=True)


def protocol_name(name: str) -> str:
    """Return the name of a protocol in results: of a file of the user's its stem. No file is read.

    Raises:
        UserError: results of the file would be mixed with those of a protocol of ours, or it cannot name a folder.
    """
    if not own.is_config(name):
        return name
    path = Path(name)
    if path.stem.lower() in RESERVED:
        raise UserError(f"{name}: {path.stem!r} is a folder of results that is not a protocol's: rename the file")
    if not _STEM.fullmatch(path.stem) or own.is_config(path.stem):
        raise UserError(
            f"{name}: {path.stem!r} cannot be the name of a protocol: rename the file, with up to 100 letters, digits, "
            "dots, dashes and underscores, a letter or digit first and last"
        )
    ours = next((each for each in protocols().values() if each.name.lower() == path.stem.lower()), None)
    if ours and ours.path.resolve() != path.resolve():
        raise UserError(f"{name}: {ours.name} is a protocol of segbench, whose results would be mixed: rename the file")
    return path.stem


def _find(kind: str, name: str, known: Mapping[str, T]) -> T:
    if name in known:
        return known[name]
    for path, fault in _faults.items():
        if path.stem == name:
            raise fault
    raise unknown(kind, name, known)


def _valid(paths: Iterable[Path], read: Callable[[Path], T]) -> list[tuple[Path, T]]:
    """Read files, skipping invalid ones, each of which is reported on stderr."""
    found = []
    for path in paths:
        try:
            found.append((path, read(path)))
        except UserError as error:
            _leave_out(path, error)
    return found


def _leave_out(path: Path, fault: UserError) -> None:
    _faults.setdefault(path, fault)
    _warn(str(fault))


@cache
def _warn(fault: str) -> None:
    """Print why a file or an entry of it is left out, once a process."""
    print(f"segbench: warning: {fault}", file=sys.stderr)


def _method(path: Path) -> Method:
    """Return the method of a metafile.

    Raises:
        UserError: it is not YAML, or lacks a field; the message contains file and line.
    """
    import yaml

    try:
        facts = yaml.load(_text(path), Loader=unique_keys.loader())
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{path}{line}: {error.problem or 'is not YAML'}") from error
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: is not valid YAML: {one_line(error)}") from error
    if not isinstance(facts, Mapping):
        raise UserError(f"{path}: is not a mapping of {', '.join(METAFILE)}")
    for field, check in METAFILE.items():
        if field not in facts:
            raise UserError(f"{path}: {field} is missing: {check.form}")
        if not check.passes(facts[field]):
            raise UserError(f"{path}: {field} is not {check.form}")
    if not isinstance(facts.get("references") or [], list):
        raise UserError(f"{path}: references is not a list")
    name = facts["representative"]
    if name is not None and not (path.parent / f"{name}.py").is_file():
        raise UserError(f"{path}: representative is {name!r}, but there is no file {name}.py")
    if facts["year"] not in YEARS:
        raise UserError(f"{path}: year is {facts['year']}, which is not plausible")
    return Method(path.parent.name, facts["title"], facts["year"], name, facts)


def _summary(path: Path) -> str:
    """Return the first line of a config's docstring.

    Raises:
        UserError: the file is not Python; the message contains file and line.
    """
    try:
        docstring = ast.get_docstring(ast.parse(_text(path)))
    except SyntaxError as error:
        raise UserError(f"{path}:{error.lineno or 1}: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"{path}: is not valid Python: {one_line(error)}") from error
    return (docstring or "").partition("\n")[0]


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: is not UTF-8: {error.reason}") from error
