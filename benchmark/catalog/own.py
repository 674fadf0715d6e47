"""Networks that the suite does not have, by the names that the command line takes.

- `FILE.py:NAME` or `package.module:NAME`: a class, or a function that makes a network;
- `torchvision:NAME`, `smp:NAME/ENCODER`, `hf:TYPE`, `timm:BACKBONE+HEAD`: networks of libraries;
- `FILE.py`: an mmsegmentation-style config.

`(width=8)` after the name of a class or function gives it arguments. Nothing of theirs is imported here;
`benchmark.models.own` does that where a network is built.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from benchmark import usercode
from benchmark.errors import UserError
from benchmark.usercode import Module

METHOD = "own"
"""Method of these networks."""

CLASSES = "num_classes"
"""As a value of an argument it stands for the number of classes of the protocol."""

UNTRAINED = {"weights": None, "weights_backbone": None, "encoder_weights": None, "pretrained": False}
"""Arguments of torchvision, segmentation_models_pytorch and others for initial weights, which would be downloaded: all
networks start from random ones."""

HEADS = ("fcn", "ppm", "psp", "aspp", "upernet", "segformer")
"""Heads on the backbones of timm: see `benchmark.models.peers`."""

ADAPTERS = Module("benchmark.models.peers", Path(__file__).parents[1] / "models" / "peers.py", None)
"""Functions that make the networks of libraries."""

Kind = Literal["file", "module", "config", "folder", "entry point", "torchvision", "smp", "hf", "timm"]
"""Where a network is from."""

_ARGUMENTS = re.compile(r"(?P<base>.*?:[\w./+-]+|[\w.+-]+)\((?P<arguments>.*)\)", re.DOTALL)
_NAME = re.compile(r"(?P<place>[^:]+(?::[\\/][^:]+)?):(?P<factory>[^\W\d]\w*(?:\.[^\W\d]\w*)*)")
_UNFINISHED = re.compile(r"\S+\.py:(?P<factory>[^\W\d][\w.]*\(.*)?", re.DOTALL)
_PEER = re.compile(r"(?P<library>smp|hf|timm):(?P<network>\S*)")
_UNNAMABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069/\\`|<>]")


@dataclass(frozen=True)
class Peer:
    """A library of networks.

    Attributes:
        module: its top-level module.
        extra: the optional dependency of ours that installs it.
        form: of the names of its networks.
        uses: top-level modules of other packages that define parts of them.
    """

    module: str
    extra: str
    form: str
    uses: frozenset[str] = frozenset()


PEERS: dict[str, Peer] = {
    "smp": Peer(
        "segmentation_models_pytorch",
        "smp",
        "smp:ARCHITECTURE/ENCODER, for example smp:Unet/resnet34",
        frozenset({"timm"}),
    ),
    "hf": Peer("transformers", "hf", "hf:MODEL_TYPE, for example hf:segformer"),
    "timm": Peer("timm", "timm", f"timm:BACKBONE+HEAD, for example timm:convnext_tiny+ppm; heads: {', '.join(HEADS)}"),
}
"""Libraries with a form of name of their own."""

SHORT = {"torchvision": "torchvision.models.segmentation"}
"""Modules of libraries by short names: `torchvision:deeplabv3_resnet50`."""


@dataclass(frozen=True)
class Factory:
    """What makes a network.

    Attributes:
        kind: where it is from.
        module: it is in.
        name: of the class or function in it.
        base: its name, without the folders of its file and without arguments.
        arguments: it is called with, in addition to the number of classes.
        fixed: arguments that its name in a library says.
        library: the module of the library that defines the network, if it is not `module`.
    """

    kind: Kind
    module: Module
    name: str
    base: str
    arguments: Mapping[str, Any]
    fixed: Mapping[str, Any]
    library: Module | None = None

    @property
    def full_name(self) -> str:
        """Its name with all arguments."""
        return f"{self.base}({text(self.arguments)})" if self.arguments else self.base

    @property
    def title(self) -> str:
        """What tables call the network: short, and in characters that results may hold."""
        found = f"({_UNNAMABLE.sub('_', text(self.arguments))})" if self.arguments else ""
        return f"{self.base}{found if len(found) <= 100 else f'{found[:96]}...)'}"

    @property
    def sources(self) -> usercode.Sources:
        """The source files and packages that define the network."""
        found = (self.library or self.module).sources
        peer = PEERS.get(self.kind)
        return replace(found, packages=found.packages | usercode.versions(peer.uses)) if peer else found


def split(name: str) -> tuple[str, dict[str, Any]]:
    """Split the arguments off the name of a network.

    Raises:
        UserError: they are not `NAME=VALUE, ...` of literal values.
    """
    found = _ARGUMENTS.fullmatch(name)
    if found is None:
        return name, {}
    return found["base"], parse(found["arguments"], name)


def parse(text: str, name: str) -> dict[str, Any]:
    """Return the arguments of a call, `width=8, depth=(1, 2)`.

    Raises:
        UserError: they are not `NAME=VALUE, ...` of literal values.
    """
    form = f"{name}: arguments are NAME=VALUE, ... with numbers, texts, True, False, None, lists, tuples or dicts"
    try:
        call = ast.parse(f"f({text})", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(form) from error
    if not isinstance(call, ast.Call) or call.args or not isinstance(call.func, ast.Name):
        raise UserError(form)
    found: dict[str, Any] = {}
    for each in call.keywords:
        if each.arg is None or each.arg in found:
            raise UserError(form)
        if isinstance(each.value, ast.Name) and each.value.id == CLASSES:
            found[each.arg] = ClassCount()
            continue
        try:
            found[each.arg] = ast.literal_eval(each.value)
            json.dumps(found[each.arg], allow_nan=False)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
            raise UserError(form) from error
    for argument in UNTRAINED.keys() & found.keys():
        if found[argument]:
            raise UserError(f"{name}: {argument} is not for --model-args: networks start from random weights")
    return found


class ClassCount:
    """The number of classes of the protocol, as the value of an argument."""

    def __repr__(self) -> str:
        return CLASSES


def text(arguments: Mapping[str, Any]) -> str:
    """Write arguments as `parse` reads them: `width=8, depth=(1, 2)`."""
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


def with_arguments(name: str, words: Sequence[str]) -> str:
    """Add the words of `--model-args`, `width=8`, to the name of a network.

    Raises:
        UserError: one is not of that form, or is given twice.
    """
    base, arguments = split(name)
    for word in words:
        argument, equals, value = word.partition("=")
        if not equals or not argument.isidentifier():
            raise UserError(f"--model-args {word}: is not NAME=VALUE, for example width=8")
        if argument in arguments:
            raise UserError(f"--model-args {word}: {argument} is given twice")
        arguments |= parse(f"{argument}={value if _is_literal(value) else repr(value)}", word)
    return f"{base}({text(arguments)})" if arguments else base


def _is_literal(value: str) -> bool:
    """Return whether a word is a value as Python writes it; otherwise it is a text without quotes."""
    try:
        ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return value == CLASSES
    return True


def is_own(name: str) -> bool:
    """Return whether a name has the form of a factory, or of a network of a library."""
    return _NAME.fullmatch(name) is not None or _PEER.fullmatch(name) is not None


def is_config(name: str) -> bool:
    """Return whether a name is that of a config file."""
    return name.endswith(".py")


def check_complete(name: str) -> None:
    """Check that a name is not the beginning of one of ours.

    Raises:
        UserError: it ends after `FILE.py:`, or within its arguments.
    """
    found = _UNFINISHED.fullmatch(name)
    if found and found["factory"]:
        raise UserError(f"{name}: its arguments end with `)`: quote the name for the shell")
    if found:
        raise UserError(f"{name}: name a class or function of it, {name}NAME")


def config_file(name: str) -> Path:
    """Find a config, `path/to/net.py`.

    Raises:
        UserError: there is no such file, or it is code that defines no model.
    """
    path = existing_file(name)
    with suppress(SyntaxError, ValueError, RecursionError):  # which reading it will tell with the line
        if not {"model", "_base_"} & usercode.assigned(path) and b"read_base" not in path.read_bytes():
            raise UserError(f"{name} does not define `model = dict(...)`: for a class write {name}:NAME")
    return path


def existing_file(name: str) -> Path:
    """Return the absolute path of a file.

    Raises:
        UserError: the file does not exist.
    """
    path = Path(name)
    if not path.is_file():
        raise UserError(f"{name}: there is no such file")
    return path.resolve()


def factory(name: str) -> Factory:
    """Find what makes a network.

    Args:
        name: see the head of this module.

    Raises:
        UserError: there is no such file, module or library, or the name is of no form.
    """
    base, arguments = split(name)
    peer = _PEER.fullmatch(base)
    if peer is not None:
        return _of_library(peer["library"], peer["network"], arguments)
    found = _NAME.fullmatch(base)
    if found is None:
        raise UserError(f"{name!r} is neither FILE.py:NAME nor package.module:NAME")
    place, attribute = found["place"], found["factory"]
    if place.endswith(".py"):
        path = Path(place)
        if not path.is_file():
            raise UserError(f"{base}: there is no file {place}")
        return Factory("file", usercode.at(path), attribute, f"{shown(path)}:{attribute}", arguments, {})
    short = next((short for short, module in SHORT.items() if module == place), place)
    module = usercode.named(SHORT.get(place, place))
    if module is None:
        missing = f"there is no module {SHORT.get(place, place)} installed or in the working directory"
        raise UserError(f"{base}: {missing}; for a file write FILE.py:{attribute}")
    kind: Kind = "torchvision" if short == "torchvision" else "module"
    return Factory(kind, module, attribute, f"{short}:{attribute}", arguments, {})


def shown(path: Path) -> str:
    """Return the name of a file, in characters that results may hold."""
    return _UNNAMABLE.sub("_", path.name)[-60:]


def _of_library(library: Any, network: str, arguments: Mapping[str, Any]) -> Factory:
    peer = PEERS[library]
    if peer.module not in sys.modules and find_spec(peer.module) is None:
        raise UserError(f'{library}:{network} needs {peer.module}: pip install "segbench[{peer.extra}]"')
    form = {"smp": r"(?P<architecture>[A-Za-z]\w*)(?:[/+](?P<encoder>[\w.-]+))?", "hf": r"(?P<model_type>[\w-]+)"}
    form["timm"] = rf"(?P<backbone>[\w.-]+)\+(?P<head>{'|'.join(HEADS)})"
    found = re.fullmatch(form[library], network, re.ASCII)
    if found is None:
        raise UserError(f"{library}:{network}: the form is {peer.form}")
    fixed = {name: value for name, value in found.groupdict().items() if value is not None}
    if fixed.keys() & arguments.keys():
        raise UserError(f"{library}:{network}: {', '.join(fixed.keys() & arguments.keys())} is in the name already")
    defines = None
    if library == "hf":  # a folder of each model type, as the whole library has thousands of files
        defines = usercode.named(f"{peer.module}.models.{network.replace('-', '_')}")
    defines = defines or usercode.named(peer.module)
    name = "/".join(fixed.values()) if library == "smp" else network
    return Factory(library, ADAPTERS, library, f"{library}:{name}", arguments, fixed, defines)
