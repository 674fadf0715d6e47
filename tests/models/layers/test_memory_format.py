"""What keeps maps in channels_last format computes the same as PyTorch's own operations, forward and backward."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmark.models.backbones.shufflenet import GROUPS, shuffle
from benchmark.models.layers.memory_format import GlobalAvgPool2d, concatenate, is_channels_last
from benchmark.models.layers.segnet import LocalResponseNorm
from benchmark.models.layers.unpool import max_unpool
from benchmark.models.layers.upsampling import crop


def _last(x):
    return x.contiguous(memory_format=torch.channels_last)


def _unpooled(x):
    pooled, indices = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
    return max_unpool(pooled * 2, indices, x.shape[-2:])


OPERATIONS = {
    "concatenate": lambda x: concatenate([x * 2, x[:, :3] + 1, x[:, 3:] * x[:, 3:]]),
    "unpool": _unpooled,
    "crop": lambda x: crop(x, (4, 6)),
    "crop from the middle": lambda x: crop(x, (3, 4), 1, 2),
    "crop of nothing": lambda x: crop(x, x.shape[-2:]),
    "shuffle": shuffle,
    "mean": lambda x: x * GlobalAvgPool2d()(x),
    "response": LocalResponseNorm(5, alpha=0.1, beta=0.75),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_formats_differ_in_rounding_alone(name):
    operation, found = OPERATIONS[name], []
    x, weight = torch.randn(2, 2 * GROUPS, 5, 7), None
    for layout in (torch.contiguous_format, torch.channels_last):
        leaf = x.clone(memory_format=layout).requires_grad_()
        result = operation(leaf)
        weight = torch.randn_like(result) if weight is None else weight
        (result * weight.contiguous(memory_format=layout)).sum().backward()
        assert result.is_contiguous(memory_format=layout) or name.startswith("crop")
        assert leaf.grad.is_contiguous(memory_format=layout)
        found.append((result.detach(), leaf.grad))
    torch.testing.assert_close(*found)


def test_a_response_is_pytorchs():
    x = torch.randn(2, 3, 5, 7)
    theirs = nn.LocalResponseNorm(5, alpha=0.1, beta=0.75)(x)
    torch.testing.assert_close(LocalResponseNorm(5, alpha=0.1, beta=0.75)(_last(x)), theirs)


def test_concatenation_has_the_format_of_the_first_map():
    """Images may come in another one."""
    x, image = torch.randn(2, 4, 5, 7), torch.randn(2, 3, 5, 7)
    assert is_channels_last(concatenate([_last(x), image]))
    assert torch.equal(concatenate([_last(x), image]), torch.cat([x, image], dim=1))
    with torch.no_grad():
        assert is_channels_last(concatenate([_last(x), image]))
    assert concatenate([x, image]).is_contiguous()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_concatenation_is_not_widened(layout):
    x, image = (torch.randn(2, 3, 5, 7).contiguous(memory_format=layout).requires_grad_() for _ in range(2))
    for maps in ([x.bfloat16(), image], [image, x.bfloat16()]):
        joined = concatenate(maps)
        assert joined.dtype == torch.bfloat16
        joined.sum().backward()
    assert x.grad.dtype == image.grad.dtype == torch.float32
    assert concatenate([x, image]).dtype == torch.float32


def test_one_channel_has_no_format_of_its_own():
    assert not is_channels_last(_last(torch.zeros(2, 1, 5, 7)))
    assert not is_channels_last(_last(torch.zeros(2, 3, 1, 1)))
    assert is_channels_last(_last(torch.zeros(2, 3, 5, 7)))
