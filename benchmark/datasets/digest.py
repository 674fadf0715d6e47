"""Identify a dataset by its content: SHA-256 over decoded pixels and labels, independent of the file format.

Decoding a dataset takes seconds, so the digest of files on disk is cached in the user's cache folder until a file
changes. If it would take minutes, a split is identified by the names and sizes of its files instead.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.confusion import VOID
from benchmark.datasets.listing import missing
from benchmark.datasets.prefetch import prefetch
from benchmark.datasets.source import DatasetSplit, LargeSplit, Split, StoredSplit
from benchmark.errors import UserError
from benchmark.files.atomic import replacing
from benchmark.files.user_cache import user_cache

RULE = 2
"""Version of the rules of `benchmark.datasets.decoding`: cached digests of an earlier version are ignored."""


def digest(sources: Mapping[Split, DatasetSplit]) -> str:
    """Compute the SHA-256 of a dataset from the names of its classes and the digest of each of its splits.

    Raises:
        UserError: a file is missing or cannot be decoded.
    """
    classes = next(iter(sources.values())).classes
    return _digest(classes, {split: split_digest(source) for split, source in sources.items()})


def published_digest(dataset: type[DatasetSplit]) -> str:
    """Return the digest of a published dataset whose splits all have a known digest."""
    return _digest(dataset.classes, {split: identity.digest for split, identity in dataset.published.items()})


def split_digest(source: DatasetSplit) -> str:
    """Compute the SHA-256 of a split: name, RGB bytes and label bytes of every image, void as the number of classes.

    For a large dataset it is `listing_digest`.

    Raises:
        UserError: a file is missing or cannot be decoded.
    """
    if isinstance(source, LargeSplit | StoredSplit) and (known := known_digest(source)):
        return known
    hasher = SplitHasher(len(source.classes))
    pairs = prefetch(lambda index: (source.image(index), source.label(index)), len(source))
    for name, (image, label) in zip(source.names, pairs, strict=True):
        hasher.add(name, image, label)
    if isinstance(source, StoredSplit):
        remember(source, hasher.hexdigest())
    return hasher.hexdigest()


def known_digest(source: LargeSplit | StoredSplit) -> str | None:
    """Return the digest of a split if no image needs to be decoded for it.

    Raises:
        UserError: a file is missing.
    """
    if isinstance(source, LargeSplit):
        return listing_digest(source.names, source.image_files())
    return _recall(stamp(source))


def remember(source: StoredSplit, value: str) -> None:
    """Cache the digest of a split that was computed with a `SplitHasher`."""
    _store(stamp(source), value)


def listing_digest(names: Sequence[str], images: Sequence[Path]) -> str:
    """Compute the SHA-256 of the names of images, and of the sizes of their files in bytes, in order.

    It does not cover their content, because reading 20,000 files takes minutes. Labels are excluded: a script creates
    those of some datasets, and they compress differently on each machine.

    Raises:
        UserError: a file is missing.
    """
    sha256 = hashlib.sha256()
    for name, path in zip(names, images, strict=True):
        try:
            sha256.update(json.dumps([name, path.stat().st_size]).encode())
        except FileNotFoundError as error:
            raise missing(path) from error
    return sha256.hexdigest()


class SplitHasher:
    """Digest of a split, updated image by image, in the order of the split.

    Args:
        classes: number of classes.
    """

    def __init__(self, classes: int) -> None:
        self._sha256 = hashlib.sha256()
        self._values = np.arange(256, dtype=np.uint8)
        self._values[VOID] = classes

    def add(self, name: str, image: NDArray[np.uint8], label: NDArray[np.uint8]) -> None:
        """Add an image and its label."""
        self._sha256.update(name.encode())
        self._sha256.update(image.tobytes())
        self._sha256.update(self._values[label].tobytes())

    def hexdigest(self) -> str:
        """Return the digest of the images added so far."""
        return self._sha256.hexdigest()


def _digest(classes: Sequence[str], splits: Mapping[Split, str | None]) -> str:
    return hashlib.sha256(json.dumps([list(classes), splits], sort_keys=True).encode()).hexdigest()


def stamp(source: StoredSplit) -> str:
    """Return a stamp that changes with a file: its name, size, and the modification times of content and inode."""
    stamp = hashlib.sha256(f"{type(source).__name__} {RULE}".encode())
    for path in source.files():
        stat = path.stat()
        entry = (path.parent.name, path.name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        stamp.update(json.dumps(entry).encode())
    return stamp.hexdigest()


def _recall(stamp: str) -> str | None:
    try:
        known = (user_cache() / "digests" / stamp).read_text(encoding="ascii")
    except (OSError, RuntimeError, ValueError):  # missing cache, missing home directory, damaged file
        return None
    return known if re.fullmatch("[0-9a-f]{64}", known) else None


def _store(stamp: str, value: str) -> None:
    """Cache a digest, ignoring a cache that cannot be written."""
    with suppress(UserError, RuntimeError), replacing(user_cache() / "digests" / stamp) as temporary:
        temporary.write_text(value, encoding="ascii")
