import warnings

import numpy as np
import pytest

from benchmark.confusion import count, marginals, mean_defined, overlaps, percent, scores


def count_slowly(prediction, label, classes):
    """The definition, a pixel at a time: whatever is not a class is void, the last row and column."""
    counts = np.zeros((classes + 1, classes + 1), np.int64)
    for guess, truth in zip(prediction.ravel().tolist(), label.ravel().tolist(), strict=True):
        counts[truth if 0 <= truth < classes else classes, guess if 0 <= guess < classes else classes] += 1
    return counts


def iou_slowly(pairs, classes, void):
    """Intersection over union of each class by sets of pixels, over all images together."""
    iou = []
    for c in range(classes):
        intersection = union = 0
        for prediction, label in pairs:
            for guess, truth in zip(prediction.ravel().tolist(), label.ravel().tolist(), strict=True):
                if void == "ignore" and not 0 <= truth < classes:
                    continue
                intersection += guess == c and truth == c
                union += guess == c or truth == c
        iou.append(100 * intersection / union if union else float("nan"))
    return iou


@pytest.mark.parametrize("classes", [1, 2, 11, 254])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_count_follows_the_definition(classes, dtype):
    rng = np.random.default_rng(classes)
    prediction = rng.integers(0, classes, (13, 17)).astype(dtype)
    label = rng.integers(0, classes, (13, 17)).astype(dtype)
    label[rng.random(label.shape) < 0.2] = 255
    prediction[rng.random(label.shape) < 0.1] = 255
    counts = count(prediction, label, classes)
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(counts, count_slowly(prediction, label, classes))
    assert counts.sum() == label.size


def test_any_value_that_is_no_class_is_void():
    label = np.array([-1, 0, 1, 2, 3, 100])
    prediction = np.array([0, -7, 2, 3, 1000, 1])
    np.testing.assert_array_equal(count(prediction, label, 2), count_slowly(prediction, label, 2))
    assert count(prediction, label, 2)[2].tolist() == [1, 1, 2]


def test_void_has_a_bin_that_the_type_of_the_values_cannot_name():
    label = np.array([-1, 0, 127], np.int8)
    np.testing.assert_array_equal(count(label, label, 200), count_slowly(label, label, 200))


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3, 2\)"):
        count(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), 2)


def test_two_classes_by_hand():
    #       predicted:  a   b  void
    counts = np.array([[30, 10, 0], [5, 50, 5], [7, 3, 1]])
    found = scores(counts)
    # a: 30 of 30 + 10 + 5; b: 50 of 50 + 5 + 5 + 10; the last row is not looked at
    np.testing.assert_allclose(found.iou, [100 * 30 / 45, 100 * 50 / 70], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.acc, [75, 100 * 50 / 60], rtol=0, atol=1e-12)
    assert found.miou == pytest.approx((100 * 30 / 45 + 100 * 50 / 70) / 2, abs=1e-12)
    assert found.macc == pytest.approx((75 + 100 * 50 / 60) / 2, abs=1e-12)
    assert found.aacc == pytest.approx(80.0, abs=1e-12)


def test_the_other_rule_for_void_by_hand():
    counts = np.array([[30, 10, 0], [5, 50, 5], [7, 3, 1]])
    found = scores(counts, "false_positive")
    np.testing.assert_allclose(found.iou, [100 * 30 / 52, 100 * 50 / 73], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.acc, [75, 100 * 50 / 60], rtol=0, atol=1e-12)  # recall has no false positives
    assert found.aacc == pytest.approx(80.0, abs=1e-12)


@pytest.mark.parametrize("void", ["ignore", "false_positive"])
def test_scores_follow_the_definition_on_pixels(void):
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(3):
        label = rng.integers(0, 4, (9, 11))
        prediction = np.where(rng.random(label.shape) < 0.6, label, rng.integers(0, 4, label.shape))
        label[rng.random(label.shape) < 0.2] = 255
        prediction[rng.random(label.shape) < 0.1] = 255
        pairs.append((prediction, label))
    found = scores(np.stack([count(prediction, label, 4) for prediction, label in pairs]), void)
    np.testing.assert_allclose(found.iou, iou_slowly(pairs, 4, void), rtol=0, atol=1e-12)


def test_a_class_that_is_nowhere_is_undefined_and_left_out_of_the_mean():
    counts = np.zeros((4, 4), np.int64)
    counts[0, 0], counts[1, 0] = 8, 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = scores(counts)
    np.testing.assert_array_equal(np.isnan(found.iou), [False, False, True])
    assert found.miou == pytest.approx((80 + 0) / 2)


def test_a_class_that_is_only_predicted_scores_zero_and_has_no_recall():
    counts = np.array([[6, 4, 0], [0, 0, 0], [0, 0, 0]])
    found = scores(counts)
    assert found.iou.tolist() == [60, 0]
    assert found.acc[0] == 60
    assert np.isnan(found.acc[1])
    assert found.miou == 30
    assert found.macc == 60


def test_a_class_predicted_on_void_alone_depends_on_the_rule():
    counts = np.array([[6, 0, 0], [0, 0, 0], [0, 4, 0]])
    assert np.isnan(scores(counts).iou[1])
    assert scores(counts, "false_positive").iou[1] == 0


def test_nothing_at_all_is_undefined_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = scores(np.zeros((2, 3, 3), np.int64))
    assert all(np.isnan(value) for value in (found.miou, found.macc, found.aacc))


def test_the_score_of_the_dataset_is_not_the_mean_over_images():
    counts = np.array([[[1, 1, 0], [0, 8, 0], [0, 0, 0]], [[9, 0, 0], [1, 0, 0], [0, 0, 0]]])
    together = scores(counts)
    assert together.iou.tolist() == pytest.approx([100 * 10 / 12, 100 * 8 / 10])
    apart = np.mean([scores(each).miou for each in counts])
    assert together.miou != pytest.approx(apart)
    assert together.miou == scores(counts.sum(axis=0)).miou


def test_counts_of_a_narrow_type_do_not_overflow():
    counts = np.full((300, 2, 2), 255, np.uint8)
    assert scores(counts).iou.tolist() == [50.0]


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 2, 3), (1, 1, 2, 2)])
def test_counts_of_another_shape(shape):
    with pytest.raises(ValueError, match="shape"):
        scores(np.zeros(shape, np.int64))


def test_an_unknown_rule_for_void():
    with pytest.raises(ValueError, match="'drop': ignore or false_positive"):
        scores(np.zeros((2, 2), np.int64), "drop")


@pytest.mark.parametrize("void", ["ignore", "false_positive"])
@pytest.mark.parametrize("classes", [1, 7, 8, 11, 150])
def test_many_at_a_time_have_the_scores_of_each_alone_to_the_last_bit(classes, void):
    rng = np.random.default_rng(classes)
    counts = rng.integers(0, 1000, (6, 4, classes + 1, classes + 1)) * (rng.random((6, 4, classes + 1, 1)) < 0.6)
    counts *= (rng.random((6, 4, 1, classes + 1)) < 0.6).astype(np.int64)
    iou = percent(*overlaps(counts, void))
    alone = [[scores(each, void) for each in row] for row in counts]
    np.testing.assert_array_equal(iou, [[each.iou for each in row] for row in alone])
    np.testing.assert_array_equal(mean_defined(iou), [[each.miou for each in row] for row in alone])
    assert [[each.miou for each in row] for row in alone] == pytest.approx(
        np.array([[np.mean([x for x in each.iou if x == x] or [np.nan]) for each in row] for row in alone]), nan_ok=True
    )


def test_intersections_and_unions_add_up():
    counts = np.random.default_rng(0).integers(0, 1000, (5, 4, 4))
    for found, expected in zip(overlaps(counts), overlaps(counts.sum(axis=0)), strict=True):
        np.testing.assert_array_equal(found.sum(axis=0), expected)


@pytest.mark.parametrize("block", [scores, marginals, overlaps])
def test_an_unknown_void_rule_is_refused_everywhere(block):
    with pytest.raises(ValueError, match="'none': ignore or false_positive"):
        block(np.eye(3, dtype=np.int64), "none")
