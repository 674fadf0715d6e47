"""Cache the decoded pixels of a split on disk, so that a dataset is decoded once and not in every epoch.

Images and labels are stored in two memory-mapped arrays: processes share the page cache and have no copies. Channels
are stored one after the other (CHW), as networks expect them. A folder is named by the digest of its content and
written atomically.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from secrets import token_hex
from typing import IO, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets.digest import SplitHasher, known_digest, remember, stamp
from benchmark.datasets.prefetch import prefetch
from benchmark.datasets.source import DatasetSplit, StoredSplit
from benchmark.files.lock import turn
from benchmark.files.user_cache import user_cache


class CacheWarning(UserWarning):
    """A split is decoded in each epoch because its pixels could not be cached."""


class Pixels(Protocol):
    """Images and labels by index, read-only."""

    def __len__(self) -> int:
        """Return the number of images."""

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return the RGB image of shape (3, height, width)."""

    def label(self, index: int) -> NDArray[np.uint8]:
        """Return the class indices of shape (height, width); 255 is void."""


class Decoded:
    """Pixels of a split, decoded at each access.

    Args:
        source: the split.
    """

    def __init__(self, source: DatasetSplit) -> None:
        self._source = source

    @property
    def names(self) -> Sequence[str]:
        """The names of the images."""
        return self._source.names

    def __len__(self) -> int:
        return len(self._source)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return the RGB image of shape (3, height, width)."""
        return np.ascontiguousarray(self._source.image(index).transpose(2, 0, 1))

    def label(self, index: int) -> NDArray[np.uint8]:
        """Return the class indices of shape (height, width); 255 is void."""
        return self._source.label(index)


class Cache:
    """Memory-mapped pixels of a split.

    Args:
        folder: folder written by `cached`.
        images: expected number of images.

    Raises:
        OSError: the files are missing.
        ValueError: they are damaged.
    """

    def __init__(self, folder: Path, images: int) -> None:
        self._folder = folder
        self._images, self._labels = (_mapped(folder / name) for name in ("images.npy", "labels.npy"))
        size = self._labels.shape[1:]
        if self._labels.shape != (images, *size) or self._images.shape != (images, 3, *size):
            raise ValueError(f"{folder}: arrays of shape {self._images.shape} and {self._labels.shape}")

    def __reduce__(self) -> tuple[type[Cache], tuple[Path, int]]:
        return Cache, (self._folder, len(self))  # other processes map the files; pixels are not pickled

    def __len__(self) -> int:
        return len(self._images)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return the RGB image of shape (3, height, width), read-only."""
        image: NDArray[np.uint8] = self._images[index]
        return image

    def label(self, index: int) -> NDArray[np.uint8]:
        """Return the class indices of shape (height, width), read-only; 255 is void."""
        label: NDArray[np.uint8] = self._labels[index]
        return label


def cached(source: DatasetSplit) -> Pixels:
    """Return the pixels of a split from the user's cache, which is filled if necessary.

    A split without files, with images of several sizes, or too large for the disk is decoded at each access; the last
    case emits a `CacheWarning`.

    Raises:
        UserError: a file is missing or cannot be decoded.
    """
    decoded = Decoded(source)
    if not isinstance(source, StoredSplit):
        return decoded
    known, name = known_digest(source), stamp(source)
    try:
        if known and (found := _opened(_folder(source, known), len(source))):
            return found
        with turn(user_cache() / "locks" / name):  # others that need it wait, and read what this process has written
            known = known_digest(source)
            return (known and _opened(_folder(source, known), len(source))) or _built(source, known)
    except (OSError, RuntimeError) as error:  # full or read-only disk; missing home
        warnings.warn(f"decoded images are not cached, which slows training down: {error}", CacheWarning, stacklevel=2)
        return decoded


def _opened(folder: Path, images: int) -> Cache | None:
    try:
        return Cache(folder, images)
    except (OSError, ValueError):
        return None


def _folder(source: StoredSplit, digest: str) -> Path:
    """Return the folder of a split: a digest encodes void as the number of classes, so both identify labels."""
    return user_cache() / "pixels" / f"{digest}_{len(source.classes)}"


def _built(source: StoredSplit, digest: str | None) -> Pixels:
    """Fill the cache; without locks, concurrent processes use the folder of the first one to finish.

    Args:
        source: the split.
        digest: its digest; None to compute it from the same pixels, so that each image is decoded once.
    """
    pixels, hasher = Decoded(source), None if digest else SplitHasher(len(source.classes))
    temporary = user_cache() / "pixels" / f".{token_hex(8)}"
    try:
        temporary.mkdir(parents=True)
        if not _write(pixels, temporary, hasher):
            return pixels
        if hasher:
            digest = hasher.hexdigest()
            remember(source, digest)
        assert digest
        folder = _folder(source, digest)
        try:
            temporary.replace(folder)
        except OSError:  # the folder exists
            if winner := _opened(folder, len(pixels)):
                return winner
            shutil.rmtree(folder)  # the existing folder is damaged
            temporary.replace(folder)
        return Cache(folder, len(pixels))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(pixels: Decoded, folder: Path, hasher: SplitHasher | None) -> bool:
    """Write the arrays image by image, and hash them; return whether all images have one size.

    They are written as files, not through a memory map, which would kill the process on a full disk.
    """
    with (folder / "images.npy").open("wb") as images, (folder / "labels.npy").open("wb") as labels:
        pairs = prefetch(lambda index: (pixels.image(index), pixels.label(index)), len(pixels))
        for index, (image, label) in enumerate(pairs):
            if index == 0:
                size = image.shape
                _write_header(images, (len(pixels), *image.shape))
                _write_header(labels, (len(pixels), *label.shape))
            elif image.shape != size:
                return False
            if hasher:
                hasher.add(pixels.names[index], image.transpose(1, 2, 0), label)
            images.write(image.tobytes())
            labels.write(label.tobytes())
        for file in (images, labels):
            file.flush()
            os.fsync(file.fileno())
    return True


def _write_header(file: IO[bytes], shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"shape": shape, "fortran_order": False, "descr": "|u1"})


def _mapped(path: Path) -> NDArray[np.uint8]:
    array = np.lib.format.open_memmap(path, mode="r")
    if array.dtype != np.uint8:
        raise ValueError(f"{path}: {array.dtype}")
    return np.asarray(array)  # not as `memmap`, whose slicing is slow
