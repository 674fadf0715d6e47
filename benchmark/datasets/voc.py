"""PASCAL VOC 2012 with 21 classes: 1464 / 1449 images of any size, and with the labels of SBD 10582 for training.

Sources: Everingham, Eslami, Van Gool, Williams, Winn, Zisserman, "The PASCAL visual object classes challenge: a
retrospective", IJCV 111, 2015; Hariharan, Arbelaez, Bourdev, Maji, Malik, "Semantic contours from inverse detectors",
ICCV 2011 (SBD); the files, http://host.robots.ox.ac.uk/pascal/VOC/voc2012 and the address of SBD below.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from benchmark.datasets.listing import Pair, pairs_of, read_names
from benchmark.datasets.pairs import Pairs
from benchmark.datasets.source import PublishedSplit, Split
from benchmark.errors import UserError

SBD = "http://www.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz"
"""Address at which the authors publish SBD."""

LISTS = "ImageSets/Segmentation"
"""Folder of the lists of names."""


class VOC12(Pairs):
    """One split of VOC 2012 as published: names from `ImageSets/Segmentation/SPLIT.txt`, labels as palette images."""

    # fmt: off
    classes: ClassVar[Sequence[str]] = (
        "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
        "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
        "tvmonitor",
    )
    palette: ClassVar[Sequence[tuple[int, int, int]]] = (
        (0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128),
        (128, 128, 128), (64, 0, 0), (192, 0, 0), (64, 128, 0), (192, 128, 0), (64, 0, 128), (192, 0, 128),
        (64, 128, 128), (192, 128, 128), (0, 64, 0), (128, 64, 0), (0, 192, 0), (128, 192, 0), (0, 64, 128),
    )
    # fmt: on
    published: ClassVar[Mapping[Split, PublishedSplit]] = {
        "train": PublishedSplit(1464, None),
        "val": PublishedSplit(1449, None),
    }
    title: ClassVar[str] = "VOC 2012"
    folder: ClassVar[str] = "VOCdevkit/VOC2012"
    url: ClassVar[str | None] = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar"
    limit: ClassVar[int] = 8 << 30
    marks: ClassVar[Sequence[str]] = ("JPEGImages", "SegmentationClass", LISTS)
    members: ClassVar[Sequence[str]] = ("JPEGImages/*.jpg", "SegmentationClass/*.png", f"{LISTS}/*.txt")
    advice: ClassVar[str] = "`segbench data get voc12` downloads it; for an existing copy give --root DIR"

    def _pairs(self, home: Path, split: Split) -> Iterable[Pair]:
        return self._listed(home, split, "SegmentationClass")

    def _listed(self, home: Path, part: str, labels: str) -> list[Pair]:
        return pairs_of(listed(home, part, self.advice), home / "JPEGImages", ".jpg", home / labels, ".png")


class VOC12Aug(VOC12):
    """One split of VOC 2012 with `aug.txt` added to train: all images of SBD outside train and val of VOC."""

    published: ClassVar[Mapping[Split, PublishedSplit]] = {
        "train": PublishedSplit(10582, None),
        "val": PublishedSplit(1449, None),
    }
    title: ClassVar[str] = "VOC 2012 with SBD"
    url: ClassVar[str | None] = None
    members: ClassVar[Sequence[str]] = (*VOC12.members, "SegmentationClassAug/*.png")
    advice: ClassVar[str] = (
        "`segbench data get voc12` gets VOC 2012, and `segbench data make voc12aug --from BENCHMARK_RELEASE` adds what "
        f"is missing from SBD, {SBD} unpacked; for an existing copy give --root DIR"
    )

    def _pairs(self, home: Path, split: Split) -> Iterator[Pair]:
        yield from super()._pairs(home, split)
        if split == "train":
            yield from self._listed(home, "aug", "SegmentationClassAug")


def listed(home: Path, part: str, advice: str) -> list[str]:
    """Return the names in a list of VOC.

    Args:
        home: the folder VOC2012.
        part: name of the list.
        advice: advice for the error message if the list is missing.

    Raises:
        UserError: it is missing, or `read_names` cannot read it.
    """
    path = home / LISTS / f"{part}.txt"
    if not path.is_file():
        raise UserError(f"{path} cannot be read: {advice}")
    return read_names(path)
