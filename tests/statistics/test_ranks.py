import numpy as np
import pytest
from scipy.stats import ttest_ind

from benchmark.statistics.ranks import Range, ranges


def scores(mean, deviation, seeds=3):
    """Scores of exactly that mean and sample deviation."""
    steps = np.linspace(-1, 1, seeds)
    return (mean + deviation * steps / steps.std(ddof=1)).tolist()


def test_what_is_not_separated_shares_its_ranks():
    found = ranges([scores(32.96, 0.37), scores(32.49, 1.33), scores(32.33, 0.71)])
    assert found == [Range(1, 3, True)] * 3


def test_what_is_well_separated_has_a_rank_of_its_own():
    found = ranges([scores(50, 0.5), scores(70, 0.4), scores(60, 0.6)])
    assert found == [Range(3, 3, True), Range(1, 1, True), Range(2, 2, True)]


def test_two_at_the_top_and_one_below():
    found = ranges([scores(70, 0.5), scores(69.8, 0.6), scores(50, 0.4)])
    assert found == [Range(1, 2, True), Range(1, 2, True), Range(3, 3, True)]


def test_a_single_seed_has_no_rank_and_widens_those_of_the_others():
    found = ranges([scores(70, 0.5), scores(60, 0.5), scores(50, 0.5), [20.0]])
    assert found == [Range(1, 2, True), Range(2, 3, True), Range(3, 4, True), Range(1, 4, False)]


@pytest.mark.parametrize("given", [[], [[60.0]], [[60.0, 61.0]], [[60.0], [40.0]], [[60.0, 61.0], [40.0]]])
def test_with_less_than_two_deviations_nothing_is_tested(given):
    assert ranges(given) == [Range(1, len(given), False)] * len(given)


def test_scores_that_agree_to_the_last_digit():
    assert ranges([[60.0, 60.0]] * 2) == [Range(1, 2, True)] * 2


def test_two_alone_are_told_apart_by_welchs_test():
    """They have no others to learn a deviation from."""
    rng = np.random.default_rng(0)
    outcomes = set()
    for gap in np.linspace(0, 6, 60):
        first, second = rng.normal(0, 1, 3), rng.normal(gap, 1, 3)
        separated = bool(ttest_ind(first, second, equal_var=False).pvalue <= 0.05)
        assert (max(each.low for each in ranges([first.tolist(), second.tolist()])) == 2) == separated
        outcomes.add(separated)
    assert outcomes == {False, True}


def test_the_true_best_is_covered():
    """Among equals every separation is wrong: it happens in at most 5 % of the leaderboards, of which 400 are drawn."""
    rng = np.random.default_rng(0)
    wrong = sum(any(each.low > 1 for each in ranges(rng.normal(60, 0.6, (5, 3)).tolist())) for _ in range(400))
    assert 0 < wrong <= 400 * 0.05
