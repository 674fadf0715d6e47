import numpy as np
import pytest

from benchmark.analysis.marks import pareto
from benchmark.analysis.ranking import ranking

SETTING = "end_to_end, batch 1, float32"

SPREAD = np.array([-1.0, 0.0, 1.0])
"""Of deviation 1."""

TIMES = [("a", 10.0), ("b", 10.02), ("c", 12.0)]


@pytest.fixture
def board(invent_run):
    """Ranks networks: of each a name, the scores of its seeds, and columns of all of its results."""

    def rank(*networks):
        timed = {"latency_iqr_ms": 0.1, "latency_repeats": 50, "latency_setting": SETTING}
        runs = [
            invent_run(name, seed, float(score))._replace(**timed | columns)
            for name, scores, columns in networks
            for seed, score in enumerate(scores)
        ]
        return {row.architecture: row for row in ranking(runs)}

    return rank


def marked(rows, column, kind="best"):
    return {name for name, row in rows.items() if column in getattr(row, kind).split()}


def timed(times=TIMES, **columns):
    """Networks of these times, the more accurate the slower; `columns` holds by name what is unlike of one."""
    return [
        (name, [50.0 + ms], {"latency_ms": ms, "latency_ratio": ms / 10} | columns.get(name, {})) for name, ms in times
    ]


def test_all_that_share_the_first_rank_are_the_best(board):
    rows = board(("a", 32.96 + 0.37 * SPREAD, {}), ("b", 32.49 + 1.33 * SPREAD, {}), ("c", 32.33 + 0.71 * SPREAD, {}))
    assert [(row.rank, row.ranks) for row in rows.values()] == [(1, "1-3"), (2, "1-3"), (3, "1-3")]
    assert marked(rows, "miou_percent") == {"a", "b", "c"}


def test_the_best_alone_where_it_is_separated(board):
    rows = board(("a", 70 + SPREAD, {}), ("b", 50 + SPREAD, {}), ("c", 30 + SPREAD, {}))
    assert [(row.ranks, row.rank_low, row.rank_high) for row in rows.values()] == [
        ("1", 1, 1),
        ("2", 2, 2),
        ("3", 3, 3),
    ]
    assert marked(rows, "miou_percent") == {"a"}


def test_other_accuracies_have_tests_of_their_own(invent_run):
    runs = [
        invent_run(name, seed, 60.0 + step)._replace(macc_percent=macc + step)
        for name, macc in (("a", 40.0), ("b", 60.0), ("c", 80.0))
        for seed, step in enumerate(SPREAD.tolist())
    ]
    rows = {row.architecture: row for row in ranking(runs)}
    assert marked(rows, "macc_percent") == {"c"}
    assert marked(rows, "miou_percent") == {"a", "b", "c"}


def test_a_single_seed_is_no_best(board):
    rows = board(("a", 60 + SPREAD, {}), ("b", 40 + SPREAD, {}), ("c", [90.0], {}))
    assert rows["c"].ranks == "1-3"
    assert marked(rows, "miou_percent") == {"a"}


def test_of_what_is_counted_the_least_is_the_best(board):
    rows = board(("a", [1.0], {"params": 10}), ("b", [2.0], {"params": 11}), ("c", [3.0], {"params": 10}))
    assert marked(rows, "params") == {"a", "c"}
    assert marked(board(("a", [1.0], {"params": 10}), ("b", [2.0], {"params": 10})), "params") == set()
    assert marked(board(("a", [1.0], {"params": 10})), "params") == set()


@pytest.mark.parametrize("column", ["latency_ms", "latency_ratio"])
def test_latencies_are_the_best_whose_intervals_reach_the_least(board, column):
    rows = board(*timed())
    assert marked(rows, column) == {"a", "b"}
    assert marked(rows, column, "front") == {"a", "b", "c"}


@pytest.mark.parametrize("column", ["latency_ms", "latency_ratio"])
def test_what_is_unsteady_is_neither_bold_nor_on_the_front(board, column):
    rows = board(*timed(b={"latency_unsteady": "it drifted"}))
    assert marked(rows, column) == {"a"}
    assert marked(rows, column, "front") == {"a", "c"}
    assert rows["b"].latency_unsteady == "it drifted"


@pytest.mark.parametrize("column", ["latency_ms", "latency_ratio"])
def test_nothing_is_the_fastest_beside_an_unsteady_time_that_is_shorter(board, column):
    rows = board(*timed([("a", 5.0), ("b", 10.0), ("c", 12.0)], a={"latency_unsteady": "it drifted"}))
    assert marked(rows, column) == set()
    assert marked(rows, column, "front") == {"b", "c"}


@pytest.mark.parametrize(
    "unlike",
    [
        {"device": "another"},
        {"latency_setting": "end_to_end, batch 1, bfloat16"},
        {"device": "another", "latency_setting": "device, batch 8, float32"},
    ],
)
def test_nothing_is_marked_across_devices_settings_or_precisions(board, unlike):
    rows = board(*timed(b=unlike))
    for column in ("latency_ms", "latency_ratio"):
        assert marked(rows, column) == marked(rows, column, "front") == set()


def test_a_time_that_does_not_say_how_much_it_spread_is_not_marked(board):
    assert marked(board(*timed(b={"latency_iqr_ms": None})), "latency_ms") == {"a"}


def test_one_unsteady_seed_is_enough(invent_run):
    columns = {"latency_iqr_ms": 0.1, "latency_repeats": 50, "latency_setting": SETTING, "latency_ratio": 1.0}
    runs = [
        invent_run("a", 0)._replace(**columns, latency_ms=5.0),
        invent_run("a", 1)._replace(**columns, latency_ms=5.0, latency_unsteady="it drifted"),
        invent_run("b", 0)._replace(**columns, latency_ms=9.0),
    ]
    assert marked({row.architecture: row for row in ranking(runs)}, "latency_ms") == set()


def test_memory_is_marked_on_one_device_within_its_noise(board):
    def networks(**columns):
        sizes = [("a", 100), ("b", 104), ("c", 120)]
        return [(name, [60.0], {"inference_memory_bytes": size} | columns.get(name, {})) for name, size in sizes]

    assert marked(board(*networks()), "inference_memory_bytes") == {"a", "b"}
    assert marked(board(*networks(c={"device": "another"})), "inference_memory_bytes") == set()


def test_what_is_on_no_front_keeps_others_from_it(board):
    rows = board(
        ("a", [60.0], {"latency_ms": 5.0, "latency_unsteady": "it drifted"}),
        ("b", [50.0], {"latency_ms": 9.0}),
        ("c", [70.0], {"latency_ms": 20.0}),
    )
    assert marked(rows, "latency_ms", "front") == {"c"}


def test_the_front_against_its_definition():
    rng = np.random.default_rng(0)
    points = [
        (None if rng.random() < 0.1 else float(rng.integers(12)), None if rng.random() < 0.1 else int(rng.integers(12)))
        for _ in range(60)
    ]
    known = [point for point in points if None not in point]
    assert pareto(points) == [
        (s, c) in known and not any(t >= s and d <= c and (t > s or d < c) for t, d in known) for s, c in points
    ]
    assert 0 < sum(pareto(points)) < 60
