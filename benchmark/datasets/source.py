"""What every dataset is to the rest of the suite: images and labels by index."""

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
    """A dataset is not where it was looked for."""


@dataclass(frozen=True)
class Identity:
    """What a published split is: enough to tell a copy from the original.

    Attributes:
        images: number of images.
        digest: its `benchmark.datasets.digest.split_digest`; None where it is not known.
    """

    images: int
    digest: str | None


class Source(Protocol):
    """One split of a dataset.

    Attributes:
        classes: class names; label value c means classes[c].
        palette: one RGB triple a class, 0 to 255.
        published: what each split with public ground truth is.
        names: one name an image, in the order of the split.
    """

    classes: ClassVar[Sequence[str]]
    palette: ClassVar[Sequence[tuple[int, int, int]]]
    published: ClassVar[Mapping[Split, Identity]]
    names: Sequence[str]

    def __len__(self) -> int:
        """Number of images."""

    def image(self, index: int) -> NDArray[np.uint8]:
        """RGB image of shape (height, width, 3)."""

    def label(self, index: int) -> NDArray[np.uint8]:
        """Class indices of shape (height, width); 255 where there is no ground truth."""


@runtime_checkable
class FileSource(Source, Protocol):
    """One split of a dataset that lies on disk.

    Attributes:
        folder: name of the dataset's folder below a root.
        url: the archive of the published dataset; None where nobody may simply download it.
        limit: bytes that the dataset, or its archive, never exceeds.
        advice: how to come by it.
    """

    folder: ClassVar[str]
    url: ClassVar[str | None]
    limit: ClassVar[int]
    advice: ClassVar[str]

    def __init__(self, root: str | Path, split: Split) -> None:
        """Open a split of the dataset that lies at or below `root`; `AbsentError` where there is none."""

    def files(self) -> Sequence[Path]:
        """Every file that images and labels are read from."""

    @classmethod
    def home(cls, root: Path) -> Path:
        """The folder of the dataset: `root / folder`, or `root` where that is the dataset itself."""

    @staticmethod
    def place(path: PurePosixPath) -> PurePosixPath | None:
        """Where a file of an archive belongs in the folder of the dataset; None for what is no part of it."""


@runtime_checkable
class LargeSource(FileSource, Protocol):
    """One split of a dataset too large to be read at every start: named by its files, not by their pixels."""

    def image_files(self) -> Sequence[Path]:
        """The file of every image, in the order of the split."""


def require_labels(what: str, label: Callable[[int], NDArray[np.uint8]], count: int) -> None:
    """Check that labels are not all void: nothing can be learned or scored without one labelled pixel.

    Args:
        what: what the labels are of, for the message.
        label: the label at an index; as few are read as it takes.
        count: how many there are.

    Raises:
        UserError: all are void.
    """
    if all((label(index) == VOID).all() for index in range(count)):
        raise UserError(f"{what} has no labelled pixel: all of its {count} labels are void")
