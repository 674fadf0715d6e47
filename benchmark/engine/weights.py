"""Weights in files: written so that equal weights give equal bytes, read so that a file can never run code."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmark.atomic import replacing
from benchmark.errors import UserError


def save(model: nn.Module, path: Path) -> None:
    """Write the weights of a model, atomically.

    The file is `{"state_dict": ...}` on the CPU, as mmengine loads it. It holds no dates and no paths, so that two
    trainings that end in the same weights leave files of the same SHA-256.
    """
    module = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
    buffer = io.BytesIO()
    torch.save({"state_dict": {name: value.detach().cpu() for name, value in module.state_dict().items()}}, buffer)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def read(path: Path) -> dict[str, Tensor]:
    """The state dict in a checkpoint file.

    Only tensors and plain containers are unpickled (`weights_only=True`): a checkpoint from anywhere is safe to read.

    Raises:
        UserError: no such file, a truncated file, one that holds something else, or one whose pickle would run code.
    """
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).partition("\n")[0]
        if "Unsupported global" in str(error) or "Unsupported class" in str(error):
            name = next((word for word in str(error).split() if word.count(".") >= 1), "an object")
            raise UserError(f"refused to load {path}: its pickle asks for {name}, which is not data") from error
        raise UserError(f"{path} is not a checkpoint of weights: {reason}") from error
    except (RuntimeError, EOFError, ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is truncated or not a checkpoint: {str(error).partition(chr(10))[0]}") from error
    if isinstance(content, Mapping):
        content = content.get("state_dict", content)
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise UserError(f"{path} holds no state dict: expected tensors by name, or those under 'state_dict'")
    return {name.removeprefix("module."): value for name, value in content.items()}


def load(model: nn.Module, path: Path) -> None:
    """Load a checkpoint into a model, every key of it.

    Raises:
        UserError: as `read`, or the checkpoint is of another network.
    """
    found, wanted = read(path), model.state_dict()
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
