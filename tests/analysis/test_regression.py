import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from benchmark.analysis.regression import compare, decide
from benchmark.results.summary import summarise
from benchmark.statistics.bootstrap import difference
from benchmark.statistics.variance import Variance


def no_counts(run):
    raise AssertionError(f"the counts of {run.run_id} were read")


UNREAD = {"base": no_counts, "new": no_counts}


@pytest.fixture
def make_side(make_record):
    """A builder of results: `make_side({architecture: [mIoU of each seed]}, first seed, ...)`."""

    def make(scores, first=0, **changes):
        template = summarise(make_record()[0])
        return [
            template._replace(
                architecture=name, method=name, seed=seed, run_id=f"{name}{seed}", miou_percent=score, **changes
            )
            for name, values in scores.items()
            for seed, score in enumerate(values, first)
        ]

    return make


def outcomes(comparison, figure="miou_percent"):
    return {each.architecture: each.outcome for each in comparison.changes if each.figure == figure}


def change(comparison, figure, architecture="enet"):
    (found,) = (each for each in comparison.changes if (each.figure, each.architecture) == (figure, architecture))
    return found


def around(mean, *deviations):
    return [mean + each for each in deviations]


def test_a_decision_is_students_test():
    """With the variance of the two samples themselves it is the t test of equal variances, shifted by the margin."""
    rng = np.random.default_rng(0)
    for margin, sizes in product((0.5, 1.0), ((10, 3), (2, 2), (5, 1))):
        base, new = (70 + rng.normal(0, 0.3, size) for size in sizes)
        df = sum(sizes) - 2
        pooled = sum(((each - each.mean()) ** 2).sum() for each in (base, new)) / df
        found = decide(base.tolist(), new.tolist(), Variance(pooled, df), margin)
        if min(sizes) > 1:
            shifted = stats.ttest_ind(new + margin, base, alternative="greater")
            assert found.p_margin == pytest.approx(shifted.pvalue, abs=1e-12)
            assert found.p_no_loss == pytest.approx(stats.ttest_ind(new, base, alternative="less").pvalue, abs=1e-12)
        error = math.sqrt(pooled * (1 / sizes[0] + 1 / sizes[1]))
        assert found.interval == pytest.approx(stats.t.interval(0.9, df, new.mean() - base.mean(), error), abs=1e-9)
        assert found.is_not_worse == (found.interval[0] > -margin)


def test_without_variance_a_decision_is_a_comparison():
    assert decide([70.0], [69.6], Variance(0.0, math.inf), 0.5).is_not_worse
    assert not decide([70.0], [69.4], Variance(0.0, math.inf), 0.5).is_not_worse
    assert decide([70.0], [69.9], Variance(0.0, math.inf)).p_no_loss == 0
    assert decide([70.0], [70.0], Variance(0.0, math.inf)).p_no_loss == 1


def test_the_three_outcomes(make_side):
    spread = (-0.2, 0.0, 0.2)
    base = make_side({name: around(70, *spread) for name in ("enet", "fcn", "pspnet", "unet")})
    new = make_side(
        {
            "enet": around(70.05, *spread),
            "fcn": around(68, *spread),
            "pspnet": around(69.7, *spread),
            "unet": around(72, *spread),
        },
        first=3,
    )
    found = compare(base, new, UNREAD)
    assert outcomes(found) == {"enet": "not worse", "fcn": "regression", "pspnet": "inconclusive", "unet": "not worse"}
    assert change(found, "miou_percent", "fcn").change == pytest.approx(-2)
    assert "a loss of more than 0.5 is shown" in change(found, "miou_percent", "fcn").reason
    assert "a loss of 0.5 is not ruled out" in change(found, "miou_percent", "pspnet").reason
    assert outcomes(compare(base, new, UNREAD, margin=1.0))["pspnet"] == "not worse"


def test_an_alarm_is_one_of_the_whole_table(make_side):
    """The same loss is shown where it is looked for alone, and not among forty that were looked at."""
    base, loss = around(70, -0.3, 0.0, 0.3), around(69.3, -0.3, 0.0, 0.3)
    names = [f"network{index}" for index in range(40)]
    rest = {name: around(70, -0.45, 0.05, 0.15 + index / 50) for index, name in enumerate(names)}
    alone = compare(make_side({"enet": base}), make_side({"enet": loss}, 3), UNREAD)
    among = compare(make_side({"enet": base} | rest), make_side({"enet": loss} | rest, 3), UNREAD)
    one, many = (
        float(change(each, "miou_percent").reason.partition("(p ")[2].split()[0].rstrip(")")) for each in (alone, among)
    )
    assert outcomes(alone)["enet"] == "worse"
    assert one < 0.05
    assert outcomes(among)["enet"] == "inconclusive"
    assert many > 0.05


def test_one_seed_a_side_decides_nothing(make_side):
    """Whatever the others' variances are, and however far the two are apart."""
    rest = {name: around(70, -0.2, 0.0, 0.2) for name in ("fcn", "pspnet", "unet")}
    counts = {"base": lambda run: counts_of(0.7), "new": lambda run: counts_of(0.66)}
    for others in ({}, rest):
        base, new = make_side({"enet": [70.0]} | others), make_side({"enet": [66.0]} | others, 5)
        found = change(compare(base, new, counts), "miou_percent")
        assert (found.outcome, found.change, found.alarm) == ("inconclusive", -4.0, None)
        assert found.reason == "one seed a side: needs a second, and the interval is of images only"
        error = difference([counts_of(0.7)], [counts_of(0.66)]).error
        assert found.interval == pytest.approx(stats.norm.interval(0.9, -4.0, error))


def test_one_seed_now_has_those_of_the_base_to_tell(make_side):
    rest = {name: around(70, -0.2, 0.0, 0.2) for name in ("fcn", "pspnet", "unet")}
    base, new = make_side({"enet": [70.0, 70.2, 69.9]} | rest), make_side({"enet": [66.0]} | rest, 5)
    assert outcomes(compare(base, new, UNREAD))["enet"] == "regression"


def test_the_interval_is_below_zero_exactly_where_a_loss_is_shown(make_side):
    rng = np.random.default_rng(0)
    seen = set()
    for trial in range(60):
        names = [f"net{index}" for index in range(trial % 4 + 1)]
        losses = rng.choice([0.0, 0.6, 1.5], len(names))
        base = make_side({name: (70 + rng.normal(0, 0.4, 3)).tolist() for name in names})
        new = make_side(
            {name: (70 - loss + rng.normal(0, 0.4, 3)).tolist() for name, loss in zip(names, losses, strict=True)},
            3,
        )
        for each in compare(base, new, UNREAD).changes:
            if each.figure == "miou_percent" and each.outcome != "not worse":
                assert (each.interval[1] < 0) == (each.outcome in ("worse", "regression"))
                assert (each.interval[1] < -0.5) == (each.outcome == "regression")
                seen.add(each.outcome)
    assert seen == {"worse", "regression", "inconclusive"}


def test_a_loss_that_all_share(make_side):
    """Of no architecture is it shown, and of all together it is."""
    rng = np.random.default_rng(3)
    names = [f"net{index}" for index in range(30)]
    base = make_side({name: (70 + rng.normal(0, 0.4, 3)).tolist() for name in names})
    new = make_side({name: (69.7 + rng.normal(0, 0.4, 3)).tolist() for name in names}, 3)
    found = compare(base, new, UNREAD)
    assert "worse" not in outcomes(found).values()
    assert found.overall.outcome == "worse"
    assert (found.overall.networks, found.overall.pairs) == (30, 30)
    assert found.overall.interval[0] < -0.3 < found.overall.interval[1] < 0
    assert compare(base[:3], new[:3], UNREAD).overall is None


@pytest.mark.parametrize("architectures", [1, 5, 46])
def test_an_unchanged_table_is_rarely_an_alarm(make_side, architectures):
    """At 5 %: of 300 tables 15, and no more than three standard errors above that."""
    rng = np.random.default_rng(architectures)
    template = make_side({"enet": [0.0]})[0]
    trials = 120 if architectures > 5 else 300
    alarms = 0
    for _ in range(trials):
        sides = [
            [
                template._replace(architecture=f"net{index}", seed=seed, run_id=f"{index}-{seed}", miou_percent=score)
                for index, scores in enumerate((70 + rng.normal(0, 0.4, (architectures, 3))).tolist())
                for seed, score in enumerate(scores, first)
            ]
            for first in (0, 3)
        ]
        found = compare(*sides, UNREAD)
        bad = {each.outcome for each in found.changes} | {found.overall.outcome if found.overall else ""}
        alarms += bool(bad & {"worse", "regression"})
    assert alarms <= 0.05 * trials + 3 * math.sqrt(0.05 * 0.95 * trials)


def test_what_would_have_been_an_alarm(make_side):
    """A loss of what is needed is shown, and one that is a little smaller is not."""
    rest = {f"net{index}": around(70, -0.5, 0.0, 0.5) for index in range(3)}
    base = make_side({"enet": around(70, -0.3, 0.1, 0.2)} | rest)
    moved = {name: [score + 0.01 * index for index, score in enumerate(scores)] for name, scores in rest.items()}
    needed = change(
        compare(base, make_side({"enet": around(70, -0.2, 0.2, 0.0)} | moved, 3), UNREAD), "miou_percent"
    ).alarm
    for factor, shown in (1.02, True), (0.98, False):
        new = make_side({"enet": around(70 - factor * needed, -0.2, 0.2, 0.0)} | moved, 3)
        assert (outcomes(compare(base, new, UNREAD))["enet"] in ("worse", "regression")) == shown


def test_the_seeds_that_it_takes(make_side):
    sides = [make_side({"enet": around(70, -0.3, 0.0, 0.3)}, first) for first in (0, 3)]
    sides[1][0] = sides[1][0]._replace(miou_percent=69.701)
    deviation = 0.3
    reach = stats.norm.ppf(0.95) + stats.norm.ppf(0.8)
    assert compare(*sides, UNREAD).seeds == math.ceil(2 * (deviation * reach / 0.5) ** 2 + 1)
    assert compare(sides[0], sides[0], UNREAD).seeds is None


def test_what_is_equal_to_the_last_digit_has_not_changed(make_side):
    base = make_side({"enet": [70.0, 71.0, 69.0]})
    same = compare(base, make_side({"enet": [70.0, 71.0]}), UNREAD)
    assert change(same, "miou_percent").outcome == "same"
    assert "2 seeds, equal to the last digit" in change(same, "miou_percent").reason
    assert "; 1 more of BASE not compared" in change(same, "miou_percent").reason
    assert (change(same, "miou_percent").base, change(same, "miou_percent").new) == (70.5, 70.5)  # what was compared
    all_of_them = change(compare(base, base, UNREAD), "miou_percent")
    assert (all_of_them.base, all_of_them.new, all_of_them.reason) == (70.0, 70.0, "3 seeds, equal to the last digit")
    swapped = compare(base, make_side({"enet": [71.0, 70.0]}), UNREAD)
    assert change(swapped, "miou_percent").outcome == "inconclusive"
    assert change(swapped, "miou_percent").change == pytest.approx(0.5)


def counts_of(quality, images=40, seed=0):
    """Counts of 3 classes, of images that differ in how hard they are."""
    rng = np.random.default_rng(seed)
    hard = rng.uniform(-0.2, 0.2, images)[:, None]
    truth = rng.integers(100, 900, (images, 3))
    hit = (truth * np.clip(quality + hard, 0, 1)).astype(np.int64)
    counts = np.zeros((images, 4, 4), dtype=np.int64)
    classes = np.arange(3)
    counts[:, classes, classes] = hit
    counts[:, classes, (classes + 1) % 3] = truth - hit
    return counts


def test_other_images_add_their_error(make_side):
    base, new = make_side({"enet": [70.0, 70.4, 70.2]}), make_side({"enet": [70.1, 70.3, 70.5]}, 3)
    counts = {"base": lambda run: counts_of(0.7), "new": lambda run: counts_of(0.72, seed=run.seed)}
    plain, wide = (change(compare(base, new, counts, images=each), "miou_percent") for each in (False, True))
    over_images = difference([counts_of(0.7)] * 3, [counts_of(0.72, seed=each) for each in (3, 4, 5)])
    variance = np.var([70.0, 70.4, 70.2], ddof=1) / 3 + np.var([70.1, 70.3, 70.5], ddof=1) / 3
    total = math.sqrt(variance + over_images.error**2)
    df = total**4 / (variance**2 / 4)
    assert wide.change == plain.change
    assert wide.interval == pytest.approx(stats.t.interval(0.9, df, plain.change, total), abs=1e-9)
    assert plain.interval[1] - plain.interval[0] < wide.interval[1] - wide.interval[0]


def test_runs_that_failed(make_side):
    base = make_side({"enet": [70.0, 70.2], "unet": [60.0, 60.2], "fcn": [50.0, 50.3]})
    down = make_side({"enet": [None, None]}, status="diverged")
    half = make_side({"unet": [60.1, 60.0]}, 2) + make_side({"unet": [None]}, 4, status="out_of_memory")
    found = compare(base, [*down, *half, *make_side({"fcn": [50.0, 50.3]})], UNREAD)
    assert change(found, "miou_percent").outcome == "regression"
    assert change(found, "miou_percent").reason == "no successful run: diverged"
    assert "1 of 3 runs failed" in change(found, "miou_percent", "unet").reason
    back = compare(down, base, UNREAD)
    assert change(back, "miou_percent").outcome == "not comparable"


@pytest.mark.parametrize("figure", ["params", "macs"])
@pytest.mark.parametrize(("by", "outcome"), [(0, "same"), (1, "regression"), (-1, "better"), (None, "not comparable")])
def test_what_is_counted_is_equal_or_not(make_side, figure, by, outcome):
    (base,) = make_side({"enet": [70.0]})
    count = getattr(base, figure)
    new = base._replace(**{figure: None if by is None else count + by})
    assert change(compare([base], [new], UNREAD), figure).outcome == outcome
    assert outcomes(compare([base._replace(**{figure: None})], [base._replace(**{figure: None})], UNREAD), figure) == {}


@pytest.mark.parametrize("figure", ["inference_memory_bytes", "training_memory_bytes"])
@pytest.mark.parametrize(
    ("share", "outcome"), [(1.0, "same"), (1.04, "not worse"), (1.06, "regression"), (0.9, "better")]
)
def test_memory_may_grow_a_little(make_side, figure, share, outcome):
    base = make_side({"enet": [70.0]})
    new = [run._replace(**{figure: round(share * getattr(run, figure))}) for run in base]
    assert change(compare(base, new, UNREAD), figure).outcome == outcome
    elsewhere = [run._replace(device="another") for run in new]
    assert change(compare(base, elsewhere, UNREAD), figure).outcome == "not comparable"


@pytest.mark.parametrize("figure", ["latency_ratio", "inference_memory_bytes", "training_memory_bytes"])
def test_costs_of_several_devices_are_not_compared_and_keep_no_budget(make_side, figure):
    """Not even where both sides have the same devices: what is averaged over them is of neither."""
    one, other = timed(make_side({"enet": [70.0, 70.0]}), 2.0)
    sides = [one, other._replace(device="another")]
    found = compare(sides, sides, UNREAD, budgets={figure: 1e12})
    rows = {each.gate: each for each in found.changes if each.figure == figure}
    assert {each.outcome for each in rows.values()} == {"not comparable"}
    assert rows["budget"].reason == "measured on several devices: Some CPU; another"
    assert len(rows) == 2
    found = change(compare([one], sides, UNREAD), figure)
    assert (found.outcome, found.new) == ("not comparable", None)
    assert "another, not Some CPU" in found.reason


def timed(runs, ratio, iqr=0.1, **changes):
    return [run._replace(latency_ratio=ratio, latency_ms=10.0, latency_iqr_ms=iqr, **changes) for run in runs]


@pytest.mark.parametrize(
    ("ratio", "iqr", "outcome"),
    [(2.0, 0.1, "not worse"), (2.5, 0.1, "regression"), (1.5, 0.1, "better"), (2.2, 5.0, "inconclusive")],
)
def test_latency_is_held_to_the_anchor(make_side, ratio, iqr, outcome):
    base = make_side({"enet": [70.0]})
    found = change(compare(timed(base, 2.0), timed(base, ratio, iqr), UNREAD), "latency_ratio")
    assert found.outcome == outcome
    assert found.change == pytest.approx(ratio / 2 - 1)
    assert found.interval[0] < found.change < found.interval[1]


def test_the_interval_of_a_latency_covers():
    """Medians of 50 normal times, the anchor's as well: 95 % of the intervals hold the true ratio."""
    rng = np.random.default_rng(0)
    from benchmark.analysis.regression import _log_ratio
    from benchmark.results.summary import Summary

    empty = Summary(*[None] * len(Summary._fields))
    hits, trials = 0, 2000
    for _ in range(trials):
        ends = []
        for _ in range(2):
            own, anchor = rng.normal(10, 0.5, 50), rng.normal(5, 0.25, 50)
            low, high = np.quantile(own, [0.25, 0.75])
            ends.append(
                _log_ratio(
                    [
                        empty._replace(
                            latency_ms=float(np.median(own)),
                            latency_iqr_ms=float(high - low),
                            latency_repeats=50,
                            latency_ratio=float(np.median(own) / np.median(anchor)),
                        )
                    ]
                )
            )
        (before, error), (now, other) = ends
        hits += abs(now - before) < 1.96 * math.hypot(error, other)
    assert 0.93 < hits / trials < 0.97


def test_runs_that_differ_by_more_than_their_repeats_tell_the_error(make_side):
    base, new = make_side({"enet": [70.0, 70.1]}), make_side({"enet": [70.0, 70.1]})
    far = [timed([run], ratio)[0] for run, ratio in zip(new, (1.8, 2.4), strict=True)]
    near = change(compare(timed(base, 2.0), timed(new, 2.1), UNREAD), "latency_ratio").interval
    wide = change(compare(timed(base, 2.0), far, UNREAD), "latency_ratio").interval
    assert wide[1] - wide[0] > 3 * (near[1] - near[0])


@pytest.mark.parametrize(
    ("changes", "outcome", "why"),
    [
        ({"device": "another"}, "not comparable", "timed with another, not Some CPU"),
        ({"latency_setting": "batch 2"}, "not comparable", "timed with batch 2, not"),
        ({"latency_unsteady": "it drifted"}, "inconclusive", "it drifted"),
    ],
)
def test_times_that_do_not_compare(make_side, changes, outcome, why):
    base = timed(make_side({"enet": [70.0]}), 2.0)
    found = change(compare(base, [run._replace(**changes) for run in base], UNREAD), "latency_ratio")
    assert found.outcome == outcome
    assert why in found.reason


def test_a_time_that_is_not_there(make_side):
    timed_side = make_side({"enet": [70.0]})
    untimed = [run._replace(latency_ratio=None) for run in timed_side]
    assert change(compare(timed_side, untimed, UNREAD), "latency_ratio").reason == "not timed in NEW"
    assert change(compare(untimed, timed_side, UNREAD), "latency_ratio").reason == "not timed in BASE"
    assert outcomes(compare(untimed, untimed, UNREAD), "latency_ratio") == {}


def test_missing_architectures_are_named(make_side):
    found = compare(make_side({"enet": [70.0], "fcn": [60.0]}), make_side({"enet": [70.0], "unet": [50.0]}), UNREAD)
    assert [(each.architecture, each.side) for each in found.missing] == [("fcn", "base"), ("unet", "new")]
    assert outcomes(found) == {"enet": "same", "fcn": "missing"}


def test_fewer_seeds_and_more_failures_are_missing_results(make_side):
    base = make_side({"enet": [70.0, 71.0, 69.0]})
    lost = compare(base, make_side({"enet": [70.0, 71.0]}), UNREAD)
    assert [(each.side, each.reason) for each in lost.missing] == [("base", "2 of 3 seeds")]
    failed = make_side({"enet": [None, None]}, 1, status="diverged")
    half = compare(base, [*make_side({"enet": [70.0]}), *failed], UNREAD)
    assert [each.reason for each in half.missing] == ["1 of 3 seeds; 2 of 3 runs failed, 0 before"]
    assert change(half, "miou_percent").reason.endswith("2 of 3 runs failed")
    more = compare(
        make_side({"enet": [70.0, 71.0]}), [*base, *make_side({"enet": [None]}, 3, status="diverged")], UNREAD
    )
    assert [each.reason for each in more.missing] == ["1 of 4 runs failed, 0 before"]
    assert compare(base, make_side({"enet": [70.0, 71.0, 69.0, 68.0]}), UNREAD).missing == []


def test_budgets(make_side):
    (base,) = make_side({"enet": [70.0]})
    budgets = {"params": base.params, "macs": base.macs - 1, "latency_ratio": 2.0}
    found = compare([base], [base._replace(latency_ratio=None)], UNREAD, budgets=budgets)
    assert {each.figure: each.outcome for each in found.changes if each.gate == "budget"} == {
        "params": "not worse",
        "macs": "regression",
        "latency_ratio": "not comparable",
    }


def test_different_fingerprints_are_not_compared_and_the_axis_is_named(make_record):
    def side(*overrides, protocol="shapes_64x64_smoke"):
        return [summarise(make_record(overrides=each, protocol=protocol)[0]) for each in overrides]

    found = compare(side({"iterations": 3}, {}), side({"iterations": 4}, {}), UNREAD)
    assert len(outcomes(found)) == 1
    assert [(each.side, dict(each.differs)) for each in found.apart] == [
        ("base", {"schedule.iterations": (3, 30)}),
        ("new", {"schedule.iterations": (4, 30)}),
    ]
    (one,) = compare(side({}), side({}, protocol="camvid_360x480_scratch"), UNREAD).apart[:1]
    assert (one.protocol, one.other, dict(one.differs)) == ("shapes_64x64_smoke", None, {})


def test_an_older_run_of_the_same_seed_does_not_count(make_side):
    old = make_side({"enet": [10.0]}, version="0.0.9", started="2020-01-01T00:00:00+00:00")
    base = make_side({"enet": [70.0]})
    assert change(compare([*old, *base], base, UNREAD), "miou_percent").outcome == "same"
