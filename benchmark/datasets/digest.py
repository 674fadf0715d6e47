"""Names a dataset by what is in it: SHA-256 over decoded pixels and labels, whatever the files look like.

Decoding a dataset takes seconds, so the digest of files on disk is remembered in the user's cache folder for as long as
no file changes. Where it would take minutes, a split is named by the names and sizes of its files instead.
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
from benchmark.datasets.prefetch import read_ahead
from benchmark.datasets.source import FileSource, LargeSource, Source, Split
from benchmark.errors import UserError
from benchmark.files.atomic import replacing
from benchmark.files.user_cache import user_cache

RULE = 2
"""Version of what `benchmark.datasets.decoding` takes: what an earlier one took is not remembered."""


def digest(sources: Mapping[Split, Source]) -> str:
    """SHA-256 of a dataset: the names of its classes and the digest of each of its splits.

    Raises:
        UserError: a file is missing or cannot be decoded.
    """
    classes = next(iter(sources.values())).classes
    return _digest(classes, {split: split_digest(source) for split, source in sources.items()})


def published_digest(dataset: type[Source]) -> str:
    """The digest of a dataset as it is published, for one whose splits all have a known digest."""
    return _digest(dataset.classes, {split: identity.digest for split, identity in dataset.published.items()})


def split_digest(source: Source) -> str:
    """SHA-256 of a split: name, RGB bytes and label bytes of every image, void written as the number of classes.

    Of a large dataset it is `listing_digest`.

    Raises:
        UserError: a file is missing or cannot be decoded.
    """
    if isinstance(source, LargeSource):
        return listing_digest(source.names, source.image_files())
    stamp = _stamp(source) if isinstance(source, FileSource) else None
    known = _recall(stamp) if stamp else None
    if known:
        return known
    hasher = SplitHasher(len(source.classes))
    pairs = read_ahead(lambda index: (source.image(index), source.label(index)), len(source))
    for name, (image, label) in zip(source.names, pairs, strict=True):
        hasher.add(name, image, label)
    if stamp:
        _remember(stamp, hasher.hexdigest())
    return hasher.hexdigest()


def listing_digest(names: Sequence[str], images: Sequence[Path]) -> str:
    """SHA-256 of the names of images, and of the sizes of their files in bytes, in their order.

    It does not prove what is in them, for to read 20,000 files takes minutes. Nothing of the labels goes into it: those
    of some datasets are made by a script, and compress differently on each machine.

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
    """The digest of a split, an image at a time, in the order of the split.

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
        """The digest of what was added so far."""
        return self._sha256.hexdigest()


def _digest(classes: Sequence[str], splits: Mapping[Split, str | None]) -> str:
    return hashlib.sha256(json.dumps([list(classes), splits], sort_keys=True).encode()).hexdigest()


def _stamp(source: FileSource) -> str:
    """What changes when a file does: its name, size, and the times of the last change to its content and its inode."""
    stamp = hashlib.sha256(f"{type(source).__name__} {RULE}".encode())
    for path in source.files():
        stat = path.stat()
        entry = (path.parent.name, path.name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        stamp.update(json.dumps(entry).encode())
    return stamp.hexdigest()


def _recall(stamp: str) -> str | None:
    try:
        known = (user_cache() / "digests" / stamp).read_text(encoding="ascii")
    except (OSError, RuntimeError, ValueError):  # no cache, no home, not text
        return None
    return known if re.fullmatch("[0-9a-f]{64}", known) else None


def _remember(stamp: str, value: str) -> None:
    """Keep a digest. A cache that cannot be written costs time and nothing else."""
    with suppress(UserError, RuntimeError), replacing(user_cache() / "digests" / stamp) as temporary:
        temporary.write_text(value, encoding="ascii")
