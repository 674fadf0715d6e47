import numpy as np
import pytest

from benchmark.analysis.class_changes import class_changes


def runs(rng, means, sd=0.3, seeds=3):
    return [{name: mean + rng.normal(0, sd) for name, mean in means.items()} for _ in range(seeds)]


def test_the_largest_loss_is_first_and_shown():
    rng = np.random.default_rng(0)
    means = dict(zip("abcdef", (80.0, 60.0, 40.0, 20.0, 10.0, 50.0), strict=True))
    found = class_changes(runs(rng, means), runs(rng, means | {"c": 30.0, "f": 58.0}))
    assert [found[0].name, found[-1].name] == ["c", "f"]
    assert found[0].interval[1] < -5
    assert found[-1].interval[0] > 5
    assert all(each.interval[0] < each.change < each.interval[1] for each in found)


def test_intervals_contain_the_true_change_as_often_as_they_say():
    rng = np.random.default_rng(1)
    means = dict.fromkeys("abcdefgh", 50.0)
    inside = [
        low < 0 < high for _ in range(200) for *_, (low, high) in class_changes(runs(rng, means), runs(rng, means))
    ]
    assert np.mean(inside) == pytest.approx(0.9, abs=0.03)


def test_one_seed_a_side_has_no_interval_and_absent_classes_no_row():
    found = class_changes([{"a": 50.0, "b": None}], [{"a": 40.0, "b": 10.0}])
    assert [(each.name, each.change, each.interval) for each in found] == [("a", -10.0, None)]
    assert class_changes([], [{"a": 1.0}]) == []
