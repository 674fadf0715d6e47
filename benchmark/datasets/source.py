"""What every dataset is to the rest of the suite: images and labels by index, and a digest that names them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Split = Literal["train", "val", "test"]


class Source(Protocol):
    """One split of a dataset.

    Attributes:
        classes: class names; label value c means classes[c].
        palette: one RGB triple a class, 0 to 255.
        names: one name an image, in the order of the split.
    """

    classes: Sequence[str]
    palette: Sequence[tuple[int, int, int]]
    names: Sequence[str]

    def __len__(self) -> int:
        """Number of images."""

    def image(self, index: int) -> NDArray[np.uint8]:
        """RGB image of shape (height, width, 3)."""

    def label(self, index: int) -> NDArray[np.uint8]:
        """Class indices of shape (height, width); 255 where there is no ground truth."""
