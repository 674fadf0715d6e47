"""Read every image and label of a dataset; report its contents and problems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.confusion import VOID
from benchmark.datasets.card import is_card
from benchmark.datasets.catalog import dataset, open_split
from benchmark.datasets.decoding import orientation
from benchmark.datasets.digest import SplitHasher, split_digest
from benchmark.datasets.prefetch import prefetch
from benchmark.datasets.source import AbsentError, DatasetSplit, LargeSplit, Split, StoredSplit
from benchmark.errors import UserError


@dataclass(frozen=True)
class Verification:
    """Contents and problems of one split.

    Attributes:
        images: number of images.
        sizes: number of images of each (height, width).
        pixels: number of pixels of each class, shape (K + 1,), void last; of readable labels.
        digest: the digest of the split; None if a file cannot be read.
        problems: one line each, with the file.
        notes: remarks that are not problems, one line each.
    """

    images: int
    sizes: Counter[tuple[int, int]]
    pixels: NDArray[np.int64]
    digest: str | None
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()


def verify(
    name: str, root: str | Path | None = None, on_progress: Callable[[str, int, int], None] = lambda *_: None
) -> dict[Split, Verification]:
    """Verify every split of a dataset that has public ground truth, and compare it with the published one.

    Args:
        name: the dataset.
        root: root of the dataset, see `benchmark.datasets.catalog.locate`.
        on_progress: receives the split, and how many images of all are read.

    Raises:
        UserError: the dataset is unknown or not found.
    """
    found = {}
    origin = "as the card says" if is_card(name) else "as published"
    for split in dataset(name).published:
        try:
            found[split] = _verify_split(open_split(name, split, root), split, origin, on_progress)
        except AbsentError:
            raise
        except UserError as error:  # the list of the split is malformed or empty
            found[split] = Verification(
                0, Counter(), np.zeros(len(dataset(name).classes) + 1, np.int64), None, (str(error),)
            )
    return found


def _verify_split(
    source: DatasetSplit, split: Split, origin: str, on_progress: Callable[[str, int, int], None]
) -> Verification:
    classes = len(source.classes)
    hasher = SplitHasher(classes)
    sizes: Counter[tuple[int, int]] = Counter()
    pixels = np.zeros(256, np.int64)
    problems: list[str] = []
    pairs = prefetch(lambda index: (_read(source.image, index), _read(source.label, index)), len(source))
    for done, (name, (image, label)) in enumerate(zip(source.names, pairs, strict=True), start=1):
        on_progress(split, done, len(source))
        problems += dict.fromkeys(found for found in (image, label) if isinstance(found, str))
        if not isinstance(image, str):
            sizes[image.shape[:2]] += 1
        if not isinstance(label, str):
            pixels += np.bincount(label.ravel(), minlength=256)
        if not isinstance(image, str) and not isinstance(label, str):
            hasher.add(name, image, label)

    if pixels.sum() and not pixels[:classes].any():
        problems.append(f"{split} has no labelled pixel: all of its labels are void")
    published = source.published[split]
    digest = None
    if not problems:
        digest = split_digest(source) if isinstance(source, LargeSplit) else hasher.hexdigest()
    if len(source) != published.images:
        problems.append(f"{split} is not {origin}: {len(source)} images instead of {published.images}")
    elif digest and published.digest and digest != published.digest:
        problems.append(f"{split} is not {origin}: other pixels (SHA-256 {digest})")
    notes = _notes(source, split) if isinstance(source, StoredSplit) else ()
    return Verification(len(source), sizes, pixels[[*range(classes), VOID]], digest, tuple(problems), notes)


def _notes(source: StoredSplit, split: Split) -> tuple[str, ...]:
    try:
        files = source.files()
    except UserError:  # a missing file is reported as a problem
        return ()
    tags = prefetch(lambda index: orientation(files[index]), len(files))
    turned = [(path, tag) for path, tag in zip(files, tags, strict=True) if tag != 1]
    if not turned:
        return ()
    path, tag = turned[0]
    return (
        f"{split}: EXIF orientations are not applied: image and label are used as they are stored (files with one: "
        f"{len(turned)}; orientation {tag} in {path})",
    )


def _read(read: Callable[[int], NDArray[np.uint8]], index: int) -> NDArray[np.uint8] | str:
    """Read an image or label; return the error message if reading fails."""
    try:
        return read(index)
    except UserError as error:
        return str(error)
