"""Batches on a device hold what batches of the CPU's own path hold."""

import cv2
import numpy as np
import pytest
import torch

import benchmark.registration  # noqa: F401  (the source is built by name)
from benchmark.confusion import VOID
from benchmark.datasets.augmentation import Policy, apply, crop, draw
from benchmark.datasets.batches import TrainingBatches
from benchmark.datasets.resident import ResidentBatches, augment, resident_bytes

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


def _both(policy, seed=0, images=60, size=(72, 96)):
    pictures, labels = _scenes(images, *size)
    draws = draw(np.random.default_rng(seed), images, policy).each()
    expected = np.empty((images, 3, *policy.crop_size), np.uint8), np.empty((images, *policy.crop_size), np.uint8)
    for image, label, drawn, picture, classes in zip(pictures, labels, draws, *expected, strict=True):
        apply(image, label, drawn, policy, picture, classes)
    found = augment(torch.from_numpy(pictures), torch.from_numpy(labels), draws, policy, CLASSES)
    return [part.numpy() for part in found], expected


@pytest.mark.parametrize("crop_size", [(64, 64), (72, 96), (40, 120)])
def test_geometry_is_that_of_the_cpu(crop_size):
    policy = Policy(crop_size, photometric=False)
    (pictures, labels), (expected, expected_labels) = _both(policy)
    assert pictures.dtype == labels.dtype == np.uint8
    difference = np.abs(pictures.astype(int) - expected)
    assert difference.max() <= 1
    assert difference.mean() < 0.15
    assert (labels == expected_labels).all()


def test_colours_are_those_of_the_cpu():
    """Up to rounding, and to whether what clips comes before or after the interpolation."""
    (pictures, _), (expected, _) = _both(Policy((64, 64)))
    difference = np.abs(pictures.astype(int) - expected)
    assert np.percentile(difference, 99) <= 3
    assert difference.mean() < 0.6


def test_every_crop_is_the_one_that_the_cpu_takes():
    """Labels of few classes, in which crops are often drawn again, and sometimes to the last."""
    _, labels = _scenes(40, 72, 96)
    labels[labels != VOID] //= 2
    labels[:10] = 0
    policy = Policy((40, 40), scale=(0.9, 2.0), photometric=False, cat_max_ratio=0.6)
    draws = draw(np.random.default_rng(1), 40, policy).each()
    place = np.zeros((3, 72, 96), np.uint8)
    place[0], place[1] = np.indices((72, 96))  # a pixel tells where it is
    images = torch.from_numpy(place).expand(40, -1, -1, -1)
    pictures, _ = augment(images, torch.from_numpy(labels), draws, policy, CLASSES)
    for label, drawn, picture in zip(labels, draws, pictures.numpy(), strict=True):
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
    for i in (0, 7):
        found, expected = resident[i], batches[i]
        assert found.keys() == expected.keys()
        for name, values in found.items():
            assert (values.dtype, values.shape) == (expected[name].dtype, expected[name].shape)
        assert (found["inputs"].float() - expected["inputs"].float()).abs().mean() < 3
        assert torch.equal(found["labels"], expected["labels"])
    assert any((resident[i]["labels"] == void).any() for i in range(4))


def test_processes_split_the_global_batch(monkeypatch):
    source = {"type": "Shapes", "split": "train"}
    resident = ResidentBatches(TrainingBatches(source, 4, {"crop_size": (32, 48)}, "p", 0, 100), "cpu")
    whole = resident[2]["inputs"]
    monkeypatch.setattr("benchmark.datasets.batches.get_dist_info", lambda: (1, 2))
    assert all(torch.equal(a, b) for a, b in zip(resident[2]["inputs"], whole[1::2], strict=True))
