"""The embedded dataset: scenes drawn from a seed, with exact labels and no files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets import scene
from benchmark.datasets.source import SPLITS, PublishedSplit, Split


class Shapes:
    """One split of the embedded dataset.

    A scene is drawn on first access and cached.

    Args:
        split: "train", "val" or "test"; splits share no scene.
        size: (height, width) in pixels, at least 16 each.
        seed: seed of the dataset, 0 to 2^64 - 1; every seed gives other scenes.

    Raises:
        ValueError: an unknown split, or too small a size.
    """

    classes: ClassVar[Sequence[str]] = scene.CLASSES
    palette: ClassVar[Sequence[tuple[int, int, int]]] = (
        (126, 186, 226),
        (148, 130, 98),
        (214, 69, 65),
        (244, 164, 54),
        (63, 92, 168),
        (80, 166, 94),
        (148, 88, 166),
        (52, 58, 64),
    )
    published: ClassVar[Mapping[Split, PublishedSplit]] = {
        "train": PublishedSplit(256, "e63392317c8bd1420d38f8eafe6525ec5696c433344a77a55ec0324f409bd22f"),
        "val": PublishedSplit(32, "2336f5323456f86702a037668ea93ba02393294ec2767a612c351bc8dcbd4a31"),
        "test": PublishedSplit(64, "332cc89f72ac3656b10874e33c3f4726f0a84149329cef8dcdfd68fa22cd9581"),
    }

    def __init__(self, split: Split, size: tuple[int, int] = (64, 64), seed: int = 0) -> None:
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, not {split!r}")
        if min(size) < 16:
            raise ValueError(f"size must be at least 16 by 16 pixels, not {size[0]} by {size[1]}")
        self.split = split
        self.size = size
        self.seed = seed
        self.names: Sequence[str] = [f"{split}_{index:04d}" for index in range(self.published[split].images)]

    def __len__(self) -> int:
        return len(self.names)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return the RGB image of shape (height, width, 3)."""
        return self._scene(index)[0].copy()

    def label(self, index: int) -> NDArray[np.uint8]:
        """Return the class indices of shape (height, width); 255 is void."""
        return self._scene(index)[1].copy()

    def _scene(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        if not 0 <= index < len(self):
            raise IndexError(f"scene {index} of {len(self)}")
        return _draw(self.seed, SPLITS.index(self.split), index, *self.size)


@lru_cache(maxsize=512)  # more than the three splits together; a run opens each split several times
def _draw(seed: int, split: int, index: int, height: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return scene.draw(scene.Stream((seed, split), index), height, width)
