"""Read checkpoints of PyTorch before 0.1.11: tar files that torch itself reads only by executing their pickles.

The archive has three members: `storages` (pickled keys and types, each followed by its numbers), `tensors` (the same,
each followed by dimensions, sizes, strides and offset) and `pickle`, the object that was saved, which names tensors by
their keys. Nothing but plain containers, numbers and the names of torch's types is unpickled.
"""

from __future__ import annotations

import pickle
import struct
import tarfile
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

DTYPES = {
    "Float": torch.float32,
    "Double": torch.float64,
    "Half": torch.float16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
}
"""Data types by the first part of the name of a storage class."""


def is_legacy(path: Path) -> bool:
    """Return whether a file is a legacy checkpoint."""
    return tarfile.is_tarfile(path)


def load(path: Path) -> Any:
    """Load the saved object, with its tensors on the CPU.

    Raises:
        pickle.UnpicklingError: its pickle contains something else than data.
        ValueError: it is another tar file, or a damaged one.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            storages, tensors, content = (archive.extractfile(name) for name in ("storages", "tensors", "pickle"))
            if storages is None or tensors is None or content is None:
                raise ValueError("a tar file, but not a checkpoint")
            known = _read_tensors(tensors, _read_storages(storages))
            unpickler = _Unpickler(content)
            unpickler.known = known
            return unpickler.load()
    except (KeyError, tarfile.TarError, struct.error, EOFError) as error:
        raise ValueError(f"a tar file, but not a checkpoint: {error}") from error


class _Unpickler(pickle.Unpickler):
    """Unpickler of plain containers, and of tensors by their keys."""

    known: dict[str, Tensor]

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        kind, found, _ = name.partition("Storage")
        if module in ("torch", "torch.cuda") and found and kind in DTYPES:
            return DTYPES[kind]
        if module in ("torch", "torch.cuda") and name.removesuffix("Tensor") in DTYPES:
            return DTYPES[name.removesuffix("Tensor")]
        raise pickle.UnpicklingError(f"Unsupported global: {module}.{name}")

    def persistent_load(self, key: Any) -> Tensor:
        return self.known[str(key)]


def _read_storages(file: IO[bytes]) -> dict[str, Tensor]:
    """Read the storages by key, each as a tensor of one dimension."""
    found: dict[str, Tensor] = {}
    for _ in range(_Unpickler(file).load()):
        key, _, dtype = _Unpickler(file).load()
        (count,) = struct.unpack("<q", file.read(8))
        data = bytearray(_exactly(file, count * dtype.itemsize))
        found[str(key)] = torch.frombuffer(data, dtype=dtype) if count else torch.empty(0, dtype=dtype)
    for key, root, offset, count in _Unpickler(file).load():
        found[str(key)] = found[str(root)][offset : offset + count]
    return found


def _read_tensors(file: IO[bytes], storages: dict[str, Tensor]) -> dict[str, Tensor]:
    """Read the tensors by key, storages among them, since an object may refer to either."""
    found = dict(storages)
    for _ in range(_Unpickler(file).load()):
        key, storage, _ = _Unpickler(file).load()
        (dimensions,) = struct.unpack("<i4x", file.read(8))  # written as eight bytes, of which four are uninitialized
        *layout, offset = struct.unpack(f"<{2 * dimensions + 1}q", _exactly(file, 8 * (2 * dimensions + 1)))
        size, stride = layout[:dimensions], layout[dimensions:]
        last = offset + sum((extent - 1) * step for extent, step in zip(size, stride, strict=True))
        if min((*layout, offset), default=0) < 0 or last >= len(storages[str(storage)]):
            raise ValueError("a tensor outside its storage")
        found[str(key)] = storages[str(storage)].as_strided(size, stride, offset).clone()
    return found


def _exactly(file: IO[bytes], count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise EOFError("it ends too early")
    return data
