"""Batches are a function of (data, protocol, seed, i) and of nothing else."""

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

import benchmark.registration  # noqa: F401  (the source is built by name)
from benchmark.inputs.augmentation import Policy
from benchmark.inputs.batches import Decisions, EvaluationImages, IterationSampler, TrainingBatches, whole_batch

SOURCE = {"type": "Shapes", "split": "train"}
AUGMENTATION = {"crop_size": (32, 48), "scale": (0.5, 1.5)}


def _batches(seed=0, protocol="p", length=100, batch_size=4):
    return TrainingBatches(SOURCE, batch_size, AUGMENTATION, protocol, seed, length)


def _pixels(batch):
    return batch["inputs"], batch["labels"]


def _equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(_pixels(one), _pixels(other), strict=True))


def test_a_batch_does_not_depend_on_what_came_before():
    asked_in_order = _batches()
    for i in range(6):
        asked_in_order[i]
    assert _equal(_batches()[6], asked_in_order[6])
    assert not _equal(asked_in_order[5], asked_in_order[6])


@pytest.mark.parametrize("change", [{"seed": 1}, {"protocol": "other"}])
def test_a_batch_depends_on(change):
    assert not _equal(_batches()[3], _batches(**change)[3])


def test_the_number_of_iterations_changes_no_batch():
    assert _equal(_batches(length=10)[3], _batches(length=1000)[3])


def test_void_may_be_learned_like_a_class():
    """Pixels that the crop adds are void; nothing else changes."""
    like_a_class, with_void = TrainingBatches(SOURCE, 4, AUGMENTATION, "p", 0, 100, void=11), _batches()
    seen = 0
    for i in range(10):
        (images, labels), (same_images, found) = _pixels(with_void[i]), _pixels(like_a_class[i])
        assert torch.equal(images, same_images)
        assert torch.equal(found, torch.where(labels == 255, 11, labels))
        seen += (labels == 255).sum().item()
    assert seen


def test_shapes_and_types():
    images, labels = _pixels(_batches()[0])
    assert images.shape == (4, 3, 32, 48)
    assert images.dtype == torch.uint8
    assert labels.shape == (4, 32, 48)
    assert labels.dtype == torch.uint8


def test_every_epoch_is_a_permutation_of_its_own():
    decisions = Decisions("key", images=10, batch_size=4, policy=Policy((8, 8)))
    seen = np.concatenate([decisions.indices(i) for i in range(5)])  # two epochs, batch 2 lies across their border
    first, second = seen[:10], seen[10:]
    assert sorted(first) == sorted(second) == list(range(10))
    assert list(first) != list(second)


def test_a_batch_may_hold_an_image_several_times():
    decisions = Decisions("key", images=3, batch_size=8, policy=Policy((8, 8)))
    seen = np.concatenate([decisions.indices(i) for i in range(3)])
    assert np.sort(seen.reshape(8, 3)).tolist() == 8 * [[0, 1, 2]]


def test_batch_size_does_not_move_the_order_of_images():
    small, large = (Decisions("key", images=12, batch_size=b, policy=Policy((8, 8))) for b in (2, 6))
    order = [np.concatenate([d.indices(i) for i in range(12 // d.batch_size)]) for d in (small, large)]
    assert order[0].tolist() == order[1].tolist()


def test_processes_split_the_global_batch(monkeypatch):
    whole = _pixels(_batches()[2])[0]
    parts = []
    for rank in range(2):
        monkeypatch.setattr("benchmark.inputs.batches.get_dist_info", lambda rank=rank: (rank, 2))
        parts.append(_pixels(_batches()[2])[0])
    together = torch.stack([parts[i % 2][i // 2] for i in range(4)])
    assert torch.equal(together, whole)


def test_sampler_starts_anywhere():
    sampler = IterationSampler(_batches(length=5))
    assert list(sampler) == [0, 1, 2, 3, 4]
    sampler.start = 3
    assert list(sampler) == [3, 4]
    assert len(sampler) == 2


def test_a_loader_yields_whole_batches():
    batches = _batches(length=2)
    loader = torch.utils.data.DataLoader(
        batches, batch_size=None, sampler=IterationSampler(batches), collate_fn=whole_batch
    )
    assert [len(batch["inputs"]) for batch in loader] == [4, 4]


def test_evaluation_images_are_untouched():
    images = EvaluationImages(SOURCE)
    item = images[7]
    assert np.array_equal(item["inputs"].numpy().transpose(1, 2, 0), images.source.image(7))
    assert np.array_equal(item["data_samples"].gt_sem_seg.data[0].numpy(), images.source.label(7))
    assert item["data_samples"].img_path == images.source.names[7]
    assert len(images) == len(images.source)


def test_a_default_scope_of_another_library_does_no_harm():
    with DefaultScope.overwrite_default_scope("mmengine"):
        assert len(EvaluationImages(SOURCE)) == 256
