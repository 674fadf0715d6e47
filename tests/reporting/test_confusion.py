import numpy as np
import pytest

from benchmark.reporting.confusion import MORE_PAIRS, PAIRS, Confusion, confusion


@pytest.fixture
def stored(store, make_record):
    for seed in range(2):
        store.add(*make_record("enet", seed, quality=0.6 + seed / 10))
    store.add(*make_record("enet", 2, status="diverged"))
    return store.scan()[0]


def test_the_matrix_is_the_sum_of_all_seeds(stored, make_record):
    found = confusion(stored)
    counts = sum(make_record("enet", seed, quality=0.6 + seed / 10)[1]["last_test"].sum(axis=0) for seed in range(2))
    assert found.seeds == 2
    assert found.truths == ["sky", "road_surface", "tree & hedge", "car"]  # void is not scored
    assert found.predictions == [*found.truths, "void"]  # but predicted
    assert np.array_equal(found.counts, counts[:4])
    assert [[int(each) for each in row.split(" ")] for row in found.text.split(",")] == found.counts.tolist()


def test_void_is_a_row_where_it_counts(store, make_record):
    store.add(*make_record("enet", void="false_positive"))
    assert confusion(store.scan()[0]).truths[-1] == "void"


def test_runs_without_scores_have_no_matrix(store, make_record):
    store.add(*make_record("enet", status="diverged"))
    assert confusion(store.scan()[0]) is None


def test_pairs_are_shares_of_the_true_class():
    counts = np.array([[90, 10, 0], [30, 60, 10], [0, 0, 0]])
    found = Confusion(["a", "b", "c"], ["a", "b", "c"], counts, 1).pairs
    assert [(each.truth, each.predicted, each.percent, each.pixels) for each in found] == [
        ("b", "a", 30.0, 30),
        ("a", "b", 10.0, 10),
        ("b", "c", 10.0, 10),
    ]


@pytest.mark.parametrize(("classes", "readable", "pairs"), [(19, True, PAIRS), (150, False, MORE_PAIRS)])
def test_many_classes_are_shown_without_numbers(classes, readable, pairs):
    names = [f"class {index}" for index in range(classes)]
    counts = np.random.default_rng(0).integers(1, 1000, (classes, classes))
    found = Confusion(names, names, counts, 1)
    assert found.is_readable == readable
    assert len(found.pairs) == pairs
    shares = [each.percent for each in found.pairs]
    assert shares == sorted(shares, reverse=True)
    assert (found.picture.width, found.picture.height) == (classes, classes)
