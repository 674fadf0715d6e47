"""The arrays of a result: confusion matrices, their sums over images, and stored predictions."""

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
"""Name of the artifact that contains the arrays of a run."""

TOTAL = "_total"
"""Suffix of the sum of confusion matrices over images, from which scores are computed without the single images."""

BLOCK = 1 << 24
"""Bytes of confusion matrices that are in memory during summation."""

FORMS = {
    "predictions": ("uint8", 3),
    "prediction_names": ("U", 1),
    "images": ("uint8", 4),
    "labels": ("uint8", 3),
    "names": ("U", 1),
    "classes": ("U", 1),
    "palette": ("uint8", 2),
}
"""Kind of dtype and number of dimensions of arrays by name; names of a split are texts, all others are matrices."""

Arrays = dict[str, NDArray[Any]]

T = TypeVar("T")


def read_arrays(stored: Stored, *names: str) -> Arrays | Problem:
    """Return the arrays of a result: all, or those of some names.

    Names are those of the confusion matrices and their sums, `names_<split>`, `predictions` and `prediction_names`.
    """
    path = stored.path.with_suffix(".npz")
    found = unpack_arrays(path, *names)
    return found if isinstance(found, Problem) else shape_mismatch(path, found) or found


def read_totals(stored: Stored) -> dict[str, NDArray[np.int64]] | Problem:
    """Return the confusion matrix of each evaluation by name, summed over all images: shape (K + 1, K + 1).

    If an old file has no sums, its matrices are summed in chunks, since those of thousands of images with 150 classes
    do not fit in memory.
    """
    names = [evaluation.counts for evaluation in stored.record.evaluations]
    if not names:
        return {}
    return _unpack(stored.path.with_suffix(".npz"), lambda file: {name: _total(file, name) for name in names})


def unpack_arrays(path: Path, *names: str) -> Arrays | Problem:
    """Return the arrays in an `.npz` file: all, or those of some names."""

    def load(file: zipfile.ZipFile) -> Arrays:
        wanted = names or [name.removesuffix(".npy") for name in file.namelist()]
        return {name: _read_array(file, f"{name}.npy") for name in wanted}

    return _unpack(path, load)


def shape_mismatch(path: Path, arrays: Arrays) -> Problem | None:
    """Return the first array of a file whose dtype or shape does not match its name; None if all match."""
    for name, array in arrays.items():
        if why := _mismatch(name, array):
            return Problem(path, f"cannot be read: {printable(name)}: {why}")
    return None


def _mismatch(name: str, array: NDArray[Any]) -> str | None:
    kind, dimensions = FORMS.get(name, ("U", 1) if name.startswith("names_") else ("int64", 2 if TOTAL in name else 3))
    if array.dtype.kind != "U" if kind == "U" else array.dtype != kind:
        return f"has dtype {array.dtype}, not {'text' if kind == 'U' else kind}"
    if array.ndim != dimensions:
        return f"has {array.ndim} dimensions, not {dimensions}"
    if kind == "int64" and array.shape[-1] != array.shape[-2]:
        return f"has shape {list(array.shape)}, which is not square"
    if name in ("images", "palette") and array.shape[-1] != 3:
        return f"has shape {list(array.shape)}, which is not RGB"
    if kind == "U" and any(re.search(f"[{CONTROL}]", text) for text in array.tolist()):
        return "contains control characters"
    return None


def write_arrays(
    path: Path, arrays: Mapping[str, NDArray[Any]], on_written: Callable[[int, str], object] | None = None
) -> tuple[int, str]:
    """Write an `.npz` file whose bytes depend only on the arrays, and return its size and SHA-256.

    `numpy.savez_compressed` is not used because it pickles arrays of objects, which are refused on reading.

    Args:
        path: the file, which is replaced.
        arrays: its content.
        on_written: is called with size and SHA-256 before it replaces an earlier one.
    """
    with replacing(path) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as file:
            for name in sorted(arrays):
                entry = zipfile.ZipInfo(f"{name}.npy")  # dated 1980, not now
                entry.compress_type = zipfile.ZIP_DEFLATED
                with file.open(entry, "w", force_zip64=True) as stream:
                    np.lib.format.write_array(stream, np.asarray(arrays[name], order="C"), allow_pickle=False)
        size, sha256 = temporary.stat().st_size, file_sha256(temporary)
        if on_written:
            on_written(size, sha256)
    return size, sha256


def file_sha256(path: Path) -> str:
    """Compute the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _unpack(path: Path, function: Callable[[zipfile.ZipFile], T]) -> T | Problem:
    """Apply a function to an open `.npz` file."""
    try:
        if path.exists() and not path.is_file():
            return Problem(path, "is not a regular file")
        with zipfile.ZipFile(path) as file:
            return function(file)
    except FileNotFoundError:
        return Problem(path, "is missing")
    except Exception as error:  # damaged bytes raise any type in zipfile and NumPy, such as SyntaxError
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
        raise ValueError(f"{name} is not an integer array of confusion matrices")
    return np.frombuffer(data, dtype, offset=start).reshape(shape)


@lru_cache
def _layout(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, order and dtype of an `.npy` header; cached, because parsing it takes longer than reading a sum."""
    return _header(BytesIO(header))


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read shape, order and dtype of an `.npy` file from a stream, up to the start of the values."""
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("an array is not in version 1.0 of the .npy format")
    found: tuple[tuple[int, ...], bool, np.dtype[Any]] = np.lib.format.read_array_header_1_0(stream)
    return found


def _sum(file: zipfile.ZipFile, name: str) -> NDArray[np.int64]:
    with file.open(name) as stream:
        shape, by_column, dtype = _header(stream)
        if len(shape) != 3 or shape[1] != shape[2] or by_column or dtype != np.int64:
            raise ValueError(f"{name} is not an integer array of confusion matrices")
        image = 8 * shape[1] * shape[2]
        total = np.zeros(shape[1:], dtype=np.int64)
        while block := stream.read(max(BLOCK // image, 1) * image):
            total += np.frombuffer(block, dtype).reshape(-1, *shape[1:]).sum(axis=0)
    return total
