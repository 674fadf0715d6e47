"""The arrays beside a result: confusion counts, their totals, and the predictions that are kept."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Callable, Mapping
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmark.files.atomic import replacing
from benchmark.results.reading import Problem, Stored
from benchmark.results.record import CONTROL, printable

COUNTS = "counts"
"""Name of the artifact that holds the arrays of a run."""

TOTAL = "_total"
"""Suffix of the sum of counts over all images, from which scores are computed without reading those of each."""

BLOCK = 1 << 24
"""Bytes of counts that are in memory while they are added up."""

FORMS = {
    "predictions": ("uint8", 3),
    "prediction_names": ("U", 1),
    "images": ("uint8", 4),
    "labels": ("uint8", 3),
    "names": ("U", 1),
    "classes": ("U", 1),
    "palette": ("uint8", 2),
}
"""Type and dimensions of arrays by name; names of a split are texts, all others are counts."""

Arrays = dict[str, NDArray[Any]]

T = TypeVar("T")


def read_arrays(stored: Stored, *names: str) -> Arrays | Problem:
    """Return the arrays beside a result, or those of some names.

    Its counts and their totals, `names_<split>`, `predictions` and `prediction_names`.
    """
    path = stored.path.with_suffix(".npz")
    found = unpack_arrays(path, *names)
    return found if isinstance(found, Problem) else misfit(path, found) or found


def read_totals(stored: Stored) -> dict[str, NDArray[np.int64]] | Problem:
    """Return the counts of each evaluation by their name, of all images together: shape (K + 1, K + 1).

    Files of before there were totals are added up while they are read, since the counts of thousands of images of 150
    classes fill the memory.
    """
    names = [evaluation.counts for evaluation in stored.record.evaluations]
    if not names:
        return {}
    return _unpack(stored.path.with_suffix(".npz"), lambda file: {name: _total(file, name) for name in names})


def unpack_arrays(path: Path, *names: str) -> Arrays | Problem:
    """Return the arrays in an `.npz` file, or those of some names."""

    def take(file: zipfile.ZipFile) -> Arrays:
        wanted = names or [name.removesuffix(".npy") for name in file.namelist()]
        return {name: _read_array(file, f"{name}.npy") for name in wanted}

    return _unpack(path, take)


def misfit(path: Path, arrays: Arrays) -> Problem | None:
    """Return the first array of a file whose type or shape is not the one that its name says; None if all fit."""
    for name, array in arrays.items():
        if why := _misfit(name, array):
            return Problem(path, f"cannot be read: {printable(name)}: {why}")
    return None


def _misfit(name: str, array: NDArray[Any]) -> str | None:
    kind, dimensions = FORMS.get(name, ("U", 1) if name.startswith("names_") else ("int64", 2 if TOTAL in name else 3))
    what = "counts are" if kind == "int64" else "is"
    if array.dtype.kind != "U" if kind == "U" else array.dtype != kind:
        return f"{what} {array.dtype}{list(array.shape)}, not {'text' if kind == 'U' else kind}"
    if array.ndim != dimensions:
        return f"{what} of {array.ndim} dimensions, not {dimensions}"
    if kind == "int64" and array.shape[-1] != array.shape[-2]:
        return f"{what} of shape {list(array.shape)}"
    if name in ("images", "palette") and array.shape[-1] != 3:
        return f"{what} not of RGB: {list(array.shape)}"
    if kind == "U" and any(re.search(f"[{CONTROL}]", text) for text in array.tolist()):
        return "holds control characters"
    return None


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> tuple[int, str]:
    """Write an `.npz` file whose bytes depend on the arrays alone; returns its size and SHA-256.

    Not through `numpy.savez_compressed`: it would pickle an array of objects, which no reader of ours accepts.
    """
    with replacing(path) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as file:
            for name in sorted(arrays):
                entry = zipfile.ZipInfo(f"{name}.npy")  # dated 1980, not now
                entry.compress_type = zipfile.ZIP_DEFLATED
                with file.open(entry, "w", force_zip64=True) as stream:
                    np.lib.format.write_array(stream, np.asarray(arrays[name], order="C"), allow_pickle=False)
        return temporary.stat().st_size, file_sha256(temporary)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _unpack(path: Path, take: Callable[[zipfile.ZipFile], T]) -> T | Problem:
    """Return what is taken out of an `.npz` file."""
    try:
        if path.exists() and not path.is_file():
            return Problem(path, "is no regular file")
        with zipfile.ZipFile(path) as file:
            return take(file)
    except FileNotFoundError:
        return Problem(path, "is missing")
    except Exception as error:  # whatever zipfile and NumPy raise of damaged bytes, SyntaxError and TokenError among it
        return Problem(path, f"cannot be read: {printable(' '.join(str(error).split())) or type(error).__name__}")


def _read_array(file: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with file.open(name) as stream:
        return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))


def _total(file: zipfile.ZipFile, counts: str) -> NDArray[np.int64]:
    name = f"{counts}{TOTAL}.npy"
    if name not in file.namelist():
        return _sum(file, f"{counts}.npy")
    data = file.read(name)
    start = 10 + int.from_bytes(data[8:10], "little")
    shape, by_column, dtype = _layout(data[:start])
    if len(shape) != 2 or shape[0] != shape[1] or by_column or dtype != np.int64:
        raise ValueError(f"{name} holds no counts")
    return np.frombuffer(data, dtype, offset=start).reshape(shape)


@lru_cache
def _layout(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type of an `.npy` file: totals begin alike, and to parse that takes longer than to read them."""
    return _header(BytesIO(header))


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type of the `.npy` file in a stream, which stands at the values then."""
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("an array is not of version 1.0 of its format")
    found: tuple[tuple[int, ...], bool, np.dtype[Any]] = np.lib.format.read_array_header_1_0(stream)
    return found


def _sum(file: zipfile.ZipFile, name: str) -> NDArray[np.int64]:
    with file.open(name) as stream:
        shape, by_column, dtype = _header(stream)
        if len(shape) != 3 or shape[1] != shape[2] or by_column or dtype != np.int64:
            raise ValueError(f"{name} holds no counts")
        image = 8 * shape[1] * shape[2]
        total = np.zeros(shape[1:], dtype=np.int64)
        while block := stream.read(max(BLOCK // image, 1) * image):
            total += np.frombuffer(block, dtype).reshape(-1, *shape[1:]).sum(axis=0)
    return total
