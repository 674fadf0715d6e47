"""Sigmoid focal loss against the paper's equation, element by element in plain Python."""

from __future__ import annotations

import math

import pytest
import torch
from mmcv.ops import sigmoid_focal_loss

LOGITS = torch.tensor(
    [[0.3, -1.2, 2.0], [-0.7, 0.0, 1.5], [3.0, -2.5, 0.1], [0.9, 0.8, -0.4], [-4.0, 5.0, 0.6]], dtype=torch.float64
)
TARGET = torch.tensor([0, 2, 1, 3, 255])  # 3 classes: the last two samples are background
SETTINGS = [(2.0, 0.25), (0.0, 0.5), (1.0, 0.75), (3.5, 0.1)]


def equation(logits, target, gamma, alpha, weight=None):
    """FL(p_t) = -alpha_t (1 - p_t)^gamma log(p_t), with p_t = p for the target's class and 1 - p for the others."""
    losses = []
    for row, t in zip(logits.tolist(), target.tolist(), strict=True):
        for c, logit in enumerate(row):
            p = 1 / (1 + math.exp(-logit))
            p_t, alpha_t = (p, alpha) if c == t else (1 - p, 1 - alpha)
            w = 1 if weight is None else weight[min(t, len(row) - 1)].item()
            losses.append(-w * alpha_t * (1 - p_t) ** gamma * math.log(p_t))
    return torch.tensor(losses, dtype=torch.float64).view_as(logits)


@pytest.mark.parametrize(("gamma", "alpha"), SETTINGS)
def test_forward_is_the_equation(gamma, alpha):
    expected = equation(LOGITS, TARGET, gamma, alpha)
    assert torch.allclose(sigmoid_focal_loss(LOGITS, TARGET, gamma, alpha, None, "none"), expected, rtol=1e-12, atol=0)
    assert torch.allclose(sigmoid_focal_loss(LOGITS, TARGET, gamma, alpha, None, "sum"), expected.sum(), rtol=1e-12)
    # mmcv's mean is over samples, not over samples and classes
    assert torch.allclose(
        sigmoid_focal_loss(LOGITS, TARGET, gamma, alpha, None, "mean"), expected.sum() / 5, rtol=1e-12
    )


@pytest.mark.parametrize(("gamma", "alpha"), SETTINGS)
def test_backward_is_the_slope_of_the_equation(gamma, alpha):
    logits, upstream, step = LOGITS.clone().requires_grad_(), torch.randn_like(LOGITS), 1e-6
    sigmoid_focal_loss(logits, TARGET, gamma, alpha, None, "none").backward(upstream)
    above, below = (equation(LOGITS + sign * step, TARGET, gamma, alpha) for sign in (1, -1))
    assert torch.allclose(logits.grad, upstream * (above - below) / (2 * step), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize(("gamma", "alpha"), SETTINGS)
def test_gradcheck(gamma, alpha, reduction):
    logits = LOGITS.clone().requires_grad_()
    weight = torch.tensor([0.5, 2.0, 1.5], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: sigmoid_focal_loss(x, TARGET, gamma, alpha, weight, reduction), logits, atol=1e-7
    )


def test_weight_is_that_of_the_target_class():
    target, weight = torch.tensor([0, 2, 1, 0, 2]), torch.tensor([0.5, 2.0, 1.5], dtype=torch.float64)
    loss = sigmoid_focal_loss(LOGITS, target, 2.0, 0.25, weight, "none")
    assert torch.allclose(loss, equation(LOGITS, target, 2.0, 0.25, weight), rtol=1e-12)


def test_extreme_logits_neither_overflow_nor_lose_the_loss():
    logits = torch.tensor([[-200.0, 200.0], [200.0, -200.0]], requires_grad=True)
    loss = sigmoid_focal_loss(logits, torch.tensor([0, 0]), 2.0, 0.25, None, "none")
    assert torch.allclose(loss, torch.tensor([[50.0, 150.0], [0.0, 0.0]]))
    loss.sum().backward()
    assert torch.allclose(logits.grad, torch.tensor([[-0.25, 0.75], [0.0, 0.0]]))


def test_good_classification_keeps_its_precision_in_float32():
    """(1 - p)^2 of p near 1 is far below the spacing of numbers near 1."""
    logits = torch.tensor([[18.0]])
    loss = sigmoid_focal_loss(logits, torch.tensor([0]), 2.0, 0.25, None, "none")
    q = math.exp(-18) / (1 + math.exp(-18))
    assert loss.item() == pytest.approx(0.25 * q**2 * -math.log1p(-q), rel=1e-5)


def test_meta():
    logits = torch.empty(4, 3, device="meta", requires_grad=True)
    target = torch.empty(4, dtype=torch.long, device="meta")
    sigmoid_focal_loss(logits, target, 2.0, 0.25, None, "mean").backward()
    assert logits.grad.is_meta
