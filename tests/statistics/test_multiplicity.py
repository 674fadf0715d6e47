import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from benchmark.statistics.multiplicity import holm


@pytest.mark.parametrize("tests", [0, 1, 2, 30])
def test_agrees_with_statsmodels(tests):
    p = np.random.default_rng(tests).random(tests) ** 3
    expected = multipletests(p, method="holm")[1] if tests else []
    assert holm(p) == pytest.approx(expected, abs=1e-12)


def test_by_hand():
    assert holm([0.04, 0.01, 0.03, 0.5]) == pytest.approx([0.09, 0.04, 0.09, 0.5])


def test_ties_and_certainties():
    assert holm([0.02, 0.02, 1.0]) == pytest.approx([0.06, 0.06, 1.0])
