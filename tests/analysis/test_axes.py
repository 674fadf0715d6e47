from benchmark.analysis.axes import differing, flat


def test_flat_names_every_leaf():
    tree = {"a": {"b": 1, "c": [{"d": 2}, {"d": 3}]}, "size": [3, 4], "none": None, "empty": {}}
    assert dict(flat(tree)) == {"a.b": 1, "a.c.0.d": 2, "a.c.1.d": 3, "size": [3, 4], "none": None, "empty": {}}


def test_what_differs_is_named_with_both_values():
    here = {"data": {"digest": "a", "splits": [3, 4]}, "batch": 8, "crf": True}
    there = {"data": {"digest": "b", "splits": [3, 4]}, "batch": 8, "flip": False}
    assert differing(here, there) == {"data.digest": ("a", "b"), "crf": (True, None), "flip": (None, False)}
    assert differing(here, here) == {}
