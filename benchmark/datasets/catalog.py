"""Which datasets there are, and where they lie."""

from __future__ import annotations

import os
from pathlib import Path

from benchmark.datasets.ade20k import ADE20K
from benchmark.datasets.camvid import CamVid, HalfCamVid
from benchmark.datasets.cityscapes import Cityscapes
from benchmark.datasets.shapes import Shapes
from benchmark.datasets.source import SPLITS, FileSource, Source, Split, require_labels
from benchmark.datasets.voc import VOC12, VOC12Aug
from benchmark.errors import UserError

EMBEDDED: dict[str, type[Shapes]] = {"shapes": Shapes}
"""Datasets that need no files, by name."""

ON_DISK: dict[str, type[FileSource]] = {
    "ade20k": ADE20K,
    "camvid": CamVid,
    "camvid_180x240": HalfCamVid,
    "cityscapes": Cityscapes,
    "voc12": VOC12,
    "voc12aug": VOC12Aug,
}
"""Datasets that lie below a root, by name."""


def dataset(name: str) -> type[Source]:
    """The class of a dataset.

    Raises:
        UserError: there is no such dataset.
    """
    known: dict[str, type[Source]] = {**EMBEDDED, **ON_DISK}
    if name not in known:
        raise UserError(f"unknown dataset {name!r}: there are {', '.join(sorted(known))}")
    return known[name]


def locate(name: str, root: str | Path | None = None) -> Path | None:
    """The root of a dataset: the folder that holds the folder of the dataset, whether there is one or not.

    Args:
        name: a dataset.
        root: where the user says it is. Else it is where the environment variable SEGBENCH_DATA says, else `data`.

    Returns:
        The root; None for an embedded dataset.

    Raises:
        UserError: there is no such dataset.
    """
    dataset(name)
    if name in EMBEDDED:
        return None
    return Path(root or os.environ.get("SEGBENCH_DATA") or "data").expanduser()


def open_split(name: str, split: Split, root: str | Path | None = None) -> Source:
    """A split of a dataset, by the dataset's name.

    Raises:
        UserError: there is no such dataset, or it is not where `locate` says.
    """
    place = locate(name, root)
    return EMBEDDED[name](split) if place is None else ON_DISK[name](place, split)


def open_splits(name: str, root: str | Path | None = None) -> dict[Split, Source]:
    """Every split of a dataset, by the dataset's name: what `benchmark.datasets.digest.digest` takes.

    Raises:
        UserError: there is no such dataset, it is not where `locate` says, or a split has no labelled pixel.
    """
    splits = {split: open_split(name, split, root) for split in SPLITS}
    for split, source in splits.items():
        require_labels(f"{split} of {name}", source.label, len(source))
    return splits
