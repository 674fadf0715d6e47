"""Weights in files: written so that equal weights give equal bytes, read so that a file can never run code."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.atomic import replacing
from benchmark.engine import tarball
from benchmark.errors import UserError

KEYS = ("state_dict", "model_state_dict", "model", "net")
"""Where checkpoints keep the weights, beside what else they hold of a training."""


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds of a network.

    Attributes:
        state: tensors by name.
        meta: what `segbench import` wrote beside them; empty in any other file.
    """

    state: dict[str, Tensor]
    meta: dict[str, Any]


def save(model: nn.Module, path: Path) -> None:
    """Write the weights of a model, atomically.

    The file is `{"state_dict": ...}` on the CPU, as mmengine loads it. It holds no dates and no paths, so that two
    trainings that end in the same weights leave files of the same SHA-256.
    """
    write(_bare(model).state_dict(), path)


def start_from(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Set some of a model's weights, each of which has its place there; the others stay.

    Raises:
        RuntimeError: the model has no weight of a name, or one of another shape.
    """
    surplus = _bare(model).load_state_dict(state, strict=False).unexpected_keys
    if surplus:
        raise RuntimeError(f"the network has no {surplus[0]} to start from")


def _bare(model: nn.Module) -> nn.Module:
    return model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model


def write(state: Mapping[str, Tensor], path: Path, meta: Mapping[str, Any] | None = None) -> None:
    """Write weights by name, atomically.

    Args:
        state: tensors by name.
        path: of the file.
        meta: plain data that goes with them under "segbench".
    """
    content: dict[str, Any] = {"state_dict": {name: value.detach().cpu() for name, value in state.items()}}
    if meta is not None:
        content["segbench"] = dict(meta)
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def read(path: Path) -> Checkpoint:
    """The weights in a checkpoint file, of any version of PyTorch.

    Only tensors and plain containers are unpickled (`weights_only=True`): a checkpoint from anywhere is safe to read.

    Raises:
        UserError: no such file, a truncated file, one that holds something else, or one whose pickle would run code.
    """
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}")
    try:
        if tarball.is_tarball(path):
            content = tarball.load(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).partition("\n")[0]
        if "Unsupported global" in str(error) or "Unsupported class" in str(error):
            name = next((word for word in str(error).split() if word.count(".") >= 1), "an object")
            raise UserError(f"refused to load {path}: its pickle asks for {name}, which is not data") from error
        if "weights_only" in reason:  # torch's advice to load it unsafely
            reason = "it is damaged, or holds something else than tensors"
        raise UserError(f"{path} is not a checkpoint of weights: {reason}") from error
    except UserError:
        raise
    except Exception as error:  # whatever unpickling damaged bytes raises
        raise UserError(f"{path} is truncated or not a checkpoint: {str(error).partition(chr(10))[0]}") from error
    meta: dict[str, Any] = {}
    if isinstance(content, Mapping):
        found = content.get("segbench", {})
        meta = dict(found) if isinstance(found, Mapping) else {}
        content = next((content[key] for key in KEYS if isinstance(content.get(key), Mapping)), content)
    if not isinstance(content, Mapping) or not content or not _is_state(content):
        raise UserError(f"{path} holds no state dict: expected tensors by name, or those under 'state_dict'")
    return Checkpoint({name.removeprefix("module."): value for name, value in content.items()}, meta)


def _is_state(content: Mapping[Any, Any]) -> bool:
    return all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items())


def load(model: nn.Module, path: Path) -> None:
    """Load a checkpoint into a model, every key of it.

    Raises:
        UserError: as `read`, or the checkpoint is of another network.
    """
    found, wanted = read(path).state, model.state_dict()
    missing = [name for name in wanted if name not in found]
    surplus = [name for name in found if name not in wanted]
    misfit = [name for name in wanted if name in found and wanted[name].shape != found[name].shape]
    if missing or surplus or misfit:
        complaints = [
            f"{len(names)} {what} (first: {names[0]})"
            for names, what in ((missing, "missing"), (surplus, "surplus"), (misfit, "of another shape"))
            if names
        ]
        raise UserError(f"{path} is not a checkpoint of this network: {', '.join(complaints)}")
    model.load_state_dict(found)
