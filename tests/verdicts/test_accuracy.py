import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from benchmark.analysis.ranking import groups
from benchmark.statistics.variance import moderate
from benchmark.verdicts.accuracy import Sample, _readings, _tested, samples, verdict, verdicts

ROUNDING = 0.01 / math.sqrt(12)


@pytest.fixture
def judge(invent_run, invent_reference):
    """The verdict on a figure of 60.00 that one run gave, given our scores of its network and of others."""

    def of(scores, others=(), **stated):
        runs = [invent_run("net", seed, miou) for seed, miou in enumerate(scores)]
        for index, other in enumerate(others):
            runs += [invent_run(f"other{index}", seed, miou) for seed, miou in enumerate(other)]
        (found,) = verdicts(runs, [invent_reference(60.0, **stated)])
        return found

    return of


def held(scores, variance, published):
    """The interval and what follows from it, for one published run."""
    sample = Sample("camvid", None, scores.tolist(), variance, 46)
    stated = SimpleNamespace(value=published, decimals=2, selection="single", runs=1, protocol=SimpleNamespace(void=""))
    return _tested(stated, _readings(stated, sample), variance, 1.0, 0.05)


def spread(deviation, times=40):
    """Scores of other architectures, three seeds each, every one of that deviation."""
    return [(50 - deviation, 50, 50 + deviation)] * times


def test_by_hand(judge):
    """Own variance alone: a t interval with the noise of one published run, and of its two decimals."""
    scores = [60.2, 60.0, 60.4]
    found = judge(scores)
    variance = np.var(scores, ddof=1) * (1 / 3 + 1)
    error = math.sqrt(variance + ROUNDING**2)
    reach = stats.t.ppf(0.95, 2 * error**4 / variance**2) * error
    assert found.measured == pytest.approx(60.2)
    assert found.difference == pytest.approx(100 * 0.2 / 60)
    assert found.interval == pytest.approx((0.2 - reach, 0.2 + reach), abs=1e-9)
    assert (found.outcome, found.margin, found.further_seeds) == ("reproduced", 1.0, None)
    assert found.protocol == "camvid_360x480"
    assert found.reason == "3 seeds, deviation 0.20; against one run"


def test_the_other_architectures_tell_the_noise(judge):
    """The deviation is 0.3 for all, so that what three seeds show of it hardly counts any more."""
    found = judge([60.0, 60.05, 60.1], spread(0.3))
    (variance, df), *_ = moderate([0.05**2] + [0.09] * 40, [2] * 41)
    error = math.sqrt(variance * 4 / 3 + ROUNDING**2)
    assert df == 80  # of the others' 80, and two of its own, one of forty is the price of the scale
    assert found.interval[1] - 0.05 == pytest.approx(stats.t.ppf(0.95, df) * error, rel=1e-3)
    assert "from 41 architectures" in found.reason


@pytest.mark.parametrize(
    ("score", "outcome", "word"),
    [(60.3, "reproduced", ""), (61.0, "inconclusive", ""), (62.0, "differs", "above"), (58.0, "differs", "below")],
)
def test_outcomes(judge, score, outcome, word):
    found = judge([score - 0.3, score, score + 0.3], spread(0.3))
    assert found.outcome == outcome
    assert found.reason.startswith(word)


def test_one_seed_shows_nothing(judge):
    """Not even beside others that are all alike: nothing tells that this one is like them."""
    for others, further in (spread(0.1), 1), ((), 1), (spread(0.5), 5):
        found = judge([60.1], others)
        assert (found.outcome, found.interval, found.further_seeds) == ("inconclusive", None, further)
        assert found.reason.startswith("one seed: needs a second")


def test_runs_that_failed(invent_run, invent_reference):
    (found,) = verdicts([invent_run(status="diverged", miou=None)], [invent_reference()])
    assert (found.outcome, found.measured, found.further_seeds) == ("inconclusive", None, None)
    assert found.reason == "no successful run"


def test_further_seeds_are_the_fewest_that_settle_it(judge, invent_run, invent_reference):
    """Twice as many scores of the same mean, and so on: with so many more it is settled, with one fewer it is not."""
    near = judge([60.1, 60.6, 61.1], spread(0.5, 5), runs=20, selection="mean")
    assert near.outcome == "inconclusive"
    variance = moderate([0.25] * 6, [2] * 6)[0]

    def reach(seeds):
        training = variance.value * (1 / seeds + 1 / 20)
        df = (variance.df + seeds - 3) * (training + ROUNDING**2) ** 2 / training**2
        return stats.t.ppf(0.95, df) * math.sqrt(training + ROUNDING**2)

    settled = 3 + near.further_seeds
    assert 0.6 + reach(settled) < 1 < 0.6 + reach(settled - 1)


def test_noise_of_the_reference_that_no_seed_of_ours_removes(judge):
    found = judge([60.5, 60.8, 61.1], spread(0.3))
    assert (found.outcome, found.further_seeds) == ("inconclusive", None)
    assert found.reason.startswith("limited by the reference's variance; 3 seeds")


def test_the_best_of_several_is_lowered_by_what_chance_has_raised_it(judge):
    scores, others = [59.4, 59.7, 60.0], spread(0.3)
    best = judge(scores, others, runs=5, selection="best")
    single = judge(scores, others)
    raised = 1.1629644736 * math.sqrt(moderate([0.09] * 41, [2] * 41)[0].value)  # of 5: Tippett 1925
    rng = np.random.default_rng(0)
    draws = rng.standard_normal((3, 400_000)).mean(axis=0) - rng.standard_normal((5, 400_000)).max(axis=0)
    variance = moderate([0.09] * 41, [2] * 41)[0]
    draws *= math.sqrt(variance.value) / np.sqrt(rng.chisquare(variance.df, 400_000) / variance.df)
    assert best.interval == pytest.approx(-0.3 - np.quantile(draws, [0.95, 0.05]), abs=5e-3)
    assert sum(single.interval) / 2 == pytest.approx(-0.3, abs=1e-9)
    assert best.published == 60.0
    assert f"the best of 5 runs, {raised:.2f} above their mean" in best.reason


def test_the_best_of_nobody_knows_how_many(judge):
    found = judge([60.0, 60.1, 60.2], spread(0.3), runs=None, selection="best")
    assert (found.outcome, found.further_seeds) == ("inconclusive", None)
    assert found.reason.startswith("limited by the reference's variance")


def test_the_mean_of_several_is_less_noisy(judge):
    scores, others = [60.0, 60.3, 60.6], spread(0.3)
    mean, single = judge(scores, others, runs=10, selection="mean"), judge(scores, others)
    assert mean.interval[1] < single.interval[1]
    unknown = judge(scores, others, runs=None, selection="mean")
    assert unknown.interval == single.interval


def test_an_unknown_selection_must_not_decide(judge):
    """As one run it is reproduced, and as the best of five it is not: nobody knows."""
    others = spread(0.3)
    for shift, outcome in (-0.1, "reproduced"), (0.3, "inconclusive"), (-0.55, "inconclusive"), (2.3, "differs"):
        scores = [60.0 + shift, 60.3 + shift, 59.7 + shift]
        single, best = judge(scores, others), judge(scores, others, runs=5, selection="best")
        unknown = judge(scores, others, runs=None, selection="unknown")
        both = [single.interval, best.interval]
        if outcome != "differs":
            assert unknown.interval == (min(low for low, _ in both), max(high for _, high in both))
        assert unknown.outcome == outcome
        assert ("depends on what the source does not state" in unknown.reason) == (outcome == "inconclusive")
        assert "against one run and against the best of 5 runs" in unknown.reason


def test_a_void_rule_that_is_not_said_must_not_decide(invent_run, invent_reference):
    runs = [
        invent_run("net", seed, 60.0 + seed / 10)._replace(miou_void_counted_percent=61.5 + seed / 10)
        for seed in range(3)
    ]
    (said,) = verdicts(runs, [invent_reference(60.0)])
    (unsaid,) = verdicts(runs, [invent_reference(60.0, void=None)])
    assert said.outcome == "reproduced"
    assert unsaid.outcome == "inconclusive"
    assert unsaid.interval == pytest.approx((said.interval[0], said.interval[1] + 1.5))


def test_a_noisy_network_among_quiet_ones(judge):
    """Three seeds whose spread is seven times the others': the interval is that of its own seeds."""
    found = judge([57.0, 60.5, 63.8], spread(0.5))
    assert found.outcome == "inconclusive"
    assert found.interval == judge([57.0, 60.5, 63.8]).interval
    assert "deviation 3.40 of its own" in found.reason


def test_two_seeds_accuse_nobody(judge):
    """They agree by chance where each is far off, too."""
    assert judge([62.0, 62.3], spread(0.3)).outcome == "inconclusive"
    assert judge([62.0, 62.3, 62.1], spread(0.3)).outcome == "differs"
    assert judge([60.0, 60.3], spread(0.3)).outcome == "reproduced"


def test_seeds_that_were_added_are_tested_at_what_is_left_of_the_level(invent_run, invent_reference):
    def runs(looks):
        return [invent_run("net", seed, 60.0 + seed / 5)._replace(looks=looks * (seed == 2)) for seed in range(3)]

    def width(looks, **sequential):
        (found,) = verdicts(runs(looks), [invent_reference(60.0)], **sequential)
        return found.interval[1] - found.interval[0], found.reason

    once, reason = width(0)
    assert "added" not in reason
    for looks, level in (0, 0.025), (1, 0.0125), (2, 0.00625):
        wide, reason = width(looks, sequential=True)
        assert wide / once == pytest.approx(stats.t.ppf(1 - level, 2) / stats.t.ppf(0.95, 2), rel=1e-3)
        if looks:
            assert width(looks) == (wide, reason)
            assert f"each side is tested at {100 * level:.3g} %" in reason


@pytest.mark.parametrize("architectures", [5, 46])
def test_errors_of_a_network_that_is_unlike_the_others(architectures):
    """Deviation 3.4 among 0.5, nothing between ours and theirs: `experiments/power.py` has the other cases."""
    rng = np.random.default_rng(architectures)
    deviations = np.full((architectures, 1), 0.5)
    deviations[0] = 3.4
    sigma, trials, missed, accused = 3.4, 300, 0, 0
    for _ in range(trials):
        scores = 60 + deviations * rng.standard_normal((architectures, 3))
        variance = moderate(scores.var(axis=1, ddof=1).tolist(), [2] * architectures)[0]
        low, high, finding = held(scores[0], variance, 60 + sigma * rng.standard_normal())
        missed += not low <= 0 <= high
        accused += finding.startswith("differs")
    assert missed < 0.15 * trials  # the nominal 10 %, and three standard errors
    assert accused < 0.09 * trials


def test_few_decimals_are_noise(judge):
    scores, others = [60.0, 60.3, 60.6], spread(0.3)
    assert judge(scores, others, decimals=0).interval[1] > judge(scores, others).interval[1] + 0.05


def test_what_the_source_does_not_say_is_in_the_reason(judge):
    assert judge([60.0, 60.1], void=None, crop=None).reason.endswith("; not stated: crop, void")


def test_not_comparable(judge):
    found = judge([60.0, 60.1], split="val", pretraining="imagenet")
    assert (found.outcome, found.measured, found.interval, found.margin) == ("not comparable", None, None, None)
    assert found.reason == "split: val, ours test; pretraining: imagenet, ours none"


def test_class_accuracy_is_held_against_class_accuracy(invent_run, invent_reference):
    runs = [invent_run(seed=seed) for seed in range(3)]
    published = invent_reference(70.0, metric="macc")
    assert [each.outcome for each in verdicts(runs, [published])] == ["not comparable"]
    (found,) = verdicts(runs, [published], metric="macc")
    assert (found.outcome, found.measured) == ("reproduced", 70.0)


def test_a_margin_of_ones_own(invent_run, invent_reference):
    runs = [invent_run(seed=seed, miou=60.5 + seed / 10) for seed in range(3)]
    (sample,) = samples(groups(runs)[0])
    assert verdict(invent_reference(), sample, margin=2.0).outcome == "reproduced"
    assert verdict(invent_reference(), sample, margin=0.5).outcome == "inconclusive"


def test_a_row_for_every_protocol_on_the_dataset_and_none_for_others(invent_run, invent_reference):
    runs = [invent_run("net"), invent_run("net", overrides={"max_iters": 10}, schedule={"iterations": 10})]
    runs[1] = runs[1]._replace(conditions=runs[1].conditions._replace(fingerprint="1" * 16))
    references = [invent_reference(), invent_reference(name="zoo", architecture="mmseg:net", ours="net")]
    references += [invent_reference(architecture="unknown"), invent_reference(dataset="ade20k")]
    found = verdicts(runs, references)
    assert [(each.protocol, each.reference) for each in found] == [
        ("camvid_360x480", "net-miou"),
        ("camvid_360x480", "zoo"),
        ("camvid_360x480 with max_iters = 10", "net-miou"),
        ("camvid_360x480 with max_iters = 10", "zoo"),
    ]
    assert {each.architecture for each in found} == {"net"}
    assert [each.reason for each in found[2:]] == ["iterations: 1000, ours 10"] * 2
