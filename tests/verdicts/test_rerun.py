"""A result and the same run made again."""

import numpy as np
import pytest
from scipy import stats

from benchmark.results.record import Artifact
from benchmark.results.summary import summarise
from benchmark.verdicts.rerun import BAND, Band, band, environment_differences, mismatches, must_be_equal, reproduction

ALLOWED = Band(0.5, "as tests will have it")


@pytest.fixture
def made(make_record):
    """A result with the hashes of its weights, and its arrays; `changes` are of its environment."""

    def make(*, quality=0.7, weights="a", changes=None, **fields):
        record, arrays = make_record(quality=quality)
        artifact = Artifact(name="checkpoint_last", file=None, bytes=1, sha256=weights * 64)
        environment = record.environment.model_copy(update=changes or {})
        update = {"artifacts": [artifact], "environment": environment, **fields}
        return record.model_copy(update=update), arrays

    return make


def differing(found):
    return [figure.name for figure in found.figures if figure.differs]


def test_an_equal_run_is_reproduced_bitwise_wherever_it_was_made(made):
    (then, old), (now, new) = made(), made(changes={"cpu": "Another"})
    found = reproduction(then, now, old, new, ALLOWED)
    assert (found.bitwise, found.reproduced, found.difference) == (True, True, 0)
    assert differing(found) == []
    assert environment_differences(then, now) == {"cpu": ("Some CPU", "Another")}


def test_the_order_of_the_images_does_not_matter(made):
    (then, old), (now, new) = made(), made()
    turned = {**new, **{name: new[name][::-1] for name in ("names_test", "last_test", "best_test")}}
    assert reproduction(then, now, old, turned, ALLOWED).bitwise


def test_on_the_same_processor_nothing_less_than_bitwise_will_do(made):
    (then, old), (now, new) = made(), made(weights="b")
    found = reproduction(then, now, old, new, ALLOWED)
    assert differing(found) == ["checkpoint last"]
    assert (found.bitwise, found.reproduced) == (False, False)
    assert "must be equal" in found.reason


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"code": None}, True),
        ({"cpu": "Another"}, False),
        ({"threads": 8}, False),
        ({"packages": {"torch": "2.14"}}, False),
        ({"deterministic": False}, False),
    ],
)
def test_what_must_be_equal(made, changes, expected):
    assert must_be_equal(made()[0].environment, made(changes=changes)[0].environment) is expected
    on_gpu = {"device": "cuda"}
    assert not must_be_equal(made(changes=on_gpu)[0].environment, made(changes=on_gpu)[0].environment)


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        ("a" * 64, "a" * 64, "must be equal"),
        (None, "a" * 64, "must be equal"),
        ("b" * 64, "a" * 64, "has changed since"),
    ],
)
def test_code_that_is_known_to_be_other_need_not_agree_to_the_last_bit(made, then, now, expected):
    code = made()[0].environment.code
    (was, old), (found, new) = (
        made(quality=quality, changes={"code": code.model_copy(update={"digest": digest})})
        for quality, digest in ((0.7, then), (0.75, now))
    )
    assert expected in reproduction(was, found, old, new, Band(40.0, "why")).reason


@pytest.mark.parametrize(("points", "expected"), [(0.5, False), (40.0, True)])
def test_elsewhere_the_band_decides(made, points, expected):
    (then, old), (now, new) = made(), made(quality=0.75, changes={"cpu": "Another"})
    found = reproduction(then, now, old, new, Band(points, "why"))
    assert (found.bitwise, found.reproduced) == (False, expected)
    assert found.difference == now.evaluation().miou - then.evaluation().miou
    assert {"mIoU of last on test", "counts of last on test"} <= set(differing(found))
    assert "why" in found.reason


def test_counts_are_compared_image_by_image(made):
    (then, old), (now, new) = made(), made()
    last = new["last_test"].copy()
    last[2, 0, 0] -= 3
    last[2, 0, 1] += 3
    found = reproduction(then, now, old, new | {"last_test": last}, ALLOWED)
    (figure,) = (figure for figure in found.figures if figure.differs)
    assert (figure.name, figure.differs) == ("counts of last on test", "1 images, 3 pixels")


@pytest.mark.parametrize("cut", [False, True])
def test_curves_say_where_they_part(made, cut):
    (then, old), (now, new) = made(), made()
    loss = then.training.loss
    changed = loss[:3] if cut else [*loss[:3], (loss[3][0], 9.0), *loss[4:]]
    now = now.model_copy(update={"training": now.training.model_copy(update={"loss": changed})})
    found = reproduction(then, now, old, new, ALLOWED)
    (figure,) = (figure for figure in found.figures if figure.differs)
    assert (figure.name, figure.differs) == ("loss", f"from iteration {loss[3][0]} on")


def test_the_band_is_that_of_two_seeds(make_record):
    """Of one architecture alone: 95 % of the differences of two draws, their deviation learned from three."""
    records = [make_record("enet", seed, quality)[0] for seed, quality in enumerate((0.6, 0.63, 0.66))]
    scores = [record.evaluation().miou for record in records]
    found = band(records[0], [summarise(record) for record in records[1:]])
    expected = stats.t.ppf(0.975, 2) * np.sqrt(2) * np.std(scores, ddof=1)
    assert found.points == pytest.approx(expected)
    assert f"deviation is {np.std(scores, ddof=1):.2f}" in found.source


def test_a_single_seed_borrows_the_band_of_the_other_architectures(make_record):
    others = [
        summarise(make_record(name, seed, quality)[0])
        for name in ("enet", "unet")
        for seed, quality in enumerate((0.6, 0.63, 0.66))
    ]
    assert band(make_record("espnet")[0], others).source != band(make_record("espnet")[0], []).source
    assert band(make_record("espnet")[0], []).points == BAND
    other_protocol = [summarise(make_record("espnet", seed, overrides={"max_iters": 3})[0]) for seed in range(3)]
    assert band(make_record("espnet")[0], other_protocol).points == BAND


def test_what_is_not_the_same_run_is_told_axis_by_axis(make_record):
    then, now = make_record(config="0" * 64)[0], make_record(overrides={"iterations": 3}, config="1" * 64)[0]
    assert mismatches(then, then) == []
    lines = mismatches(then, now)
    assert lines[0] == "schedule.iterations is 30 in the result, and 3 here"
    assert "hash of its config was 000000000000, and is 111111111111" in lines[1]
    assert mismatches(then, make_record(version="9", config="0" * 64)[0]) == []
