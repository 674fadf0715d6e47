"""What exists: methods, architectures, protocols and references, read from the files of `model_configs/`.

Nothing is executed to list it: an architecture or a protocol is a file, its name is the file's name, and its summary
the first line of the file's docstring.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmark import deviations
from benchmark.deviations import Deviation
from benchmark.errors import UserError, unknown
from benchmark.references import Reference, parse

ZOO_PREFIX = "mmseg:"
"""`mmseg:NAME` names an architecture by its config in the mmsegmentation zoo."""

DEFAULT_PROTOCOL = "shapes_64x64_smoke"


@dataclass(frozen=True)
class Architecture:
    """One buildable network of a method.

    Attributes:
        name: what the user calls it.
        method: name of the method's folder.
        summary: one line.
        path: the mmengine config file that defines `model`.
    """

    name: str
    method: str
    summary: str
    path: Path


@dataclass(frozen=True)
class Protocol:
    """Dataset, splits, input, augmentation, schedule and evaluation, the same for every architecture.

    Attributes:
        name: what the user calls it.
        summary: one line.
        path: the mmengine config file.
    """

    name: str
    summary: str
    path: Path


@dataclass(frozen=True)
class Method:
    """A paper.

    Attributes:
        name: name of its folder.
        title: title of the paper.
        year: year of publication.
        representative: the architecture that stands for the method where one is wanted; None for a comparison.
        facts: the whole metafile, references included.
    """

    name: str
    title: str
    year: int
    representative: str | None
    facts: Mapping[str, Any]


def config_root() -> Path:
    """The folder `model_configs`: inside an installed package, beside the package in a checkout."""
    package = Path(__file__).parent
    installed = package / "model_configs"
    return installed if installed.is_dir() else package.parent / "model_configs"


@cache
def architectures() -> dict[str, Architecture]:
    """Every architecture of the suite, by name, in the order of method and name."""
    return {
        path.stem: Architecture(path.stem, path.parent.name, _summary(path), path)
        for path in sorted(config_root().glob("[!_]*/*.py"))
    }


@cache
def protocols() -> dict[str, Protocol]:
    """Every protocol, by name."""
    paths = sorted((config_root() / "_base_" / "protocols").glob("*.py"))
    return {path.stem: Protocol(path.stem, _summary(path), path) for path in paths}


@cache
def methods() -> dict[str, Method]:
    """Every method, by name."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found = {}
    for path in sorted(config_root().glob("*/metafile.yaml")):
        facts = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
        found[path.parent.name] = Method(
            path.parent.name, facts["title"], facts["year"], facts["representative"], facts
        )
    return found


@cache
def references() -> dict[str, Reference]:
    """Every published number of the metafiles that is of a network of ours, by identifier.

    Raises:
        UserError: an entry has a mistake; the message names file, reference and field.
    """
    return {name: each for name, each in _figures().items() if each.network is None}


@cache
def related() -> dict[str, Reference]:
    """Every published number of the metafiles that is of a network of the method which is not ours, by identifier.

    Such a number is listed beside the architecture that is nearest to it, and compared with nothing.

    Raises:
        UserError: as `references`.
    """
    return {name: each for name, each in _figures().items() if each.network is not None}


@cache
def deviations_of(method: str) -> list[Deviation]:
    """What the architectures of a method have where its authors have something else.

    Raises:
        UserError: an entry has a mistake; the message names file, entry and field.
    """
    place, members = _metafile(method), _members(method)
    entries = methods()[method].facts.get("deviations") or ()
    return [deviations.parse(entry, members, f"{place}: deviation {number}") for number, entry in enumerate(entries, 1)]


def _figures() -> dict[str, Reference]:
    """The entries of `references` and `related`, by identifier."""
    found: dict[str, Reference] = {}
    for method in methods().values():
        place, members = _metafile(method.name), _members(method.name)
        for section in ("references", "related"):
            for entry in method.facts.get(section) or ():
                reference = parse(entry, method.name, members, str(place))
                if (reference.network is not None) != (section == "related"):
                    right = "related" if reference.network else "references"
                    raise UserError(
                        f"{place}: reference {reference.name}: network is for `related`: move it to {right}"
                    )
                if reference.name in found:
                    first = _metafile(found[reference.name].method)
                    raise UserError(f"{place}: reference {reference.name}: id is taken, in {first}")
                found[reference.name] = reference
    return found


def _metafile(method: str) -> Path:
    return config_root() / method / "metafile.yaml"


def _members(method: str) -> list[str]:
    """Names of the architectures of a method."""
    return sorted(path.stem for path in (config_root() / method).glob("*.py"))


def zoo_root() -> Path:
    """The configs of the installed mmsegmentation, found without importing it.

    Raises:
        UserError: it is not installed.
    """
    spec = find_spec("mmseg")
    if spec is None or spec.origin is None:
        raise UserError("mmsegmentation is not installed: python -m pip install mmsegmentation==1.2.2")
    return Path(spec.origin).parent / ".mim" / "configs"


@cache
def zoo() -> dict[str, Architecture]:
    """Every config of the installed mmsegmentation that trains a network, by `mmseg:NAME`."""
    return {
        name: Architecture(name, path.parent.name, f"mmsegmentation zoo, configs/{path.parent.name}/{path.name}", path)
        for path in sorted(zoo_root().glob("[!_]*/*.py"))
        for name in [ZOO_PREFIX + path.stem]
    }


def architecture(name: str) -> Architecture:
    """The architecture of that name, of the suite or of the mmsegmentation zoo.

    Raises:
        UserError: there is none; the message names the nearest.
    """
    known = zoo() if name.startswith(ZOO_PREFIX) else architectures()
    if name not in known:
        raise unknown("architecture", name, known)
    return known[name]


def representatives() -> list[str]:
    """One architecture of every method."""
    return [method.representative for method in methods().values() if method.representative]


def protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        UserError: there is none; the message names the nearest.
    """
    if name not in protocols():
        raise unknown("protocol", name, protocols())
    return protocols()[name]


def _summary(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    return (docstring or "").partition("\n")[0]
