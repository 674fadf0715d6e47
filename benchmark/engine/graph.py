"""A training step replayed from a CUDA graph: one launch where a light network takes a thousand.

Forward and backward pass are captured with all that they read and write at fixed places: the batch is copied there,
gradients and loss are found there. What is captured is what the device did, not what Python decided: a network can be
captured if it reads nothing back from the device and draws nothing on the host, which is found out by trying. (One that
copies numbers there and waits for it, as mmsegmentation's DNL head does in each forward pass, trains without a graph.)
Dropout can: a replay takes its random numbers from the generator of the device as it stands, and so those of the
iteration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import torch
from mmengine.dist import is_distributed
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from benchmark.engine.agreement import distances, mirrored, outcome
from benchmark.engine.step import passes, rehearsal
from benchmark.errors import one_line
from benchmark.inputs.batches import Batch

WARM_UP = 3
"""Calls before a capture, in which cuDNN picks its algorithms and libraries take their memory."""
TOLERANCE = 0.01
"""Relative distance to which replayed passes have to agree with eager ones in any case. Half precision and atomic
additions bring less, a batch or a random number that stayed behind brings some tenths."""
NOISE = 4
"""How many times as far as eager passes are from each other, replayed ones may be from them."""

Capture = Callable[[Callable[[], Tensor]], tuple[Callable[[], None], Tensor]]
"""Makes of a function what repeats its work, and its result, which each repetition overwrites."""


class CaptureFailed(Exception):  # noqa: N818 (a property of the network, not a mistake)
    """A training step cannot be replayed; says why."""


class GraphedStep:
    """A training step whose forward and backward pass are replayed.

    The update is not: learning rates are numbers of Python, and its launches pass while the replay computes. The loss
    is scaled within the graph, by the tensor that the scaler updates in place. Gradients keep their places, and each
    replay overwrites them, so nothing zeroes them.

    Args:
        model: the network; it ends as it was.
        batch: a batch of the training; all others are of its shape.
        optim_wrapper: how the network is trained.
        capture: how the passes are recorded; by default `record`.
        check: compare a replay with eager passes; a capture that is only timed can do without.

    Attributes:
        peak_memory: bytes of GPU memory that the passes took at most.

    Raises:
        CaptureFailed: the passes cannot be captured, or come out otherwise when they are replayed.
        torch.OutOfMemoryError: the GPU cannot hold them.
    """

    def __init__(
        self,
        model: nn.Module,
        batch: Batch,
        optim_wrapper: OptimWrapper,
        capture: Capture | None = None,
        *,
        check: bool = True,
    ) -> None:
        if is_distributed() or optim_wrapper._accumulative_counts > 1:
            raise CaptureFailed("gradients are exchanged or accumulated")
        if torch.are_deterministic_algorithms_enabled():
            raise CaptureFailed("training is deterministic")
        network: Any = model
        device = network.data_preprocessor.device
        self._optim_wrapper = optim_wrapper
        self._batch: Batch = {
            "inputs": batch["inputs"].to(device, copy=True),
            "labels": batch["labels"].to(device, copy=True),
        }
        drawn = torch.get_rng_state()
        if torch.cuda.is_initialized():
            torch.cuda.reset_peak_memory_stats()
        with rehearsal(model, optim_wrapper):
            try:
                self._replay, self._loss = (capture or record)(partial(passes, model, self._batch, optim_wrapper))
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # whatever a network, a library or the device has against it
                raise CaptureFailed(one_line(error)) from error
            # The allocator counts what was captured as free, and a replay allocates nothing.
            self.peak_memory = torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else 0
            self._gradients = [(weight, weight.grad) for weight in model.parameters() if weight.grad is not None]
        if not torch.equal(drawn, torch.get_rng_state()):
            raise CaptureFailed("it draws random numbers on the host")
        if check:
            self._check(model, batch)

    def __call__(self, batch: Batch) -> Tensor:
        """One training step; returns the loss."""
        loss = self.passes(batch)
        self._optim_wrapper.step()
        return loss

    def passes(self, batch: Batch) -> Tensor:
        """Forward and backward pass: leaves gradients, of this batch alone, and returns the loss."""
        self._batch["inputs"].copy_(batch["inputs"], non_blocking=True)
        self._batch["labels"].copy_(batch["labels"], non_blocking=True)
        for weight, gradient in self._gradients:
            weight.grad = gradient
        self._replay()
        return self._loss.clone()  # losses are kept until they are read, and the next replay overwrites this one

    def _check(self, model: nn.Module, batch: Batch) -> None:
        """Compare a replay with eager passes, on images and random numbers that were not captured."""
        other = mirrored(batch)
        eager = partial(passes, model, other, self._optim_wrapper)
        expected, again, replayed = (
            outcome(model, self._optim_wrapper, call) for call in (eager, eager, partial(self.passes, other))
        )
        errors, noise = distances(expected, replayed), distances(expected, again)
        for what, error in errors.items():
            if not error <= max(TOLERANCE, NOISE * noise[what]):  # nor where one is no number
                raise CaptureFailed(f"its {what} would be {error:.2g} off, relative to their size")


def record(function: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """Capture what a function does on the GPU in a CUDA graph.

    Autocast begins and ends within the function, so weights that it cast and kept are neither taken from before the
    capture nor left behind. Other threads may use the GPU meanwhile.
    """
    if not torch.cuda.is_available():
        raise RuntimeError("there is no CUDA device")
    graph, stream, now = torch.cuda.CUDAGraph(), torch.cuda.Stream(), torch.cuda.current_stream()
    stream.wait_stream(now)
    try:
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                function()
            with _no_waits():  # a wait breaks a capture, and cannot be caught as well there as here
                function()
    finally:  # what was begun may still run, and the caller puts back what it changes
        now.wait_stream(stream)
    pool = torch.cuda.graph_pool_handle()
    try:
        # The outer context returns to the stream; the inner one does not if the capture broke.
        with (
            torch.cuda.stream(now),
            torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"),
            _no_waits(),
        ):
            result = function()
    except Exception:
        _repair(pool)
        raise
    return graph.replay, result


def _repair(pool: tuple[int, int]) -> None:
    """Let the process go on after a capture that broke.

    PyTorch leaves the allocator routing memory to the pool of the graph, where `empty_cache` fails an assertion and an
    allocation that does not fit frees nothing, and the generator in a state in which it refuses to draw
    (`CUDAGraph::capture_end` raises before it ends either).
    """
    device = torch.cuda.current_device()
    with suppress(AttributeError, RuntimeError):  # the capture itself was whole: the graph has ended and releases it
        torch._C._cuda_endAllocateToPool(device, pool)
        torch._C._cuda_releasePool(device, pool)
    torch.cuda.default_generators[device].graphsafe_set_state(torch.Generator("cuda"))


@contextmanager
def _no_waits() -> Iterator[None]:
    """Within it, waiting for the GPU is an error."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)
