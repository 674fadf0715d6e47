"""Max-unpooling against its definition, and against PyTorch's where that one works."""

import pytest
import torch
import torch.nn.functional as F

from benchmark.models.layers.unpool import max_unpool

SIZES = [(8, 12), (7, 12), (8, 11), (5, 3), (1, 1)]


def pool(x):
    return F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)


@pytest.mark.parametrize("size", SIZES)
def test_every_maximum_comes_back_to_where_it_was_and_all_else_is_zero(size):
    x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0)) + 1
    restored = max_unpool(*pool(x), size)

    expected = torch.zeros_like(x)
    for n in range(2):
        for c in range(3):
            for top in range(0, size[0], 2):
                for left in range(0, size[1], 2):
                    window = [
                        (x[n, c, row, column].item(), row, column)
                        for row in range(top, min(top + 2, size[0]))
                        for column in range(left, min(left + 2, size[1]))
                    ]
                    value, row, column = max(window)
                    expected[n, c, row, column] = value
    assert torch.equal(restored, expected)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_agrees_with_pytorch_forward_and_backward(layout):
    x = torch.randn(2, 3, 8, 12, dtype=torch.float64).contiguous(memory_format=layout)
    pooled, indices = pool(x)
    weight = torch.randn_like(x)
    ours, theirs = (pooled.clone().requires_grad_() for _ in range(2))
    (max_unpool(ours, indices, (8, 12)) * weight).sum().backward()
    (F.max_unpool2d(theirs, indices, 2) * weight).sum().backward()
    assert torch.equal(max_unpool(pooled, indices, (8, 12)), F.max_unpool2d(pooled, indices, 2))
    assert torch.equal(ours.grad, theirs.grad)


def test_gradient_is_that_of_finite_differences():
    pooled, indices = pool(torch.randn(1, 2, 5, 3, dtype=torch.float64))
    assert torch.autograd.gradcheck(lambda x: max_unpool(x, indices, (5, 3)), pooled.requires_grad_())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_keeps_the_type(dtype):
    pooled, indices = pool(torch.randn(1, 2, 4, 4))
    assert max_unpool(pooled.to(dtype), indices, (4, 4)).dtype == dtype
