from itertools import permutations

import numpy as np
import pytest

from benchmark.analysis.diagnosis import GAIN, diagnose
from benchmark.confusion import count, scores

NAMES = ["background", "road", "tree", "car", "pole"]


def confusion(classes=5, quality=0.8, seed=0, void=0.02):
    """Counts of a network that gets `quality` of the pixels of every class right; void last."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(10_000, 90_000, classes)
    wrong = rng.dirichlet(np.ones(classes), classes) * (1 - quality)
    total = np.zeros((classes + 1, classes + 1), dtype=np.int64)
    total[:-1, :-1] = truth[:, None] * (wrong + quality * np.eye(classes))
    total[-1, :-1] = void * total.sum(axis=0)[:-1]
    return total


@pytest.mark.parametrize("quality", [0.95, 0.6, 0.3])
@pytest.mark.parametrize("void", ["ignore", "false_positive"])
def test_nothing_is_said_where_nothing_is_wrong(quality, void):
    for seed in range(20):
        for classes in (2, 4, 11, 60):
            assert diagnose(confusion(classes, quality, seed), void) == []


def test_nothing_is_said_of_chance():
    """A network that has learned nothing is not one with other labels."""
    rng = np.random.default_rng(0)
    for classes in (2, 4, 11, 60):
        label, prediction = rng.integers(0, classes, (2, 100_000))
        assert diagnose(count(prediction, label, classes)) == []


def test_nothing_is_said_of_a_network_that_predicts_one_class():
    total = confusion()
    for column in range(5):
        one = np.zeros_like(total)
        one[:, column] = total.sum(axis=1)
        assert not [each for each in diagnose(one) if each.mistake in ("labels look permuted", "off by one")]


@pytest.mark.parametrize("quality", [0.9, 0.5])
def test_permuted_labels_are_found_with_the_best_miou_of_all_orders(quality):
    total = confusion(quality=quality)
    order = [3, 0, 4, 2, 1]
    shuffled = total[:, [*order, 5]]
    (found,) = diagnose(shuffled)
    best = max(scores(shuffled[:, [*each, 5]]).miou for each in permutations(range(5)))
    assert found.mistake == "labels look permuted"
    assert found.miou == best == scores(total).miou
    assert found.gain == best - scores(shuffled).miou
    assert sorted(found.classes) == [(guessed, true) for guessed, true in enumerate(order) if guessed != true]


def test_two_classes_that_changed_places_among_many():
    total = confusion(11, 0.8)
    swapped = total[:, [0, 1, 2, 8, 4, 5, 6, 7, 3, 9, 10, 11]]
    (found,) = diagnose(np.stack([swapped, swapped]))
    assert found.classes == [(3, 8), (8, 3)]
    assert found.miou == pytest.approx(scores(total).miou)


def test_weak_networks_on_many_classes_are_seen_through():
    total = confusion(150, 0.52)
    order = np.random.default_rng(0).permutation(150)
    (found,) = diagnose(total[:, [*order, 150]])
    assert found.mistake == "labels look permuted"
    assert found.miou == pytest.approx(scores(total).miou)


@pytest.mark.parametrize(("step", "side"), [(1, "one too high"), (-1, "one too low")])
@pytest.mark.parametrize("classes", [5, 60])
def test_off_by_one(step, side, classes):
    """As where reduce_zero_label was forgotten: labels are counted one higher, from where there was void to the end."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, classes + 1, 200_000)
    prediction = np.where(rng.random(label.shape) < 0.8, label % classes, rng.integers(0, classes, label.shape))
    truth = scores(count(prediction, label, classes)).miou
    counts = count(prediction, (label + step) % (classes + 1), classes)
    (found,) = diagnose(counts)
    assert found.mistake == "off by one"
    assert side in found.detail
    assert found.miou == pytest.approx(truth)
    assert found.describe(NAMES).startswith("off by one (labels of the ground truth are one too")


def test_off_by_one_around_the_end():
    total = confusion()
    (found,) = diagnose(total[:, [1, 2, 3, 4, 0, 5]])
    assert found.mistake == "off by one"
    assert found.miou == pytest.approx(scores(total).miou)


def test_a_class_that_is_never_predicted():
    total = confusion()
    total[:, 2] += total[:, 3]
    total[:, 3] = 0
    (found,) = diagnose(total)
    assert (found.mistake, found.classes) == ("class absent from predictions", [3])
    kept = np.delete(np.delete(total, 3, axis=0), 3, axis=1)
    assert found.miou == pytest.approx(scores(kept).miou)
    assert found.describe(NAMES) == (
        f"class absent from predictions (car): mIoU would be {found.miou:.2f}, +{found.gain:.2f}"
    )


def test_one_rare_class_of_many_that_is_never_predicted_is_nothing():
    total = confusion(60, 0.8)
    total[:, 3] = 0
    assert diagnose(total) == []


def test_void_as_a_class():
    """Void has a label at the end of the list, no network predicts it, and nothing else is void."""
    total = confusion()
    total[-1, :-1] = total[:-1, :-1].sum(axis=0) // 9
    counted = np.zeros((7, 7), dtype=np.int64)
    counted[:6, :6] = total
    (found,) = diagnose(counted)
    assert (found.mistake, found.classes) == ("ignore label counted", [5])
    assert found.miou == pytest.approx(scores(total).miou)


def test_void_as_false_positives():
    total = confusion(void=0.5)
    (found,) = diagnose(total, "false_positive")
    assert found.mistake == "ignore label counted"
    assert found.miou == scores(total, "ignore").miou
    assert found.gain >= GAIN
    assert diagnose(total, "ignore") == []


def test_no_ground_truth():
    assert diagnose(np.zeros((6, 6), dtype=np.int64)) == []


def test_a_long_list_is_cut():
    (found,) = diagnose(confusion(11, 0.8)[:, [5, 6, 1, 0, 9, 10, 2, 3, 4, 7, 8, 11]])
    assert found.describe([f"c{i}" for i in range(11)]).startswith(
        "labels look permuted (c0 is truly c5, c1 is truly c6, c2 is truly c1, c3 is truly c0, and 7 more): mIoU"
    )
