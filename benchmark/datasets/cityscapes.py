"""Cityscapes with fine annotations and 19 classes: 2975 / 500 images of 1024 x 2048 pixels.

Source: Cordts, Omran, Ramos, Rehfeld, Enzweiler, Benenson, Franke, Roth, Schiele, "The Cityscapes dataset for semantic
urban scene understanding", CVPR 2016; the files, https://www.cityscapes-dataset.com (requires an account).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from benchmark.datasets.listing import Pair, pairs_below
from benchmark.datasets.pairs import Pairs
from benchmark.datasets.source import PublishedSplit, Split

IMAGE, TRAIN_IDS, IDS = "_leftImg8bit.png", "_gtFine_labelTrainIds.png", "_gtFine_labelIds.png"
"""Suffixes of images, of labels of the 19 classes, and of labels of all classes, which the archives contain."""


class Cityscapes(Pairs):
    """One split of Cityscapes: `leftImg8bit/train/CITY/NAME` and `gtFine/train/CITY/NAME`, and the same below `val`."""

    # fmt: off
    classes: ClassVar[Sequence[str]] = (
        "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation",
        "terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
    )
    palette: ClassVar[Sequence[tuple[int, int, int]]] = (
        (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153),
        (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60),
        (255, 0, 0), (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32),
    )
    # fmt: on
    published: ClassVar[Mapping[Split, PublishedSplit]] = {
        "train": PublishedSplit(2975, None),
        "val": PublishedSplit(500, None),
    }
    title: ClassVar[str] = "Cityscapes"
    folder: ClassVar[str] = "cityscapes"
    limit: ClassVar[int] = 32 << 30
    marks: ClassVar[Sequence[str]] = ("leftImg8bit/train", "leftImg8bit/val")
    members: ClassVar[Sequence[str]] = tuple(
        f"{folder}/{split}/*/*{suffix}"
        for folder, suffix in (("leftImg8bit", IMAGE), ("gtFine", TRAIN_IDS), ("gtFine", IDS))
        for split in ("train", "val")
    )
    advice: ClassVar[str] = (
        "register at https://www.cityscapes-dataset.com for leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip, "
        "then `segbench data get cityscapes --from FOLDER_OF_BOTH`; in a copy that lacks the labels of the 19 classes "
        "`segbench data make cityscapes` prepares them; for an existing copy give --root DIR"
    )

    def _pairs(self, home: Path, split: Split) -> Iterable[Pair]:
        return pairs_below(home / "leftImg8bit" / split, IMAGE, home / "gtFine" / split, TRAIN_IDS)
