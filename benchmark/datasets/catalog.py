"""Names and locations of the datasets."""

from __future__ import annotations

import os
from pathlib import Path

from benchmark.datasets import card
from benchmark.datasets.ade20k import ADE20K
from benchmark.datasets.camvid import CamVid, HalfCamVid
from benchmark.datasets.cityscapes import Cityscapes
from benchmark.datasets.digest import split_digest
from benchmark.datasets.shapes import Shapes
from benchmark.datasets.source import SPLITS, DatasetSplit, FileSplit, Split, require_labels
from benchmark.datasets.voc import VOC12, VOC12Aug
from benchmark.errors import UserError

EMBEDDED: dict[str, type[Shapes]] = {"shapes": Shapes}
"""Datasets that need no files, by name."""

ON_DISK: dict[str, type[FileSplit]] = {
    "ade20k": ADE20K,
    "camvid": CamVid,
    "camvid_180x240": HalfCamVid,
    "cityscapes": Cityscapes,
    "voc12": VOC12,
    "voc12aug": VOC12Aug,
}
"""Datasets that are stored below a root, by name."""


def dataset(name: str) -> type[DatasetSplit]:
    """Return the class of a dataset.

    Args:
        name: a dataset, or the path of a card.

    Raises:
        UserError: there is no such dataset, or the card cannot be read.
    """
    known: dict[str, type[DatasetSplit]] = {**EMBEDDED, **ON_DISK}
    if card.is_card(name):
        found = card.read(name)
        if found.content.name in known:
            raise UserError(f"{name}: {found.content.name} is a dataset of segbench: give this one another name")
        return found.split
    if name not in known:
        raise UserError(f"unknown dataset {name!r}: there are {', '.join(sorted(known))}")
    return known[name]


def title(name: str) -> str:
    """Return the name of a dataset in results: of a card, the one that it gives."""
    return card.read(name).content.name if card.is_card(name) else name


def locate(name: str, root: str | Path | None = None) -> Path | None:
    """Return the root of a dataset: the parent of its folder, which need not exist.

    Args:
        name: a dataset.
        root: root that the user gave; by default the environment variable SEGBENCH_DATA, else `data`.

    Returns:
        The root; None for an embedded dataset, and for a card, which knows its folders.

    Raises:
        UserError: there is no such dataset.
    """
    dataset(name)
    if name in EMBEDDED or card.is_card(name):
        return None
    return Path(root or os.environ.get("SEGBENCH_DATA") or "data").expanduser()


def open_split(name: str, split: Split, root: str | Path | None = None) -> DatasetSplit:
    """Open a split of a dataset, by the dataset's name.

    Raises:
        UserError: there is no such dataset, or it is not at the root of `locate`.
    """
    if card.is_card(name):
        return card.open_card(name, split)
    place = locate(name, root)
    return EMBEDDED[name](split) if place is None else ON_DISK[name](place, split)


def open_splits(name: str, root: str | Path | None = None) -> dict[Split, DatasetSplit]:
    """Open every split of a dataset, by the dataset's name, as `benchmark.datasets.digest.digest` expects them.

    Raises:
        UserError: there is no such dataset, it is not at the root of `locate`, a split has no labelled pixel, or the
            pixels are not those of the card that describes them.
    """
    splits = {split: open_split(name, split, root) for split in SPLITS}
    for split, source in splits.items():
        require_labels(f"{split} of {name}", source.label, len(source))
        known = source.published.get(split) if card.is_card(name) else None
        if known and known.digest and split_digest(source) != known.digest:
            raise UserError(
                f"images or labels of {split} have changed since {name} was written: restore them, or write the card "
                "again with `segbench data add --force`"
            )
    return splits
