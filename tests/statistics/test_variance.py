import math

import pytest
from scipy import integrate, special, stats

from benchmark.statistics.variance import Variance, inverse_trigamma, moderate, prior, sample_variance, seems_alike


@pytest.mark.parametrize("y", [1e-4, 0.01, 0.5, 1.0, 3.7, 50.0, 1e4, 1e8])
def test_inverse_trigamma(y):
    assert inverse_trigamma(float(special.polygamma(1, y))) == pytest.approx(y, rel=1e-9)


def test_inverse_trigamma_in_closed_form():
    assert inverse_trigamma(math.pi**2 / 6) == pytest.approx(1, abs=1e-12)
    assert inverse_trigamma(math.pi**2 / 2) == pytest.approx(0.5, abs=1e-12)


def moments(variance, df, half):
    """Mean and variance of the logarithm of a variance with that prior, by integration over its distribution, F."""
    ratio = stats.f(2 * half, df)

    def expect(power):
        return integrate.quad(lambda x: x**power * ratio.pdf(math.exp(x)) * math.exp(x), -60, 60, limit=500)[0]

    return math.log(variance) + expect(1), expect(2) - expect(1) ** 2


@pytest.mark.parametrize(("variance", "df", "own"), [(0.09, 4.0, 2), (2.0, 30.0, 5), (0.5, 1.5, 9)])
def test_the_prior_has_the_moments_of_the_logarithms(variance, df, own):
    """Two variances whose logarithms have the mean and the spread that the prior implies: it must be found again."""
    mean, spread = moments(variance, df, own / 2)
    step = math.sqrt(spread / 2)  # a pair at this distance from its mean has that sample variance
    found = prior([math.exp(mean - step), math.exp(mean + step)], [own, own])
    assert found.variance == pytest.approx(variance, rel=1e-6)
    assert found.df == pytest.approx(df, rel=1e-6)


def test_variances_that_differ_no_more_than_by_chance_are_pooled():
    assert prior([0.09, 0.1, 0.11], [2, 2, 6]) == (pytest.approx(0.104, abs=1e-12), math.inf)
    found = moderate([0.09, 0.1, 0.11, 0.1], [2, 2, 6, 6])
    assert found[0].value == pytest.approx((0.09 * 2 + (0.1 * 2 + 0.11 * 6 + 0.1 * 6) / 14 * 14 * 2 / 3) / (2 + 28 / 3))
    assert found[0].df == pytest.approx(2 + 28 / 3)  # the others have 14, of which the scale costs one of three


def test_each_variance_is_drawn_towards_the_prior_of_the_others():
    variances, df = [0.001, 0.02, 0.3, 0.5], [2, 2, 3, 1]
    for index, (found, own, each) in enumerate(zip(moderate(variances, df), variances, df, strict=True)):
        rest = [[*of[:index], *of[index + 1 :]] for of in (variances, df)]
        common = prior(*rest)
        assert math.isfinite(common.df)
        assert stats.f.sf(own / common.variance, each, common.df) > 0.05
        expected = (common.df * common.variance + each * own) / (common.df + each)
        assert found.value == pytest.approx(expected, abs=1e-12)
        assert found.df == pytest.approx(min(common.df, sum(rest[1]) * 2 / 3) + each, abs=1e-12)
        assert min(own, common.variance) < found.value < max(own, common.variance)


def test_a_noisier_architecture_keeps_its_own_variance():
    others, df = [0.2, 0.25, 0.3] * 15, [2] * 45
    assert moderate([3.4**2, *others], [2, *df])[0] == (3.4**2, 2)
    border = 0.25 * stats.f.isf(0.05, 2, 90 * 44 / 45)  # of variances that differ no more than by chance
    kept, drawn = (moderate([border * factor, *others], [2, *df])[0] for factor in (1.01, 0.99))
    assert kept == (border * 1.01, 2)
    assert drawn.value < 0.32


def test_beside_it_no_other_looks_quieter():
    common = moderate([0.25] * 10, [2] * 10)[0]
    beside = moderate([*[0.25] * 9, 3.4**2], [2] * 10)[0]
    assert beside.value > common.value
    assert beside.df <= common.df


def test_few_seeds_do_not_show_that_an_architecture_is_like_the_others():
    others = Variance(0.25, 88)
    assert not seems_alike(Variance(0.25, 1), others)
    assert seems_alike(Variance(0.25, 2), others)
    assert not seems_alike(Variance(0.25, 0), others)
    for df in (1, 2, 4):  # seven times as noisy, they would be that quiet in one case of forty
        border = 0.25 * 49 * stats.f.ppf(0.025, df, 88)
        assert seems_alike(Variance(border * 0.999, df), others)
        assert not seems_alike(Variance(border * 1.001, df), others)


def test_one_seed_is_told_what_the_others_have():
    found = moderate([0.09, 0.1, 0.11, 7.0], [2, 2, 2, 0])
    assert found[3] == (pytest.approx(0.1, abs=1e-12), 4)


def test_nothing_to_borrow():
    assert moderate([0.4, 0.0], [2, 0]) == [Variance(0.4, 2), None]
    assert moderate([], []) == []


def test_runs_that_agree_to_the_last_digit():
    low, *others = moderate([0.0, 0.09, 0.1, 0.11], [2, 2, 2, 2])
    assert 0 < low.value < min(each.value for each in others)
    assert all(each.value > 0 for each in moderate([0.0, 0.0], [2, 2]))


def test_sample_variance():
    assert sample_variance([1.0, 2.0, 4.0]) == (pytest.approx(7 / 3), 2)
    assert sample_variance([1.0]) == (0.0, 0)
