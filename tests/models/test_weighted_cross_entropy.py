"""The weighted cross-entropy is PyTorch's, void left out."""

import pytest
import torch
import torch.nn.functional as F
from mmseg.models.losses import CrossEntropyLoss

from benchmark.models.losses.cross_entropy import WeightedCrossEntropyLoss

WEIGHTS = [0.5, 2.0, 7.0, 0.0]


@pytest.fixture
def scored():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 4, 5, 6, generator=generator, requires_grad=True)
    labels = torch.randint(0, 4, (2, 5, 6), generator=generator)
    labels[:, 1:3] = 255
    return scores, labels


def test_it_averages_as_pytorch_does(scored):
    scores, labels = scored
    ours = WeightedCrossEntropyLoss(WEIGHTS, loss_weight=0.4)(scores, labels)
    theirs = 0.4 * F.cross_entropy(scores, labels, torch.tensor(WEIGHTS), ignore_index=255)
    assert torch.allclose(ours, theirs, rtol=1e-6)
    grads = [torch.autograd.grad(loss, scores, retain_graph=True)[0] for loss in (ours, theirs)]
    assert torch.allclose(*grads, atol=1e-8)


def test_mmsegmentations_own_cannot_look_up_the_weight_of_void(scored):
    """Should this ever pass, its `CrossEntropyLoss` with `class_weight` and `avg_non_ignore` would do."""
    loss = CrossEntropyLoss(class_weight=WEIGHTS, avg_non_ignore=True)
    with pytest.raises(IndexError):
        loss(*scored, ignore_index=255)


def test_pixels_have_weights_of_their_own(scored):
    scores, labels = scored
    chosen = torch.zeros(labels.shape)
    chosen[0, 0] = 1
    ours = WeightedCrossEntropyLoss(WEIGHTS)(scores, labels, weight=chosen)
    theirs = F.cross_entropy(scores[:1, :, :1], labels[:1, :1], torch.tensor(WEIGHTS))
    assert torch.allclose(ours, theirs, rtol=1e-6)


def test_no_pixel_that_counts(scored):
    scores, labels = scored
    loss = WeightedCrossEntropyLoss(WEIGHTS)(scores, torch.full_like(labels, 255))
    loss.backward()
    assert loss.item() == 0
    assert not scores.grad.any()


def test_it_is_no_part_of_the_weights():
    assert not WeightedCrossEntropyLoss(WEIGHTS).state_dict()
