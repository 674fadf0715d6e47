"""Multi-scale deformable attention, called the way mmcv calls it on a GPU, against bilinear sampling in loops."""

from __future__ import annotations

import math

import torch
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

SHAPES = torch.tensor([[3, 4], [2, 2]])
STARTS = torch.tensor([0, 12])


def problem(batch=2, queries=3, heads=2, channels=2, points=2):
    generator = torch.Generator().manual_seed(0)
    draw = {"generator": generator, "dtype": torch.float64}
    value = torch.randn(batch, 16, heads, channels, **draw)
    # some of the locations lie outside of the map
    locations = torch.rand(batch, queries, heads, 2, points, 2, **draw) * 1.4 - 0.2
    weights = torch.rand(batch, queries, heads, 2, points, **draw)
    return value, locations, weights


def attend(value, locations, weights):
    return MultiScaleDeformableAttnFunction.apply(value, SHAPES, STARTS, locations, weights, 64)


def loops(value, locations, weights):
    """The sum over levels and points of weight times value, between the four pixels around, 0 outside of the map."""
    batch, _, heads, channels = value.shape
    queries, points = locations.shape[1], locations.shape[4]
    output = torch.zeros(batch, queries, heads, channels, dtype=value.dtype)
    for n in range(batch):
        for q in range(queries):
            for head in range(heads):
                for level, (height, width) in enumerate(SHAPES.tolist()):
                    for point in range(points):
                        x, y = locations[n, q, head, level, point].tolist()
                        column, row = x * width - 0.5, y * height - 0.5  # pixel centres lie at halves
                        for r in (math.floor(row), math.floor(row) + 1):
                            for c in (math.floor(column), math.floor(column) + 1):
                                if 0 <= r < height and 0 <= c < width:
                                    near = (1 - abs(row - r)) * (1 - abs(column - c))
                                    position = STARTS[level] + r * width + c
                                    scale = weights[n, q, head, level, point] * near
                                    output[n, q, head] += scale * value[n, position, head]
    return output.flatten(2)


def test_forward_is_the_definition():
    inputs = problem()
    assert torch.allclose(attend(*inputs), loops(*inputs), rtol=1e-10)


def test_gradcheck():
    assert torch.autograd.gradcheck(attend, [tensor.requires_grad_() for tensor in problem(batch=1, queries=2)])


def test_sizes_are_read_once_for_all_layers_and_passes(monkeypatch):
    """For what is read, a program waits for the GPU."""
    reads, tolist = [], torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda tensor: reads.append(tensor) or tolist(tensor))
    monkeypatch.setattr(torch.Tensor, "__int__", None, raising=False)
    shapes = SHAPES.clone()
    for _ in range(3):
        value, locations, weights = (tensor.requires_grad_() for tensor in problem())
        MultiScaleDeformableAttnFunction.apply(value, shapes, STARTS, locations, weights, 64).sum().backward()
    assert len(reads) == 1


def test_sizes_that_change_in_place_are_read_again():
    shapes = SHAPES.clone()
    value, *rest = problem()
    first = MultiScaleDeformableAttnFunction.apply(value, shapes, STARTS, *rest, 64)
    shapes.copy_(torch.tensor([[4, 3], [2, 2]]))
    assert not torch.equal(first, MultiScaleDeformableAttnFunction.apply(value, shapes, STARTS, *rest, 64))
