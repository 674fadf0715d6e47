"""Counts of tensors are those of arrays."""

import numpy as np
import pytest
import torch

from benchmark import confusion
from benchmark.engine import counting
from benchmark.engine.counting import count, count_images

DTYPES = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]


def agrees(prediction, label, classes):
    expected = confusion.count(prediction.numpy(), label.numpy(), classes)
    for counts in (count(prediction, label, classes), _scattered(prediction, label, classes)):
        assert counts.dtype == torch.int64
        np.testing.assert_array_equal(counts.numpy(), expected)
    return counts


def _scattered(prediction, label, classes):
    """As it is counted on a GPU."""
    return counting._scattered(prediction[None], label[None], classes)[0]


@pytest.mark.parametrize("classes", [1, 2, 11, 14, 15, 19, 126, 127, 128, 150, 179, 180, 181, 253, 254])
@pytest.mark.parametrize("prediction_dtype", DTYPES)
@pytest.mark.parametrize("label_dtype", DTYPES)
def test_values_of_any_integer_type(classes, prediction_dtype, label_dtype):
    generator = torch.Generator().manual_seed(classes)
    images = []
    for dtype in (prediction_dtype, label_dtype):
        limits = torch.iinfo(dtype)
        low, high = max(limits.min, -(1 << 40)), min(limits.max, 1 << 40)
        anywhere = torch.randint(low, high + 1, (31, 43), generator=generator)
        near = torch.randint(max(low, -2), min(high, classes + 1) + 1, (31, 43), generator=generator)
        images.append(torch.where(torch.rand(31, 43, generator=generator) < 0.1, anywhere, near).to(dtype))
    assert agrees(*images, classes).sum() == 31 * 43


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_pair_of_values_near_any_number_of_classes(dtype):
    limits = torch.iinfo(dtype)
    for classes in range(1, 255):
        wanted = {limits.min, -1, 0, classes - 1, classes, classes + 1, 127, 254, 255, 256, 65536, limits.max}
        values = torch.tensor([value for value in wanted if limits.min <= value <= limits.max], dtype=dtype)
        label, prediction = torch.meshgrid(values, values, indexing="ij")
        agrees(prediction, label, classes)


@pytest.mark.parametrize("shape", [(0,), (5,), (4, 6), (2, 3, 4)])
def test_any_shape(shape):
    label = torch.randint(0, 4, shape, dtype=torch.uint8)
    assert agrees(3 - label, label, 3).shape == (4, 4)


def test_a_view_that_is_not_contiguous_and_is_left_as_it_was():
    label = torch.randint(0, 256, (6, 8), dtype=torch.uint8)
    before = label.clone()
    agrees(label.T, label.T, 5)
    agrees(label[:, ::2].long(), label[:, ::2], 5)
    assert torch.equal(label, before)


def test_nothing_but_void():
    void = torch.full((9, 9), 255, dtype=torch.uint8)
    counts = agrees(void, void, 19)
    assert counts[19, 19] == 81
    assert counts.sum() == 81


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3, 2\)"):
        count(torch.zeros(2, 3, dtype=torch.uint8), torch.zeros(3, 2, dtype=torch.uint8), 2)


SHAPES = [[(6, 8)] * 3, [(6, 8), (6, 8), (5, 7)], [(4, 4)], []]


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("on_gpu", [False, True])
def test_images_are_counted_one_by_one_or_together(monkeypatch, shapes, on_gpu):
    monkeypatch.setattr(counting, "_is_on_gpu", lambda tensor: on_gpu)
    generator = torch.Generator().manual_seed(0)
    predictions, labels = (
        [torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8) for shape in shapes] for _ in range(2)
    )
    found = count_images(predictions, labels, 200)
    assert len(found) == len(shapes)
    for counts, prediction, label in zip(found, predictions, labels, strict=True):
        np.testing.assert_array_equal(counts.numpy(), confusion.count(prediction.numpy(), label.numpy(), 200))


def test_nothing_waits_for_a_gpu(monkeypatch, waits):
    monkeypatch.setattr(counting, "_is_on_gpu", lambda tensor: True)
    images = [torch.randint(0, 5, (6, 8), dtype=torch.uint8) for _ in range(3)]
    with waits() as watch:
        count_images(images, [image.long() for image in images], 4)
        count(images[0], images[1], 4)
    assert watch.names == []


@pytest.mark.gpu
@pytest.mark.parametrize("deterministic", [False, True])
def test_a_gpu_counts_as_a_cpu_does_and_is_not_waited_for(deterministic):
    generator = torch.Generator().manual_seed(0)
    predictions, labels = (torch.randint(0, 256, (4, 90, 120), generator=generator, dtype=torch.uint8) for _ in "12")
    expected = count_images(list(predictions), list(labels), 150)
    on_gpu = list(predictions.cuda()), list(labels.cuda())
    torch.use_deterministic_algorithms(deterministic)
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = [*count_images(*on_gpu, 150), count(on_gpu[0][0], on_gpu[1][0], 150)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
        torch.use_deterministic_algorithms(False)
    for counts, right in zip(found, [*expected, expected[0]], strict=True):
        assert torch.equal(counts.cpu(), right)
