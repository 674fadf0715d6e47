"""Datasets in the layout of their authors: a JPEG or PNG file per image, a PNG file of class indices per label."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets.decoding import decode_image, decode_label
from benchmark.datasets.listing import Pair, missing, require_file, similar_file
from benchmark.datasets.source import AbsentError, PublishedSplit, Split
from benchmark.errors import UserError


class Pairs(ABC):
    """One split of a dataset in which every image and every label is a file.

    Networks read it through mmsegmentation's dataset classes (`benchmark.inputs.mmseg_pipeline`), which read the same
    files in the same order; this class is for everything that needs no network.

    The ground truth of these datasets' test splits is not public: "test" here is val, as in mmsegmentation's
    configs.

    Args:
        root: the folder that contains the dataset's folder, or that folder itself.
        split: "train", "val" or "test".

    Attributes:
        title: the dataset's name as its authors write it.
        folder: path of the dataset below a root; its first parts may be missing.
        marks: folders that identify the dataset.
        members: patterns of its files.
        advice: how to get it, continuing "no TITLE in ROOT: ".
        first: value of class 0 in the label files; the one below is void, and so is 255.

    Raises:
        AbsentError: the dataset is not found at `root`.
        UserError: the list of the split is missing or malformed, or its images or labels are missing.
    """

    classes: ClassVar[Sequence[str]]
    palette: ClassVar[Sequence[tuple[int, int, int]]]
    published: ClassVar[Mapping[Split, PublishedSplit]]
    title: ClassVar[str]
    folder: ClassVar[str]
    url: ClassVar[str | None] = None
    limit: ClassVar[int]
    marks: ClassVar[Sequence[str]]
    members: ClassVar[Sequence[str]]
    advice: ClassVar[str]
    first: ClassVar[int] = 0

    def __init__(self, root: str | Path, split: Split) -> None:
        home = self.home(Path(root).expanduser())
        if not self._is_at(home):
            raise AbsentError(f"no {self.title} in {root}: {self.advice}")
        found = sorted(self._pairs(home, split if split in self.published else "val"))
        if not found:
            raise UserError(f"no images of {split} in {home}")
        self.names: Sequence[str] = [name for name, *_ in found]
        name, times = Counter(self.names).most_common(1)[0]
        if times > 1:
            raise UserError(f"the lists of {split} in {home} share {name}: remove it from one of them")
        self._images, self._labels = [image for _, image, _ in found], [label for *_, label in found]
        if not any(label.is_file() for label in self._labels):
            if similar_file(self._labels[0]):
                raise missing(self._labels[0])
            raise UserError(f"the {len(found)} labels of {split} are missing, as {self._labels[0]}: {self.advice}")

    @abstractmethod
    def _pairs(self, home: Path, split: Split) -> Iterable[Pair]:
        """Return the images of train or val with their labels."""

    @classmethod
    def home(cls, root: Path) -> Path:
        """Return the dataset's folder: `root / folder`, `root` and the last parts of `folder`, or `root`."""
        parts = PurePosixPath(cls.folder).parts
        places = [root.joinpath(*parts[start:]) for start in range(len(parts) + 1)]
        return next((place for place in places if cls._is_at(place)), places[0])

    @classmethod
    def _is_at(cls, home: Path) -> bool:
        return all((home / mark).is_dir() for mark in cls.marks)

    @classmethod
    def place(cls, path: PurePosixPath) -> PurePosixPath | None:
        """Return the path of an archive member in the folder of the dataset; None for other members."""
        if path.name.startswith("."):  # hidden, see `benchmark.datasets.listing`
            return None
        for pattern in map(PurePosixPath, cls.members):
            if path.match(str(pattern)):
                return PurePosixPath(*path.parts[-len(pattern.parts) :])
        return None

    def __len__(self) -> int:
        return len(self.names)

    def image_files(self) -> Sequence[Path]:
        """Return the file of every image, in the order of the split."""
        return self._images

    def files(self) -> list[Path]:
        """Return every image and label file."""
        return [*self._images, *self._labels]

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return the RGB image of shape (height, width, 3).

        Raises:
            UserError: the file is missing or cannot be decoded.
        """
        return decode_image(require_file(self._images[index]))

    def label(self, index: int) -> NDArray[np.uint8]:
        """Return the class indices of shape (height, width); 255 is void.

        Raises:
            UserError: the file is missing, cannot be decoded, is not of the size of its image, or has wrong values.
        """
        label = require_file(self._labels[index])
        return decode_label(label, require_file(self._images[index]), len(self.classes), self.first)
