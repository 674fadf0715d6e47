"""The arrays beside a result."""

import numpy as np
import pytest

from benchmark.results.arrays import read_totals
from benchmark.results.reading import read


@pytest.mark.parametrize("block", [1, 1000, 1 << 24])
def test_counts_are_added_up_block_by_block(store, make_record, monkeypatch, block):
    monkeypatch.setattr("benchmark.results.arrays.BLOCK", block)
    record, arrays = make_record()
    stored = read(store.add(record, arrays))
    assert (read_totals(stored)["last_test"] == arrays["last_test"].sum(axis=0)).all()
    np.savez_compressed(stored.path.with_suffix(".npz"), **arrays)  # as it was before there were totals
    assert (read_totals(stored)["last_test"] == arrays["last_test"].sum(axis=0)).all()
