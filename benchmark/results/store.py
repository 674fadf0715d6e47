"""Where results are kept: `<root>/<protocol>/<architecture>/<run_id>.json`, the counts beside it as `.npz`.

Reading never stops at a damaged file: it comes back as a `Problem` that names it, and the others as they are.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmark.atomic import replacing
from benchmark.errors import UserError
from benchmark.results.reading import Problem, Stored, read
from benchmark.results.record import Artifact, Record
from benchmark.results.snapshot import Snapshot

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

COUNTS = "counts"
"""Name of the artifact that holds the arrays of a run."""

TOTAL = "_total"
"""After the name of counts: the same of all images together, so that not all have to be read to tell the scores."""

BLOCK = 1 << 24
"""Bytes of counts that are in memory while they are added up."""

Arrays = dict[str, NDArray[Any]]

T = TypeVar("T")


@dataclass(frozen=True)
class Samples:
    """The test images whose predictions every run of a protocol keeps.

    Attributes:
        images: RGB, uint8 of shape (n, height, width, 3).
        labels: ground truth, uint8 of shape (n, height, width), 255 where there is none.
        names: names of the images, shape (n,).
        classes: names of the K classes, shape (K,).
        palette: RGB colour of each class, uint8 of shape (K, 3).
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    names: NDArray[np.str_]
    classes: NDArray[np.str_]
    palette: NDArray[np.uint8]


class Store:
    """The results under one folder. Any number of processes may add to it at the same time."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, record: Record) -> Path:
        """Where the result is, or would be."""
        return self.root / record.protocol.name / folder(record.architecture) / f"{record.run_id}.json"

    def add(self, record: Record, arrays: Mapping[str, NDArray[Any]]) -> Path:
        """Keep a result, in place of an earlier one of the same run.

        Args:
            record: the result; the artifact of the counts is added to it.
            arrays: the counts that its evaluations name, and what else belongs to the run; may be empty.

        Returns:
            The JSON file.

        Raises:
            UserError: the folder is not writable.
        """
        path = self.path(record)
        counts = path.with_suffix(".npz")
        artifacts = [artifact for artifact in record.artifacts if artifact.name != COUNTS]
        with _alone_in(path.parent):
            if arrays:
                named = {each.counts for each in record.evaluations} & arrays.keys()
                totals = {f"{name}{TOTAL}": arrays[name].sum(axis=0) for name in named}
                size, sha256 = _write_arrays(counts, {**arrays, **totals})
                artifacts.insert(0, Artifact(name=COUNTS, file=counts.name, bytes=size, sha256=sha256))
            record = record.model_copy(update={"artifacts": artifacts})
            with replacing(path) as temporary:
                temporary.write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
            if not arrays:
                counts.unlink(missing_ok=True)
        return path

    def find(self, run_id: str) -> Stored | Problem | None:
        """The result of that run, or None."""
        path = next(self.root.glob(f"*/*/{run_id}.json"), None)
        return None if path is None else read(path)

    def scan(self, protocol: str | None = None) -> tuple[list[Stored], list[Problem]]:
        """Every result of a protocol, or of all, sorted by path; and every file that is not one."""
        return Snapshot(self.root).results(protocol)

    def add_samples(self, protocol: str, digest: str, samples: Samples) -> None:
        """Keep the images whose predictions are kept, unless they are there already.

        Args:
            protocol: name of the protocol.
            digest: SHA-256 of its dataset.
            samples: the images.

        Raises:
            UserError: the folder is not writable.
        """
        path = self._samples(protocol, digest)
        if not path.exists():
            _write_arrays(path, asdict(samples))

    def samples(self, protocol: str, digest: str) -> Samples | Problem | None:
        """The sample images of a protocol and a dataset, or None."""
        path = self._samples(protocol, digest)
        if not path.exists():
            return None
        arrays = _read_arrays(path)
        if isinstance(arrays, Problem):
            return arrays
        missing = [field.name for field in fields(Samples) if field.name not in arrays]
        return Problem(path, f"lacks {', '.join(missing)}") if missing else Samples(**arrays)

    def _samples(self, protocol: str, digest: str) -> Path:
        return self.root / protocol / f"samples-{digest[:12]}.npz"


def folder(architecture: str) -> str:
    """The folder of an architecture: its name, without the colon of `mmseg:NAME`, which some file systems refuse."""
    return architecture.replace(":", "+")


def read_arrays(stored: Stored, *names: str) -> Arrays | Problem:
    """The arrays beside a result, or those of some names.

    Its counts and their totals, `names_<split>`, `predictions` and `prediction_names`.
    """
    return _read_arrays(stored.path.with_suffix(".npz"), *names)


def read_totals(stored: Stored) -> dict[str, NDArray[np.int64]] | Problem:
    """The counts of each evaluation by their name, of all images together: shape (K + 1, K + 1).

    Files of before there were totals are added up while they are read, since the counts of thousands of images of 150
    classes fill the memory.
    """
    names = [evaluation.counts for evaluation in stored.record.evaluations]
    if not names:
        return {}
    return _unpack(stored.path.with_suffix(".npz"), lambda file: {name: _total(file, name) for name in names})


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _read_arrays(path: Path, *names: str) -> Arrays | Problem:
    def take(file: zipfile.ZipFile) -> Arrays:
        wanted = names or [name.removesuffix(".npy") for name in file.namelist()]
        return {name: _read_array(file, f"{name}.npy") for name in wanted}

    return _unpack(path, take)


def _unpack(path: Path, take: Callable[[zipfile.ZipFile], T]) -> T | Problem:
    """What is taken out of an `.npz` file."""
    try:
        with zipfile.ZipFile(path) as file:
            return take(file)
    except FileNotFoundError:
        return Problem(path, "is missing")
    except (OSError, ValueError, LookupError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        return Problem(path, f"cannot be read: {' '.join(str(error).split()) or type(error).__name__}")


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
    stream = BytesIO(header)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("an array is not of version 1.0 of its format")
    found: tuple[tuple[int, ...], bool, np.dtype[Any]] = np.lib.format.read_array_header_1_0(stream)
    return found


def _sum(file: zipfile.ZipFile, name: str) -> NDArray[np.int64]:
    with file.open(name) as stream:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError(f"{name} is not of version 1.0 of its format")
        shape, by_column, dtype = np.lib.format.read_array_header_1_0(stream)
        if len(shape) != 3 or shape[1] != shape[2] or by_column or dtype != np.int64:
            raise ValueError(f"{name} holds no counts")
        image = 8 * shape[1] * shape[2]
        total = np.zeros(shape[1:], dtype=np.int64)
        while block := stream.read(max(BLOCK // image, 1) * image):
            total += np.frombuffer(block, dtype).reshape(-1, *shape[1:]).sum(axis=0)
    return total


def _write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> tuple[int, str]:
    """Write an `.npz` file whose bytes depend on the arrays alone; returns its size and SHA-256.

    Not through `numpy.savez_compressed`: it would pickle an array of objects, which no reader of ours accepts.
    """
    with replacing(path) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as file:
            for name in sorted(arrays):
                entry = zipfile.ZipInfo(f"{name}.npy")  # dated 1980, not now
                entry.compress_type = zipfile.ZIP_DEFLATED
                with file.open(entry, "w", force_zip64=True) as stream:
                    np.lib.format.write_array(stream, np.asarray(arrays[name]), allow_pickle=False)
        return temporary.stat().st_size, file_sha256(temporary)


@contextmanager
def _alone_in(path: Path) -> Iterator[None]:
    """Keep other writers out of a folder, so that the two files of a run come from one of them.

    Where the file system has no locks (some network file systems) or the platform none of this kind, two writers of the
    very same run may mix their files; `segbench validate` then says so.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDONLY) if fcntl else None
    except OSError as error:
        raise UserError(f"cannot write to {path}: {error.strerror or error}") from error
    try:
        if handle is not None:
            with suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        if handle is not None:
            os.close(handle)
