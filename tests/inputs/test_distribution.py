"""What is drawn has the distribution of mmsegmentation's own pipeline: two-sample tests, seeded."""

from itertools import cycle

import numpy as np
import pytest
from mmcv import rescale_size
from mmengine.registry import DefaultScope
from mmseg.registry import TRANSFORMS
from scipy import stats

import benchmark.registration  # noqa: F401  (mmsegmentation can be imported, and its transforms are registered)
from benchmark.confusion import VOID
from benchmark.datasets.shapes import Shapes
from benchmark.inputs.augmentation import Policy, crop, draw

SIZE = (360, 480)
SMALL = (120, 160)
"""Of the images whose labels are cropped, which takes its time."""

SIGNIFICANCE = 0.001

COUNTS = pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.slow)])


def _transform(kind, **settings):
    with DefaultScope.overwrite_default_scope("mmseg"):
        return TRANSFORMS.build({"type": kind, **settings})


def _draws(count, size=SIZE):
    return draw(np.random.default_rng(0), count, Policy(size))


@pytest.fixture(autouse=True)
def _seeded():
    np.random.seed(0)  # mmsegmentation draws from the global generator


def _assert_same(ours, theirs):
    """Two samples of a number: Kolmogorov-Smirnov."""
    assert stats.ks_2samp(ours, theirs).pvalue > SIGNIFICANCE


def _assert_same_counts(ours, theirs):
    """Two samples of a choice: chi-square."""
    values = sorted({*ours, *theirs})
    table = [[np.sum(np.asarray(sample) == value) for value in values] for sample in (ours, theirs)]
    assert stats.chi2_contingency(table).pvalue > SIGNIFICANCE


class Probe:
    """mmsegmentation's PhotoMetricDistortion, of which every step that it takes is written down."""

    def __init__(self):
        self.steps = {"brightness": [], "contrast": [], "saturation": [], "hue": [], "contrast_first": []}
        self.transform = _transform("PhotoMetricDistortion")
        self.transform.convert = self._convert

    def draw(self):
        """What one call draws."""
        self.drawn = {"brightness": 0.0, "contrast": 1.0, "saturation": 1.0, "hue": 0, "contrast_first": None}
        cyan = np.uint8([[[255, 255, 0]]])
        result = self.transform({"img": cyan})["img"][0, 0]
        # Of a cyan pixel, blue and green move only with the hue; brightness, contrast and saturation are held back.
        blue, green = int(result[0]), int(result[1])
        self.drawn["hue"] = round((blue - green) * 30 / 255)
        return self.drawn

    def _convert(self, image, alpha=1, beta=0):
        if image.ndim == 2:
            self.drawn["saturation"] = alpha
        elif beta:
            self.drawn["brightness"] = beta
        else:
            self.drawn["contrast"] = alpha
        return image


@COUNTS
def test_scale(count):
    resize = _transform("RandomResize", scale=SIZE[::-1], ratio_range=(0.5, 2.0), keep_ratio=True)
    theirs = [rescale_size(SIZE[::-1], resize._random_scale())[1] / SIZE[0] for _ in range(count)]
    _assert_same(_draws(count).scale, theirs)


@COUNTS
def test_flip(count):
    flip = _transform("RandomFlip", prob=0.5)
    theirs = [flip._choose_direction() == "horizontal" for _ in range(count)]
    _assert_same_counts(_draws(count).flip, theirs)


@COUNTS
def test_colours(count):
    probe, draws = Probe(), _draws(count)
    theirs = [probe.draw() for _ in range(count)]
    for name, neutral in (("brightness", 0.0), ("contrast", 1.0), ("saturation", 1.0)):
        samples = getattr(draws, name), [drawn[name] for drawn in theirs]
        _assert_same_counts(*([value != neutral for value in sample] for sample in samples))
        _assert_same(*([value for value in sample if value != neutral] for sample in samples))
    hues = draws.hue, [drawn["hue"] for drawn in theirs]
    _assert_same_counts(*hues)
    _assert_same(*hues)


@COUNTS
def test_order_of_contrast(count):
    """Which of contrast and saturation comes first, where both happen."""
    transform, order, theirs = _transform("PhotoMetricDistortion"), [], []
    transform.contrast = lambda image: order.append("contrast") or image
    transform.saturation = lambda image: order.append("saturation") or image
    for _ in range(count):
        order.clear()
        transform({"img": np.zeros((1, 1, 3), np.uint8)})
        theirs.append(order[0] == "contrast")
    _assert_same_counts(_draws(count).contrast_first, theirs)


@COUNTS
def test_crops_and_what_is_in_them(count):
    """Where crops lie after some were drawn again, and how much of each class they hold.

    The two round to other pixels, and a test of that many would see it: both are blurred by more than a pixel.
    """
    source, policy = Shapes("train", size=SMALL), Policy(SMALL, cat_max_ratio=0.5)
    labels = [source.label(i) for i in range(24)]
    resize = _transform("RandomResize", scale=SMALL[::-1], ratio_range=(0.5, 2.0), keep_ratio=True)
    cropping = _transform("RandomCrop", crop_size=SMALL, cat_max_ratio=policy.cat_max_ratio)

    theirs, ours = [], []
    for label, drawn in zip(cycle(labels), _draws(count, SMALL).each(), strict=False):
        results = resize({"img": label, "gt_seg_map": label, "seg_fields": ["gt_seg_map"]})
        height, width = results["img"].shape
        top, _, left, _ = cropping.crop_bbox(results)
        part = results["gt_seg_map"][top : top + SMALL[0], left : left + SMALL[1]]
        theirs.append((top / height, left / width, *_shares(part)))
        window, part = crop(label, drawn, policy)
        ours.append((window.top / SMALL[0], window.left / SMALL[1], *_shares(part)))
    rng = np.random.default_rng(1)
    for one, other in zip(np.transpose(ours), np.transpose(theirs), strict=True):
        _assert_same(*(sample + rng.uniform(-0.02, 0.02, count) for sample in (one, other)))


def _shares(label):
    """The part of the labelled pixels that each class has."""
    counts = np.bincount(label.ravel(), minlength=VOID + 1)[: len(Shapes.classes)]
    return counts / max(counts.sum(), 1)
