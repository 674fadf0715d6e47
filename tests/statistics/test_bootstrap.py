import numpy as np
import pytest
from scipy import stats

from benchmark.confusion import scores
from benchmark.statistics.bootstrap import difference

IMAGES, CLASSES = 12, 3


def counts(seed, quality=0.7):
    """Counts of a run: the ground truth is the same for all, the last class is in the first two images only."""
    truth = np.random.default_rng(0).integers(50, 200, (IMAGES, CLASSES + 1))
    truth[2:, CLASSES - 1] = 0
    wrong = np.random.default_rng(seed).dirichlet(np.ones(CLASSES + 1), (IMAGES, CLASSES + 1)) * (1 - quality)
    wrong[:, range(CLASSES + 1), range(CLASSES + 1)] += quality
    return np.rint(truth[..., None] * wrong).astype(np.int64)


@pytest.mark.parametrize("void", ["ignore", "false_positive"])
def test_value(void):
    base, new = [counts(1), counts(2)], [counts(3, 0.8)]
    expected = scores(new[0], void).miou - np.mean([scores(run, void).miou for run in base])
    assert difference(base, new, draws=10, void=void).value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("void", ["ignore", "false_positive"])
def test_draws_of_images_are_those_of_the_definition(void):
    """Image by image the same numbers are drawn, so that every draw must be equal."""
    base, new = counts(1), counts(2, 0.8)
    found = difference([base], [new], draws=200, seed=5, void=void)
    images = np.random.default_rng(5).integers(IMAGES, size=(200, IMAGES))
    expected = [scores(new[each], void).miou - scores(base[each], void).miou for each in images]
    assert found.draws == pytest.approx(np.sort(expected), abs=1e-9)


def test_seeds_are_kept():
    """Images that are all alike leave nothing to draw, however much the seeds differ."""
    runs = [np.repeat(counts(seed, 0.7)[:1], IMAGES, axis=0) for seed in range(1, 8)]
    assert difference(runs[:4], runs[4:], draws=100).error == pytest.approx(0, abs=1e-9)


def test_no_difference_of_a_run_to_itself():
    found = difference([counts(1)], [counts(1)], draws=100)
    assert (found.value, found.error, found.acceleration) == (0, 0, 0)
    assert found.interval() == (0, 0)


def test_intervals_agree_with_scipy():
    base, new = [counts(1), counts(4)], [counts(2, 0.8)]

    def statistic(images):
        return scores(new[0][images]).miou - np.mean([scores(run[images]).miou for run in base])

    found = difference(base, new, draws=20_000, seed=3)
    expected = stats.bootstrap(
        (np.arange(IMAGES),), statistic, vectorized=False, n_resamples=4000, random_state=np.random.default_rng(4)
    )
    assert found.error == pytest.approx(expected.standard_error, rel=0.05)
    assert found.interval() == pytest.approx(tuple(expected.confidence_interval), abs=0.2 * expected.standard_error)


def test_the_p_value_inverts_the_interval():
    found = difference([counts(1)], [counts(2, 0.8)], draws=20_000)
    low, high = found.interval(0.9)
    assert found.p_at_most(low) == pytest.approx(0.05, abs=2e-3)
    assert found.p_at_most(high) == pytest.approx(0.95, abs=2e-3)
    assert 0 < found.p_at_most(found.draws[0] - 1) < 1e-3


def test_the_same_seed_gives_the_same_draws():
    first, again, other = (difference([counts(1)], [counts(2)], draws=50, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.draws, again.draws)
    assert not np.array_equal(first.draws, other.draws)


@pytest.mark.parametrize(("base", "new"), [([], [counts(1)]), ([counts(1)], []), ([counts(1)], [counts(1)[1:]])])
def test_what_cannot_be_paired(base, new):
    with pytest.raises(ValueError, match="same images"):
        difference(base, new)
