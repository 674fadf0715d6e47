"""The test images whose predictions are kept."""

import numpy as np

from benchmark.results import samples


def test_samples_are_spread_over_the_split():
    class Ten:
        classes, palette, names = ("a",), ((0, 0, 0),), tuple("0123456789")

        def __len__(self):
            return 10

        def image(self, index):
            return np.full((2, 2, 3), index, np.uint8)

        def label(self, index):
            return np.zeros((2, 2), np.uint8)

    assert samples.select(Ten()).names.tolist() == ["1", "3", "6", "8"]
