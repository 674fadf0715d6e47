import math

import numpy as np
import pytest
from scipy import integrate, stats

from benchmark.statistics.selection import best_of


def test_closed_forms():
    """David and Nagaraja 2003, section 4.5."""
    assert best_of(1) == pytest.approx((0, 1), abs=1e-12)
    assert best_of(2) == pytest.approx((1 / math.sqrt(math.pi), 1 - 1 / math.pi), abs=1e-12)
    three = 1.5 / math.sqrt(math.pi)
    assert best_of(3) == pytest.approx((three, 1 + math.sqrt(3) / (2 * math.pi) - three**2), abs=1e-12)
    assert best_of(4).mean == pytest.approx(6 / math.sqrt(math.pi) * math.atan(math.sqrt(2)) / math.pi, abs=1e-12)


@pytest.mark.parametrize("runs", [5, 10, 1000])
def test_quadrature(runs):
    def moment(power):
        return integrate.quad(
            lambda x: x**power * runs * stats.norm.pdf(x) * stats.norm.cdf(x) ** (runs - 1), -10, 10, epsabs=1e-12
        )[0]

    assert best_of(runs) == pytest.approx((moment(1), moment(2) - moment(1) ** 2), abs=1e-9)


def test_draws():
    largest = np.random.default_rng(0).standard_normal((20_000, 5)).max(axis=1)
    assert best_of(5) == pytest.approx((largest.mean(), largest.var()), abs=0.02)
