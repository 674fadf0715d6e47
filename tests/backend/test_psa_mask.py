"""The PSA mask against its definition in loops, as mmcv documents it: collect and distribute."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import pytest
import torch
from mmcv.ops import PSAMask

TYPES = ["collect", "distribute"]
# (height, width) of map and mask: odd and even, mask smaller and larger than the map, square and not
SIZES = [((3, 3), (5, 5)), ((4, 5), (7, 9)), ((5, 4), (3, 3)), ((4, 6), (4, 2)), ((3, 4), (6, 12)), ((1, 3), (1, 4))]


def loops(source, kind, mask_size):
    """Visit every position and every cell of its mask; put the cell where it falls on the map."""
    batch, _, height, width = source.shape
    rows, columns = mask_size
    output = torch.zeros(batch, height * width, height, width, dtype=source.dtype)
    for n in range(batch):
        for h in range(height):
            for w in range(width):
                for i in range(rows):
                    for j in range(columns):
                        y, x = h + i - (rows - 1) // 2, w + j - (columns - 1) // 2
                        if 0 <= y < height and 0 <= x < width:
                            value = source[n, i * columns + j, h, w]
                            if kind == "collect":
                                output[n, y * width + x, h, w] = value
                            else:
                                output[n, h * width + w, y, x] = value
    return output


def loops_gradient(gradient, kind, mask_size, channels):
    """Which of the output's gradients each input cell gets: the output of the cells' own numbers, inverted."""
    batch, _, height, width = gradient.shape
    numbers = torch.arange(1, batch * channels * height * width + 1, dtype=torch.float64)
    placed = loops(numbers.view(batch, channels, height, width), kind, mask_size)
    result = torch.zeros(batch * channels * height * width + 1, dtype=gradient.dtype)
    result[placed.flatten().long()] = gradient.flatten()
    return result[1:].view(batch, channels, height, width)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize(("size", "mask_size"), SIZES)
def test_forward_and_backward_are_the_definition(kind, size, mask_size):
    channels = mask_size[0] * mask_size[1]
    source = torch.randn(2, channels, *size, dtype=torch.float64, requires_grad=True)
    output = PSAMask(kind, mask_size)(source)
    assert torch.equal(output, loops(source.detach(), kind, mask_size))

    gradient = torch.randn_like(output)
    output.backward(gradient)
    assert torch.equal(source.grad, loops_gradient(gradient, kind, mask_size, channels))


@pytest.mark.parametrize("kind", TYPES)
def test_gradcheck(kind):
    source = torch.randn(2, 3 * 5, 2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(PSAMask(kind, (3, 5)), source)


@pytest.mark.parametrize("kind", TYPES)
def test_input_and_gradient_that_are_not_contiguous(kind):
    source = torch.randn(2, 9, 3, 4, dtype=torch.float64).to(memory_format=torch.channels_last).requires_grad_()
    output = PSAMask(kind, (3, 3))(source)
    assert torch.equal(output, loops(source.detach(), kind, (3, 3)))
    gradient = torch.randn(4, 3, 12, 2, dtype=torch.float64).permute(3, 2, 1, 0)
    output.backward(gradient)
    assert torch.equal(source.grad, loops_gradient(gradient.contiguous(), kind, (3, 3), 9))


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_other_precisions_move_values_unchanged(kind, dtype):
    source = torch.randn(1, 9, 4, 3).to(dtype)
    assert torch.equal(PSAMask(kind, (3, 3))(source), loops(source, kind, (3, 3)))


@pytest.mark.parametrize("kind", TYPES)
def test_trace_replays_on_other_input(kind):
    mask = PSAMask(kind, (5, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(mask, torch.randn(2, 25, 4, 6))
    source = torch.randn(2, 25, 4, 6)
    assert torch.equal(traced(source), mask(source))


@pytest.mark.parametrize("kind", TYPES)
def test_meta(kind):
    source = torch.empty(2, 25, 4, 6, device="meta", requires_grad=True)
    output = PSAMask(kind, (5, 5))(source)
    output.sum().backward()
    assert output.shape == (2, 24, 4, 6)
    assert source.grad.is_meta


@pytest.mark.gpu
@pytest.mark.parametrize("kind", TYPES)
def test_cuda(kind):
    source = torch.randn(2, 35, 6, 4, dtype=torch.float64)
    on_gpu = source.cuda().requires_grad_()
    output = PSAMask(kind, (5, 7))(on_gpu)
    gradient = torch.randn_like(output)
    output.backward(gradient)
    assert torch.equal(output.cpu(), loops(source, kind, (5, 7)))
    assert torch.equal(on_gpu.grad.cpu(), loops_gradient(gradient.cpu(), kind, (5, 7), 35))


PEAK = """
import resource, torch
from benchmark import backend
backend.activate()
from mmcv.ops import PSAMask
source, mask = torch.randn(1, 97 * 97, 32, 64), PSAMask("collect", (97, 97))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB on Linux
mask(source)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
"""In a process of its own: here memory that was freed would be used again. One thread, for each takes memory."""


def test_memory_stays_near_what_goes_in_and_out():
    """PSANet's own size on Cityscapes: 74 MiB in, 16 MiB out."""
    done = subprocess.run([sys.executable, "-c", PEAK], env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True)
    assert int(done.stdout) < 256 * 1024, done.stderr
