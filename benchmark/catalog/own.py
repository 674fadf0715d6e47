"""Networks that the suite does not have: `FILE.py:NAME` or `package.module:NAME`, a class or a function that makes one,
or `FILE.py`, an mmsegmentation-style config.

Nothing of theirs is imported here; `benchmark.models.own` does that where a network is built.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from benchmark.errors import UserError

METHOD = "own"
"""Method of these networks."""

PEERS = {"torchvision": "torchvision.models.segmentation", "smp": "segmentation_models_pytorch"}
"""Modules of libraries by their short names: `torchvision:deeplabv3_resnet50`, `smp:Unet`."""

_NAME = re.compile(r"(?P<place>[^:]+(?::[\\/][^:]+)?):(?P<factory>[A-Za-z_]\w*)")


@dataclass(frozen=True)
class Factory:
    """What makes a network.

    Attributes:
        module: dotted name of its module; None where it is in a file.
        path: the file of its source, absolute.
        name: of the class or function in it.
        title: what tables call the network: without the folders of the file.
    """

    module: str | None
    path: Path
    name: str
    title: str

    @property
    def place(self) -> str:
        """Where it is imported from: its module, or the absolute path of its file."""
        return self.module or str(self.path)

    @property
    def sha256(self) -> str:
        """SHA-256 of the source file, so that a network that was edited is another one."""
        return hashlib.sha256(self.path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def is_own(name: str) -> bool:
    """Return whether a name has the form of a factory."""
    return _NAME.fullmatch(name) is not None


def is_config(name: str) -> bool:
    """Return whether a name is that of a config file."""
    return name.endswith(".py")


def config_file(name: str) -> Path:
    """Find a config, `path/to/net.py`.

    Raises:
        UserError: there is no such file.
    """
    path = Path(name)
    if not path.is_file():
        raise UserError(f"{name}: there is no such file")
    return path.resolve()


def factory(name: str) -> Factory:
    """Find the source of a network.

    Args:
        name: `FILE.py:NAME`, or `package.module:NAME` of something that is installed; see `PEERS` for short ones.

    Raises:
        UserError: there is no such file or module.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise UserError(f"{name!r} is no FILE.py:NAME and no package.module:NAME")
    place, attribute = found["place"], found["factory"]
    if place.endswith(".py"):
        path = Path(place)
        if not path.is_file():
            raise UserError(f"{name}: there is no file {place}")
        return Factory(None, path.resolve(), attribute, f"{path.name}:{attribute}")
    module = PEERS.get(place, place)
    source = _source(module)
    if source is None:
        raise UserError(f"{name}: there is no module {module} installed, and for a file write FILE.py:{attribute}")
    return Factory(module, source, attribute, name)


def _source(module: str) -> Path | None:
    """Return the file of a module without importing the packages that it is in; None where there is none."""
    places, spec = None, None
    parts = module.split(".")
    for number in range(1, len(parts) + 1):
        spec = PathFinder.find_spec(".".join(parts[:number]), places)
        if spec is None:
            return None
        places = list(spec.submodule_search_locations or ())
    return Path(spec.origin).resolve() if spec and spec.origin and Path(spec.origin).is_file() else None
