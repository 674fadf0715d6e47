"""Batches on a device hold what batches of the CPU's own path hold, whichever way they are made."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

import benchmark.registration  # noqa: F401  (the source is built by name)
from benchmark.confusion import VOID
from benchmark.inputs import gpu_batches
from benchmark.inputs.augmentation import Policy, apply, crop, draw
from benchmark.inputs.batches import EvaluationImages, TrainingBatches
from benchmark.inputs.draw_table import tabulate
from benchmark.inputs.gpu_batches import ResidentBatches, ResidentImages, ResidentWarning, augment, fits, resident_bytes

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
"""Whether kernels run on the CPU, a thousand times slower; Triton asks when it is imported."""

CLASSES = 5


def _scenes(images, height, width):
    """Smooth images, and labels in blobs with some void."""
    rng = np.random.default_rng(3)
    smooth = [
        cv2.resize(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
        for _ in range(images)
    ]
    blobs = [
        cv2.resize(rng.normal(0.4, 1, (5, 6, CLASSES + 1)), (width, height)).argmax(2).astype(np.uint8)
        for _ in range(images)
    ]
    labels = np.stack(blobs)
    labels[labels == CLASSES] = VOID
    return np.stack(smooth).transpose(0, 3, 1, 2).copy(), labels


@pytest.fixture(params=["torch", "kernel", pytest.param("gpu", marks=pytest.mark.gpu)])
def way(request):
    """Each way in which `augment` is written: what it makes of arrays, and how many images there is time for."""
    function, device, images = augment, "cpu", 40
    if request.param != "torch":
        pytest.importorskip("triton")
        if request.param == "gpu":
            device = "cuda"
        elif INTERPRETED:
            images = 4
        else:
            pytest.skip("needs to be interpreted, or a GPU")
        from benchmark.inputs import triton_kernel

        function = triton_kernel.augment

    def made(pictures, labels, draws, policy, void=VOID):
        # From the last image to the first, as their numbers show.
        table = tabulate(np.arange(len(labels))[::-1].copy(), draws, labels.shape[1:], policy)
        tensors = [torch.from_numpy(part).to(device) for part in (pictures[::-1].copy(), labels[::-1].copy(), table)]
        return [part.cpu().numpy() for part in function(*tensors, policy, CLASSES, void)]

    made.images, made.on_gpu = images, device == "cuda"
    return made


@pytest.mark.skipif(INTERPRETED, reason="the kernel is tested as it is")
def test_kernel_without_a_gpu():
    pytest.importorskip("triton")
    command = [sys.executable, "-m", "pytest", "-q", "-k", "kernel", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(command, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def _both(way, policy, seed=0, size=(72, 96)):
    pictures, labels = _scenes(way.images, *size)
    draws = draw(np.random.default_rng(seed), way.images, policy)
    shape = (way.images, 3, *policy.crop_size)
    expected = np.empty(shape, np.uint8), np.empty((shape[0], *shape[2:]), np.uint8)
    for image, label, drawn, picture, classes in zip(pictures, labels, draws.each(), *expected, strict=True):
        apply(image, label, drawn, policy, picture, classes, void=8)
    return way(pictures, labels, draws, policy, void=8), expected


@pytest.mark.parametrize(("crop_size", "ratio"), [((40, 40), 0.75), ((64, 80), 1.0), ((24, 130), 0.6)])
def test_geometry_is_that_of_the_cpu(way, crop_size, ratio):
    policy = Policy(crop_size, photometric=False, cat_max_ratio=ratio)
    (pictures, labels), (expected, expected_labels) = _both(way, policy)
    assert pictures.dtype == labels.dtype == np.uint8
    difference = np.abs(pictures.astype(int) - expected)
    assert difference.max() <= 1
    assert difference.mean() < 0.15
    assert (labels == expected_labels).all()


@pytest.mark.parametrize(("scale", "percent", "most"), [((1.0, 1.0), 100, 3), ((0.5, 2.0), 95, 3)])
def test_colours_are_those_of_the_cpu(way, scale, percent, most):
    """Up to rounding, and where pixels are resized to whether what clips comes before or after the interpolation."""
    (pictures, _), (expected, _) = _both(way, Policy((40, 64), scale))
    difference = np.abs(pictures.astype(int) - expected)
    # A GPU multiplies and adds in one rounding, and what is rounded down may then be one less before hues are turned.
    assert np.percentile(difference, min(percent, 99.9) if way.on_gpu else percent) <= most
    assert difference.mean() < 0.6


def test_every_crop_is_the_one_that_the_cpu_takes(way):
    """Labels of few classes, in which crops are often drawn again, and sometimes to the last."""
    _, labels = _scenes(way.images, 72, 96)
    labels[labels != VOID] //= 2
    labels[: way.images // 4] = 0
    policy = Policy((40, 40), scale=(0.9, 2.0), photometric=False, cat_max_ratio=0.6)
    draws = draw(np.random.default_rng(1), way.images, policy)
    place = np.zeros((3, 72, 96), np.uint8)
    place[0], place[1] = np.indices((72, 96))  # a pixel tells where it is
    pictures, _ = way(np.broadcast_to(place, (way.images, *place.shape)), labels, draws, policy)
    for label, drawn, picture in zip(labels, draws.each(), pictures, strict=True):
        window, _ = crop(label, drawn, policy)
        assert abs(int(picture[0].min()) - window.top) <= 1
        assert abs(int(picture[1].min()) - window.left) <= 1


@pytest.mark.parametrize("void", [VOID, 8])
def test_batches_have_the_form_of_training_batches(void):
    source = {"type": "Shapes", "split": "train"}
    batches = TrainingBatches(source, 4, {"crop_size": (32, 48), "scale": (0.5, 1.5)}, "p", 0, 100, void=void)
    resident = ResidentBatches(batches, "cpu")
    assert len(resident) == len(batches)
    assert resident_bytes(batches.pixels) == 256 * 64 * 64 * 4
    for i in (0, 7, 99):
        found, expected = resident[i], batches[i]
        assert found.keys() == expected.keys()
        for name, values in found.items():
            assert (values.dtype, values.shape) == (expected[name].dtype, expected[name].shape)
        assert (found["inputs"].float() - expected["inputs"].float()).abs().mean() < 3
        assert torch.equal(found["labels"], expected["labels"])
    assert any((resident[i]["labels"] == void).any() for i in range(4))


def _per_launch(*arguments):
    """Of `augment` only one batch is made at a time."""
    return augment(*arguments)


def test_a_batch_does_not_depend_on_those_made_with_it(monkeypatch):
    alone = _resident()
    monkeypatch.setattr(gpu_batches, "_fastest", lambda device: _per_launch)
    batches, resumed = _resident(), _resident()
    for each, places in ((batches, range(20)), (resumed, (13, 2, 99))):
        for i in places:
            assert all(torch.equal(each[i][name], values) for name, values in alone[i].items())


def test_processes_split_the_global_batch(monkeypatch):
    whole = _resident()[2]["inputs"]
    monkeypatch.setattr("benchmark.inputs.batches.get_dist_info", lambda: (1, 2))
    assert all(torch.equal(a, b) for a, b in zip(_resident()[2]["inputs"], whole[1::2], strict=True))


def _resident():
    source = {"type": "Shapes", "split": "train"}
    return ResidentBatches(TrainingBatches(source, 4, {"crop_size": (32, 48)}, "p", 0, 100), "cpu")


def _shifted(*arguments):
    pictures, labels = augment(*arguments)
    return pictures, labels.roll(1, 2)


def _darker(*arguments):
    pictures, labels = augment(*arguments)
    return pictures // 2, labels


def _failing(*arguments):
    raise RuntimeError("no compiler\nat all")


@pytest.mark.parametrize(
    ("wrong", "problem"), [(_shifted, "of the labels differ"), (_darker, "pixels differ"), (_failing, "no compiler$")]
)
def test_a_faster_way_that_is_wrong_is_not_taken(monkeypatch, wrong, problem):
    right = _resident()[3]
    monkeypatch.setattr(gpu_batches, "_fastest", lambda device: wrong)
    with pytest.warns(ResidentWarning, match=problem):
        found = _resident()[3]
    assert all(torch.equal(values, right[name]) for name, values in found.items())


def test_what_is_wrong_in_every_way_is_an_error(monkeypatch):
    monkeypatch.setattr(gpu_batches, "augment", _darker)
    with pytest.raises(RuntimeError, match="differ from those on the CPU: pixels differ"):
        _resident()


class _Pixels:
    """A split of two images."""

    def __init__(self, *sizes):
        self.sizes = sizes

    def __len__(self):
        return len(self.sizes)

    def image(self, index):
        return np.zeros((3, *self.sizes[index]), np.uint8)

    def label(self, index):
        return np.zeros(self.sizes[index], np.uint8)


def test_what_fits_takes_half_of_the_free_memory_and_has_one_size(monkeypatch):
    even = _Pixels((5, 8), (5, 8))
    assert resident_bytes(even) == 320
    assert not fits(even, "cpu")
    for free, expected in ((640, True), (639, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 1000))
        assert fits(even, "cuda") == expected
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10**6, 10**6))
    assert not fits(_Pixels((5, 8), (8, 5)), "cuda")


def test_memory_that_is_held_and_not_used_is_free(monkeypatch):
    free = [0]
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free[0], 1000))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: free.__setitem__(0, 640))
    assert fits(_Pixels((5, 8), (5, 8)), "cuda")


def test_images_to_evaluate_are_those_of_the_disk():
    images = EvaluationImages({"type": "Shapes", "split": "val"})
    kept = ResidentImages(images, "cpu")
    assert len(kept) == len(images)
    assert kept.metainfo == images.metainfo
    for index in (0, 17, len(images) - 1):
        found, expected = kept[index], images[index]
        assert found["inputs"].dtype == torch.uint8
        assert torch.equal(found["inputs"], expected["inputs"])
        one, other = found["data_samples"], expected["data_samples"]
        assert one.metainfo == other.metainfo
        assert one.gt_sem_seg.data.dtype == other.gt_sem_seg.data.dtype
        assert torch.equal(one.gt_sem_seg.data, other.gt_sem_seg.data)


@pytest.mark.gpu
def test_images_to_evaluate_are_on_the_gpu():
    images = EvaluationImages({"type": "Shapes", "split": "val"})
    kept = ResidentImages(images, "cuda")
    assert kept[3]["inputs"].is_cuda
    assert torch.equal(kept[3]["inputs"].cpu(), images[3]["inputs"])
    assert torch.equal(kept[3]["data_samples"].gt_sem_seg.data.cpu(), images[3]["data_samples"].gt_sem_seg.data)
