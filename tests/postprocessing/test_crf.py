"""The dense CRF, compared with the paper's equations written out over all pairs of pixels."""

import sys
from importlib.util import find_spec

import cv2
import numpy as np
import pytest

from benchmark.confusion import VOID, count, scores
from benchmark.datasets.shapes import Shapes
from benchmark.errors import UserError
from benchmark.postprocessing.crf import PRESETS, DenseCRF

installed = pytest.mark.skipif(find_spec("pydensecrf") is None, reason='needs pip install "segbench[crf]"')

MILD = DenseCRF(w1=1, sigma_alpha=10, sigma_beta=20, w2=0.5, sigma_gamma=2)


def uncertain(label, classes, rng):
    """A prediction of some contrast that is soft at edges and wrong in places."""
    planes = [cv2.GaussianBlur((label == c).astype(np.float32), (0, 0), 1) for c in range(classes)]
    odds = np.exp(4 * np.stack(planes) + 0.5 * rng.standard_normal((classes, *label.shape)))
    return (odds / odds.sum(axis=0)).astype(np.float32)


def scene(index, classes=8, size=(24, 32)):
    source = Shapes("test", size=size)
    return source.image(index), uncertain(source.label(index) % classes, classes, np.random.default_rng(index))


def gaussian_kernels(image, crf):
    """The appearance and the smoothness kernel by the paper, each divided by the roots of its row sums."""
    height, width, _ = image.shape
    y, x = np.divmod(np.arange(height * width), width)
    positions, colours = np.stack([x, y]).astype(float), image.reshape(-1, 3).T.astype(float)

    def squared(vectors):
        return ((vectors[:, :, None] - vectors[:, None, :]) ** 2).sum(axis=0)

    appearance = np.exp(-squared(positions) / 2 / crf.sigma_alpha**2 - squared(colours) / 2 / crf.sigma_beta**2)
    smoothness = np.exp(-squared(positions) / 2 / crf.sigma_gamma**2)
    return [k / np.sqrt(np.outer(k.sum(axis=1), k.sum(axis=1))) for k in (appearance, smoothness)]


def lattice_kernels(image, crf):
    """The same two as the library approximates them.

    With a label for every pixel, all probability of pixel i on label i, no unary energy and a last label that nothing
    has, one step of the mean field leaves the kernel in the logarithms.
    """
    from pydensecrf.densecrf import DenseCRF2D

    height, width, _ = image.shape
    pixels = height * width
    kernels = []
    for appearance in (True, False):
        field = DenseCRF2D(width, height, pixels + 1)
        field.setUnaryEnergy(np.zeros((pixels + 1, pixels), np.float32))
        if appearance:
            field.addPairwiseBilateral(sxy=crf.sigma_alpha, srgb=crf.sigma_beta, rgbim=image, compat=1)
        else:
            field.addPairwiseGaussian(sxy=crf.sigma_gamma, compat=1)
        state = field.startInference()
        marginals = np.asarray(state[0])
        marginals[:] = np.eye(pixels + 1, pixels)
        field.stepInference(*state)
        logarithms = np.log(marginals.astype(float))
        kernels.append((logarithms[:-1] - logarithms[-1]).T)
    return kernels


def mean_field(probabilities, kernels, crf):
    """Algorithm 1 of Krähenbühl and Koltun for the Potts model; q has a row a label, a column a pixel."""
    labels = len(probabilities)
    unary = -np.log(np.maximum(probabilities.reshape(labels, -1).astype(float), 1e-5))
    differ = 1 - np.eye(labels)
    q = np.exp(-unary) / np.exp(-unary).sum(axis=0)
    for _ in range(crf.iterations):
        messages = crf.w1 * q @ kernels[0].T + crf.w2 * q @ kernels[1].T
        energy = unary + differ @ messages
        q = np.exp(energy.min(axis=0) - energy)
        q /= q.sum(axis=0)
    return q.reshape(probabilities.shape)


@installed
@pytest.mark.parametrize("classes", [2, 3, 8])
@pytest.mark.parametrize("index", range(4))
def test_is_the_mean_field_of_the_papers_equations(classes, index):
    image, probabilities = scene(index, classes)
    exact = mean_field(probabilities, gaussian_kernels(image, MILD), MILD)
    refined = MILD.refine(image, probabilities)
    assert (refined.argmax(axis=0) == exact.argmax(axis=0)).mean() >= 0.995
    assert np.abs(refined - exact).max() < 0.1
    assert np.abs(probabilities - exact).max() > 0.2


@installed
@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("index", range(4))
def test_only_the_lattice_parts_deeplab_from_the_equations(name, index):
    """Weights as strong as DeepLab's make much of small differences, so kernel and inference are compared apart."""
    crf, (image, probabilities) = PRESETS[name], scene(index)
    lattice, gaussian = lattice_kernels(image, crf), gaussian_kernels(image, crf)
    for approximate, exact in zip(lattice, gaussian, strict=True):
        assert np.abs(approximate - exact).sum(axis=1).mean() < 0.3  # of rows whose sum is about 1
    refined = crf.refine(image, probabilities)
    assert np.abs(refined - mean_field(probabilities, lattice, crf)).max() < 5e-4
    assert (refined.argmax(axis=0) == mean_field(probabilities, gaussian, crf).argmax(axis=0)).mean() > 0.98


@installed
@pytest.mark.parametrize("name", PRESETS)
def test_sharpens_a_prediction_of_stride_8(name):
    source = Shapes("test", size=(120, 160))
    before, after = [], []
    for index in range(6):
        image, label = source.image(index), source.label(index)
        planes = [(label == c).astype(np.float32) for c in range(8)]
        coarse = [cv2.resize(plane, (20, 15), interpolation=cv2.INTER_AREA) for plane in planes]
        soft = np.stack([cv2.resize(plane, (160, 120), interpolation=cv2.INTER_LINEAR) for plane in coarse]) + 1e-3
        soft /= soft.sum(axis=0)
        edge = cv2.morphologyEx(label, cv2.MORPH_GRADIENT, np.ones((7, 7), np.uint8)) > 0
        near = np.where(edge, label, VOID)
        for counts, prediction in ((before, soft), (after, PRESETS[name].refine(image, soft))):
            counts.append((count(prediction.argmax(axis=0), label, 8), count(prediction.argmax(axis=0), near, 8)))
    (whole, border), (whole_after, border_after) = (np.stack(counts, axis=1) for counts in (before, after))
    assert scores(whole_after).miou > scores(whole).miou + 5
    assert scores(border_after).aacc > scores(border).aacc + 5


@installed
def test_leaves_its_arguments_alone_whatever_their_layout():
    image, probabilities = scene(0)
    expected = MILD.refine(image.copy(), probabilities.copy())
    for array in (image, probabilities):
        array.flags.writeable = False
    assert np.array_equal(MILD.refine(image, probabilities), expected)
    strided = MILD.refine(np.asfortranarray(image), np.asfortranarray(probabilities))
    assert np.array_equal(strided, expected)


@installed
@pytest.mark.parametrize("crf", [MILD, *PRESETS.values()])
def test_gives_marginals(crf):
    image, probabilities = scene(1)
    probabilities[:, 5:9] = np.eye(8, dtype=np.float32)[2][:, None, None]  # zeros
    refined = crf.refine(image, probabilities)
    assert refined.shape == probabilities.shape
    assert refined.dtype == np.float32
    assert refined.flags.c_contiguous
    assert np.isfinite(refined).all()
    assert refined.min() >= 0
    assert np.allclose(refined.sum(axis=0), 1, atol=1e-5)
    assert np.array_equal(refined, crf.refine(image, probabilities))


@installed
def test_an_image_of_one_colour_smoothes_by_distance_alone():
    """Across an edge of the prediction that the image does not show, marginals fall evenly and mirror each other."""
    left = np.repeat(np.where(np.arange(32) < 16, 0.9, 0.1)[None], 24, axis=0)
    refined = MILD.refine(np.full((24, 32, 3), 90, np.uint8), np.stack([left, 1 - left]).astype(np.float32))
    assert np.array_equal(refined[0] > 0.5, left > 0.5)
    assert np.allclose(refined[0], 1 - refined[0][:, ::-1], atol=0.05)
    assert refined[0][:, :4].mean() > refined[0][:, 12:16].mean() + 0.005


@installed
@pytest.mark.parametrize(("weight", "flips"), [(5, False), (30, True)])
def test_no_prediction_is_beyond_doubt(weight, flips):
    """A lone pixel of probability 1 among pixels that contradict it gives way to weights above -log(1e-5) = 11.5."""
    lone = np.zeros((2, 24, 32), np.float32)
    lone[0] = 1
    lone[:, 12, 16] = 0, 1
    crf = DenseCRF(w1=0, sigma_alpha=10, sigma_beta=20, w2=weight, sigma_gamma=3)
    labels = crf.refine(np.zeros((24, 32, 3), np.uint8), lone).argmax(axis=0)
    assert labels[12, 16] == (0 if flips else 1)
    assert labels.sum() == labels[12, 16]


@installed
def test_one_class_is_certain():
    image, _ = scene(0)
    assert np.array_equal(MILD.refine(image, np.ones((1, 24, 32), np.float32)), np.ones((1, 24, 32)))


@installed
@pytest.mark.parametrize(("shape", "dtype"), [((32, 24, 3), "u1"), ((24, 32), "u1"), ((24, 32, 3), "f4")])
def test_refuses_an_image_of_another_shape_or_type(shape, dtype):
    image = np.zeros(shape, dtype)
    with pytest.raises(ValueError, match=r"image must be uint8 of shape \(24, 32, 3\)"):
        MILD.refine(image, np.full((2, 24, 32), 0.5, np.float32))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sigma_alpha": 0}, "must be above 0"),
        ({"sigma_beta": -3}, "must be above 0"),
        ({"sigma_gamma": 0}, "must be above 0"),
        ({"w1": -1}, "must not be negative"),
        ({"w2": -1}, "must not be negative"),
        ({"iterations": 0}, "at least 1"),
    ],
)
def test_refuses_parameters_out_of_range(change, message):
    parameters = {"w1": 4, "sigma_alpha": 67, "sigma_beta": 3, "w2": 3, "sigma_gamma": 1}
    with pytest.raises(UserError, match=message):
        DenseCRF(**parameters | change)


def test_presets_lie_where_the_papers_searched():
    one, two = PRESETS["deeplabv1"], PRESETS["deeplabv2"]
    assert 5 <= one.w1 <= 10
    assert 50 <= one.sigma_alpha <= 100
    assert 3 <= one.sigma_beta <= 10
    assert (one.w2, one.sigma_gamma, one.iterations) == (3, 3, 10)
    assert 3 <= two.w1 <= 6
    assert 30 <= two.sigma_alpha <= 100
    assert 3 <= two.sigma_beta <= 6
    assert (two.w2, two.iterations) == (3, 10)


def test_without_the_extra_a_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    with pytest.raises(UserError) as caught:
        MILD.refine(np.zeros((4, 4, 3), np.uint8), np.full((2, 4, 4), 0.5, np.float32))
    message = str(caught.value)
    assert 'pip install "segbench[crf]"' in message
    assert "C++ compiler" in message
    assert "\n" not in message
