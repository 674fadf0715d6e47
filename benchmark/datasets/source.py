"""Interface of datasets: images and labels by index."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from benchmark.confusion import VOID
from benchmark.errors import UserError

Split = Literal["train", "val", "test"]

SPLITS: tuple[Split, ...] = ("train", "val", "test")


class AbsentError(UserError):
    """Raised if a dataset is not found."""


@dataclass(frozen=True)
class PublishedSplit:
    """Properties that identify a published split.

    Attributes:
        images: number of images.
        digest: its `benchmark.datasets.digest.split_digest`; None if unknown.
    """

    images: int
    digest: str | None


class DatasetSplit(Protocol):
    """One split of a dataset.

    Attributes:
        classes: class names; label value c means classes[c].
        palette: one RGB triple per class, 0 to 255.
        published: properties of each published split with public ground truth.
        names: one name per image, in the order of the split.
    """

    classes: ClassVar[Sequence[str]]
    palette: ClassVar[Sequence[tuple[int, int, int]]]
    published: ClassVar[Mapping[Split, PublishedSplit]]
    names: Sequence[str]

    def __len__(self) -> int:
        """Return the number of images."""

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return the RGB image of shape (height, width, 3)."""

    def label(self, index: int) -> NDArray[np.uint8]:
        """Return the class indices of shape (height, width); 255 is void."""


@runtime_checkable
class StoredSplit(DatasetSplit, Protocol):
    """One split that is read from files."""

    def files(self) -> Sequence[Path]:
        """Return every file that images and labels are read from."""


@runtime_checkable
class FileSplit(StoredSplit, Protocol):
    """One split of a published dataset that is stored on disk.

    Attributes:
        folder: name of the dataset's folder below a root.
        url: the archive of the published dataset; None if it needs a registration.
        limit: maximum size of the dataset, and of its archive, in bytes.
        advice: how to obtain it.
    """

    folder: ClassVar[str]
    url: ClassVar[str | None]
    limit: ClassVar[int]
    advice: ClassVar[str]

    def __init__(self, root: str | Path, split: Split) -> None:
        """Open a split of the dataset at or below `root`; raises `AbsentError` if it is not found."""

    @classmethod
    def home(cls, root: Path) -> Path:
        """Return the folder of the dataset: `root / folder`, or `root` itself if it is the dataset."""

    @staticmethod
    def place(path: PurePosixPath) -> PurePosixPath | None:
        """Return the path of an archive member in the folder of the dataset; None for other members."""


@runtime_checkable
class LargeSplit(FileSplit, Protocol):
    """One split of a dataset too large to be read at every start: identified by its files, not by its pixels."""

    def image_files(self) -> Sequence[Path]:
        """Return the file of every image, in the order of the split."""


def require_labels(what: str, label: Callable[[int], NDArray[np.uint8]], count: int) -> None:
    """Require at least one label that is not all void: training and scores need a labelled pixel.

    Args:
        what: name of the labelled data, for the message.
        label: returns the label at an index; called until one has a labelled pixel.
        count: number of labels.

    Raises:
        UserError: all are void.
    """
    if all((label(index) == VOID).all() for index in range(count)):
        raise UserError(f"{what} has no labelled pixel: all of its {count} labels are void")
