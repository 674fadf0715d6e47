import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from benchmark.statistics.equivalence import Error, equivalence, welch

INFINITE = math.inf


def samples(seed, first=5, second=8):
    rng = np.random.default_rng(seed)
    return rng.normal(0.3, 0.2, first), rng.normal(0, 0.6, second)


def error(sample):
    return Error(sample.std(ddof=1) / math.sqrt(len(sample)), len(sample) - 1)


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_statsmodels(seed):
    first, second = samples(seed)
    found = equivalence(first.mean() - second.mean(), welch(error(first), error(second)), 0.7)
    compared = CompareMeans(DescrStatsW(first), DescrStatsW(second))
    p, *_ = compared.ttost_ind(-0.7, 0.7, usevar="unequal")
    assert found.p == pytest.approx(p, abs=1e-9)
    assert found.interval == pytest.approx(compared.tconfint_diff(alpha=0.1, usevar="unequal"), abs=1e-9)
    assert (found.finding == "reproduced") == (p < 0.05)


@pytest.mark.parametrize("seed", range(3))
def test_degrees_of_freedom_agree_with_scipy(seed):
    first, second = samples(seed, 3, 4)
    expected = stats.ttest_ind(first, second, equal_var=False)
    found = welch(error(first), error(second))
    assert found.df == pytest.approx(expected.df, abs=1e-9)
    assert (first.mean() - second.mean()) / found.value == pytest.approx(expected.statistic, abs=1e-9)


def test_what_is_known_costs_no_degrees_of_freedom():
    assert welch(Error(3, 4), Error(0, 1)) == (3, 4)
    assert welch(Error(3, INFINITE), Error(4, INFINITE)) == (5, INFINITE)
    assert welch(Error(3, 4), Error(4, INFINITE)) == (5, pytest.approx(5**4 / 3**4 * 4))
    assert welch(Error(0, 2)) == (0, INFINITE)


@pytest.mark.parametrize(
    ("difference", "finding"),
    [
        (0.0, "reproduced"),
        (0.83, "reproduced"),
        (0.84, "inconclusive"),
        (1.0, "inconclusive"),
        (-1.16, "inconclusive"),
        (1.17, "differs above"),
        (-1.17, "differs below"),
    ],
)
def test_findings(difference, finding):
    """A known error of 0.1, of which the interval takes 1.645 to either side."""
    found = equivalence(difference, Error(0.1, INFINITE), 1.0)
    reach = 0.1 * stats.norm.ppf(0.95)
    assert found.finding == finding
    assert found.interval == pytest.approx((difference - reach, difference + reach), abs=1e-12)
    assert found.p == pytest.approx(stats.norm.cdf((abs(difference) - 1) / 0.1), abs=1e-12)


def test_no_error_at_all():
    assert equivalence(0.5, Error(0, 2), 1.0).finding == "reproduced"
    assert equivalence(0.5, Error(0, 2), 1.0).p == 0
    assert equivalence(1.5, Error(0, 2), 1.0).p == 1
    assert equivalence(1.0, Error(0, 2), 1.0).finding == "inconclusive"
