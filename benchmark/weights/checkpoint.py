"""Read and write weights: equal weights give equal bytes, and reading a file never executes code."""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.errors import UserError, one_line
from benchmark.files.atomic import replacing
from benchmark.weights import legacy_format

KEYS = ("state_dict", "model_state_dict", "model", "net")
"""Keys of the weights in a checkpoint, in order of preference."""

WRAPPERS = {"module.": 0.0, "_orig_mod.": 0.0, "model.": 0.5}
"""Prefixes that DistributedDataParallel, `torch.compile` and trainers add, and the minimum share of names with them.

A trainer may store modules of its own, such as a criterion, with the network.
"""

AVERAGED = "ema"
"""Prefix of the moving average that mmcv's EMAHook stores with the weights: `ema_conv_weight` of `conv.weight`."""

SIGNATURES = {
    rb"version https://git-lfs": "is a Git LFS pointer instead of the file: run `git lfs pull`",
    rb"\s*<(!doctype|html|head|body|\?xml)": "is a web page, not a checkpoint: download the file itself",
}
"""Errors for files that begin with these bytes and are no checkpoints."""

SAFETENSORS = re.compile(rb".{8}\{\s*\"", re.DOTALL)
"""Beginning of a safetensors file: the length of a JSON object in eight bytes, and the object."""


@dataclass(frozen=True)
class Checkpoint:
    """Contents of a checkpoint file.

    Attributes:
        state: tensors by name.
        meta: metadata that `segbench import` has written; empty in any other file.
        key: key of the tensors in the file; empty at its top level.
        others: keys of other weights of the same network in the file.
        ordered: whether the tensors are in the order of the network; safetensors files sort them by type and name.
    """

    state: dict[str, Tensor]
    meta: dict[str, Any]
    key: str = ""
    others: tuple[str, ...] = ()
    ordered: bool = True

    @property
    def choice(self) -> str | None:
        """Description of the choice among several sets of weights, in one line; None where there is one."""
        if not self.others:
            return None
        taken = f"those under {self.key!r}" if self.key else "those without a key"
        return f"several sets of weights: took {taken}; --weights-key takes {' or '.join(self.others)}"


def save(model: nn.Module, path: Path, meta: Mapping[str, Any] | None = None) -> None:
    """Write the weights of a model, atomically, with metadata where there is any.

    The file is `{"state_dict": ...}` on the CPU, as mmengine loads it. It contains no dates and no paths, so that equal
    weights give files of the same SHA-256.
    """
    write(_bare(model).state_dict(), path, meta)


def start_from(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Set some of a model's weights, all of which it must have; the others keep their values.

    Raises:
        RuntimeError: the model has no weight of a name, or one of another shape.
    """
    unexpected = _bare(model).load_state_dict(state, strict=False).unexpected_keys
    if unexpected:
        raise RuntimeError(f"the network has no {unexpected[0]} to start from")


def _bare(model: nn.Module) -> nn.Module:
    return model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model


def write(state: Mapping[str, Tensor], path: Path, meta: Mapping[str, Any] | None = None) -> None:
    """Write weights by name, atomically.

    Args:
        state: tensors by name.
        path: path of the file.
        meta: metadata, stored as plain data under "segbench".
    """
    content: dict[str, Any] = {"state_dict": {name: value.detach().cpu() for name, value in state.items()}}
    if meta is not None:
        content["segbench"] = dict(meta)
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def read(path: Path, key: str | None = None) -> Checkpoint:
    """Read the weights in a checkpoint file, of any version of PyTorch, or in a safetensors file.

    Only tensors and plain containers are unpickled (`weights_only=True`): a checkpoint from anywhere is safe to read.

    Args:
        path: path of the file.
        key: key of the weights in the file, such as "state_dict_ema"; by default the first of `KEYS`.

    Raises:
        UserError: no such file, a truncated file, one that holds something else, one whose pickle would run code, no
            weights under that key, or a weight that is not finite.
    """
    found = _read(path, key)
    for name, value in found.state.items():
        if value.is_meta:
            raise UserError(f"{path}: {name} has no values")
        if value.is_floating_point() and not value.isfinite().all():
            raise UserError(f"{path}: {name} has values that are not finite")
    return found


def load(model: nn.Module, path: Path) -> None:
    """Load a checkpoint into a model, every key of it.

    Raises:
        UserError: as `read` of the file, or the checkpoint is of another network.
    """
    found, wanted = _read(path).state, model.state_dict()
    missing = [name for name in wanted if name not in found]
    unexpected = [name for name in found if name not in wanted]
    mismatched = [name for name in wanted if name in found and wanted[name].shape != found[name].shape]
    if missing or unexpected or mismatched:
        complaints = [
            f"{len(names)} {what} (first: {names[0]})"
            for names, what in ((missing, "missing"), (unexpected, "unexpected"), (mismatched, "of another shape"))
            if names
        ]
        raise UserError(f"{path} is not a checkpoint of this network: {', '.join(complaints)}")
    model.load_state_dict(found)


def _read(path: Path, key: str | None = None) -> Checkpoint:
    content = _load(path)
    meta = content.get("segbench") if isinstance(content, Mapping) else None
    found = _sets(content)
    if not found:
        raise UserError(f"{path} holds no state dict: expected tensors by name, or those under 'state_dict'")
    if key is None:
        key = next((each for each in (*KEYS, "") if each in found), None)
    if key is None:
        averaged = [each for each in found if AVERAGED in each]
        candidates = averaged or list(found)
        if len(candidates) > 1:
            raise UserError(f"{path} has several sets of weights: --weights-key takes {' or '.join(candidates)}")
        key = candidates[0]
    if key not in found:
        raise UserError(f"{path} has no weights under {key!r}: it has {', '.join(map(repr, filter(None, found)))}")
    state = found[key]
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise UserError(f"{path}: {name} is a {type(value).__name__} among tensors")
    others = [each for each, other in found.items() if each != key and len(other.keys() & state) > len(state) / 2]
    facts = dict(meta) if isinstance(meta, Mapping) else {}
    return Checkpoint(state, facts, key, tuple(filter(None, others)), ordered=not _is_safetensors(path))


def _load(path: Path) -> Any:
    """Unpickle a file safely; raise a `UserError` of one line where that fails."""
    try:
        if not path.is_file():
            raise UserError(f"no checkpoint at {path}")
        if legacy_format.is_legacy(path):
            return legacy_format.load(path)
        if _is_safetensors(path):
            return _load_safetensors(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except Exception as error:  # random bytes can raise any exception in an unpickler
        forbidden = re.search(r"(?:GLOBAL|[Gg]lobal:) (?!GLOBAL)([\w.]+)", str(error))
        if forbidden and isinstance(error, pickle.UnpicklingError):
            raise UserError(f"refused to load {path}: its pickle asks for {forbidden[1]}, which is not data") from error
        raise UserError(f"{path} {_reason(path, error)}") from error


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        return SAFETENSORS.match(file.read(64)) is not None


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        UserError: the package is not installed, or the file is damaged.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise UserError(
            f"{path} is a safetensors file: run `python -m pip install 'segbench[safetensors]'` to read it"
        ) from None
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except SafetensorError as error:
        raise UserError(f"{path} is a safetensors file that is damaged: {one_line(error)}") from error
    return tensors


def _reason(path: Path, error: Exception) -> str:
    """Return why a file could not be read, without torch's advice to load it unsafely."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read: {error.strerror}"
    start = b""
    if path.is_file():
        with path.open("rb") as file:
            start = file.read(512)
    if not start:
        return "is an empty file"
    for signature, what in SIGNATURES.items():
        if re.match(signature, start, re.IGNORECASE | re.DOTALL):
            return what
    if start.isascii() and start.decode().replace("\n", " ").replace("\r", " ").replace("\t", " ").isprintable():
        return "is a text file, not a checkpoint"
    if "TorchScript" in text:
        return "is a TorchScript archive: save the state dict of its module instead"
    found = re.search(r"WeightsUnpickler error: (.*)", text)
    detail = (found[1] if found else text.partition("\n")[0]).partition(" Please ")[0].strip()
    advice = re.search(r"weights_only|add_safe_globals|safe_globals|trust", detail)
    return "is truncated or not a checkpoint" + (f": {detail}" if detail and not advice else "")


def _sets(content: Any) -> dict[str, dict[str, Any]]:
    """Find the sets of weights in the content of a file, by their keys, without the prefixes of wrappers."""
    if not isinstance(content, Mapping):
        return {}
    places = {"": content} | {str(key): value for key, value in content.items() if isinstance(value, Mapping)}
    for outer, value in [*places.items()][1:]:
        places |= {f"{outer}.{inner}": each for inner, each in value.items() if isinstance(each, Mapping)}
    found: dict[str, dict[str, Any]] = {}
    for key, place in places.items():
        if not any(isinstance(value, Tensor) for value in place.values()):
            continue
        if key == "":  # a training stores other tensors there, which are no weights
            place = {name: value for name, value in place.items() if not isinstance(value, Mapping)}
        state, averaged = _split_average(_unwrapped(place))
        found[key] = state
        if averaged:
            found[AVERAGED] = averaged
    return found


def _unwrapped(place: Mapping[Any, Any]) -> dict[str, Any]:
    """Remove wrapper prefixes from names, and numbers and texts from the tensors."""
    state = {
        str(name).replace("._orig_mod.", "."): value
        for name, value in place.items()
        if not isinstance(value, int | float | str | None)
    }
    while prefix := next((each for each, whole in WRAPPERS.items() if _is_wrapped(state, each, whole)), None):
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _is_wrapped(state: Mapping[str, Any], prefix: str, share: float) -> bool:
    return sum(name.startswith(prefix) for name in state) > share * len(state)


def _split_average(state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split weights and the moving average that mmcv stores with them; weights without average are in both."""
    names = {f"{AVERAGED}_{name.replace('.', '_')}": name for name in state}
    averages = {name: state[average] for average, name in names.items() if average in state and average != name}
    if not averages:
        return state, {}
    plain = {name: value for name, value in state.items() if name not in names or name in averages}
    return plain, plain | averages
