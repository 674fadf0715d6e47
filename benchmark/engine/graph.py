"""Replay a training step from a CUDA graph: one launch instead of a thousand for a light network.

Forward and backward pass are captured with static input and output buffers: each batch is copied into them, and
gradients and loss are read from them. A graph contains the work of the device, not the decisions of Python: a network
can be captured if it reads nothing back from the device and draws no random numbers on the host, which is tested by
trying. (A network that synchronizes with the device, such as mmsegmentation's DNL head in each forward pass, trains
without a graph.) Dropout can be captured: a replay draws from the current state of the device's generator, which gives
the random numbers of the iteration.
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

from benchmark.engine.agreement import distances, flipped, outcome
from benchmark.engine.step import passes, preserved_state
from benchmark.errors import one_line
from benchmark.inputs.batches import Batch

WARM_UP = 3
"""Calls before a capture, in which cuDNN selects its algorithms and libraries allocate memory."""
TOLERANCE = 0.01
"""Relative distance within which replayed passes are always treated as equal to eager ones. Half precision and atomic
additions cause smaller distances; a batch or random number that was not updated by the replay causes some tenths."""
NOISE = 4
"""Factor by which the distance of replayed passes from eager ones may exceed that between eager passes."""

Capture = Callable[[Callable[[], Tensor]], tuple[Callable[[], None], Tensor]]
"""Records a function; returns a callable that repeats its work, and its result, which each repetition overwrites."""


class CaptureFailed(Exception):  # noqa: N818 (a property of the network, not a program error)
    """Raised if a training step cannot be replayed."""


class GraphedStep:
    """A training step with replayed forward and backward passes.

    The optimizer step is not replayed: learning rates are Python numbers, and its launches overlap with the replay. The
    loss is scaled within the graph, by the tensor that the scaler updates in place. Gradients keep their addresses, and
    each replay overwrites them, so they need no zeroing.

    Args:
        model: the network; its state is restored.
        batch: a batch of the training; all others have its shape.
        optim_wrapper: optimizer wrapper of the training.
        capture: records the passes; by default `record`.
        check: compare a replay with eager passes; not needed if the capture is only timed.

    Attributes:
        peak_memory: peak GPU memory of the passes in bytes.

    Raises:
        CaptureFailed: the passes cannot be captured, or a replay computes different values.
            torch.OutOfMemoryError: the GPU memory is too small.
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
        with preserved_state(model, optim_wrapper):
            try:
                self._replay, self._loss = (capture or record)(partial(passes, model, self._batch, optim_wrapper))
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # any error of the network, a library or the device
                raise CaptureFailed(one_line(error)) from error
            # The allocator treats captured memory as free, and a replay allocates nothing.
            self.peak_memory = torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else 0
            self._gradients = [(weight, weight.grad) for weight in model.parameters() if weight.grad is not None]
        if not torch.equal(drawn, torch.get_rng_state()):
            raise CaptureFailed("it draws random numbers on the host")
        if check:
            self._check(model, batch)

    def __call__(self, batch: Batch) -> Tensor:
        """Train on a batch; return the loss."""
        loss = self.passes(batch)
        self._optim_wrapper.step()
        return loss

    def passes(self, batch: Batch) -> Tensor:
        """Replay forward and backward pass: set the gradients of this batch, and return the loss."""
        self._batch["inputs"].copy_(batch["inputs"], non_blocking=True)
        self._batch["labels"].copy_(batch["labels"], non_blocking=True)
        for weight, gradient in self._gradients:
            weight.grad = gradient
        self._replay()
        return self._loss.clone()  # losses are read later, but the next replay overwrites this one

    def _check(self, model: nn.Module, batch: Batch) -> None:
        """Compare a replay with eager passes, on images and random numbers that were not captured."""
        other = flipped(batch)
        eager = partial(passes, model, other, self._optim_wrapper)
        expected, again, replayed = (
            outcome(model, self._optim_wrapper, call) for call in (eager, eager, partial(self.passes, other))
        )
        errors, noise = distances(expected, replayed), distances(expected, again)
        for what, error in errors.items():
            if not error <= max(TOLERANCE, NOISE * noise[what]):  # also raised for NaN
                raise CaptureFailed(f"its {what} would have a relative error of {error:.2g}")


def record(function: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """Capture the GPU work of a function in a CUDA graph.

    Autocast must begin and end within the function, so that its cache of cast weights is not shared with the capture.
    Other threads may use the GPU meanwhile.
    """
    if not torch.cuda.is_available():
        raise RuntimeError("no CUDA device is available")
    graph, stream, now = torch.cuda.CUDAGraph(), torch.cuda.Stream(), torch.cuda.current_stream()
    stream.wait_stream(now)
    try:
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                function()
            with _no_waits():  # synchronizing breaks a capture; an error outside of it is easier to recover from
                function()
    finally:  # launched kernels may still run, and the caller restores what they change
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
    """Restore the state of the process after a failed capture.

    PyTorch does not reset the allocator, which keeps using the memory pool of the graph: `empty_cache` fails an
    assertion, and a failed allocation frees nothing. It does not reset the generator either, which refuses to draw
    (`CUDAGraph::capture_end` raises before it resets either).
    """
    device = torch.cuda.current_device()
    with suppress(AttributeError, RuntimeError):  # the capture itself was complete: the graph releases the pool
        torch._C._cuda_endAllocateToPool(device, pool)
        torch._C._cuda_releasePool(device, pool)
    torch.cuda.default_generators[device].graphsafe_set_state(torch.Generator("cuda"))


@contextmanager
def _no_waits() -> Iterator[None]:
    """Make synchronizing with the GPU an error within the context."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)
