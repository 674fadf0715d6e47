"""Train a network that `torch.compile` has compiled.

Its parts are compiled one by one; losses are not compiled. Compiled parts run in training only: evaluation, which other
programs repeat with the same weights, stays eager. Names of weights do not change. Random numbers come from PyTorch's
own generator (`fallback_random`), so that dropout draws the same numbers as in an eager step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial, wraps
from pathlib import Path
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from benchmark.engine.agreement import Outcome, distances, flipped, last_bits_changed, outcome
from benchmark.engine.arithmetic import float32_arithmetic
from benchmark.engine.precision import Float32OptimWrapper, autocast_dtype
from benchmark.engine.step import passes, preserved_state
from benchmark.errors import one_line
from benchmark.files.atomic import replacing
from benchmark.inputs.batches import Batch

PARTS = ("backbone", "neck", "decode_head", "auxiliary_head")

TOLERANCE = 0.01
"""Relative distance within which compiled passes always count as equal to eager ones in float32."""
ROUNDING = 2
"""Factor by which the error of compiled passes, relative to float32, may exceed that of eager ones in the precision of
the training: they round at other places, but no more often. Where the GPU cannot hold float32 passes, the error of
eager passes whose weights differ in the last bit of that precision takes its place."""
NOISE, CHANGES = 4, 3
"""Factor by which the error of compiled passes may exceed that of passes whose weights differ in their last bit, and
number of such changes. Max pooling chooses between close values by their last bits: they change the gradients of ENet
by 0.4 to 1.2 %."""


class CompilationFailed(Exception):  # noqa: N818 (a property of the network, not a program error)
    """Raised where a network cannot be compiled, or its compiled version computes different values."""


class CompilationInterrupted(Exception):  # noqa: N818 (not an error)
    """Raised where a compilation was interrupted between two parts of the network."""


class CompiledParts:
    """The parts of a segmentor, each in an eager and a compiled version.

    Args:
        model: the segmentor; it computes as before until `active` is set.

    Attributes:
        active: whether the compiled versions run in training.
        layout: the memory layout that they were compiled for; None before they are.
        interrupted: called before each part runs; where it returns True, `CompilationInterrupted` is raised.
    """

    def __init__(self, model: nn.Module) -> None:
        self.active = False
        self.interrupted: Callable[[], bool] = lambda: False
        self.layout: str | None = None
        for part in _parts(model):
            part.forward = self._switch(part)

    def compile(self, model: nn.Module, batch: Batch, optim_wrapper: OptimWrapper, layout: str) -> None:
        """Compile forward and backward pass, compare them with eager ones, and restore the model.

        Args:
            model: the segmentor.
            batch: a batch of the training; all others are of its shape.
            optim_wrapper: how it is trained.
            layout: name of the memory layout that its weights have now.

        Raises:
            CompilationFailed: it cannot be compiled, or its compiled version computes different values.
            CompilationInterrupted: `interrupted` returned True.
        """
        from torch._dynamo import config as dynamo  # takes a second to import
        from torch._inductor import config

        config.fallback_random = True
        self.active = True
        try:
            # Dynamo compiles a part for dynamic sizes from its second size on, which is slower.
            with dynamo.patch(automatic_dynamic_shapes=False):
                with preserved_state(model, optim_wrapper):
                    passes(model, batch, optim_wrapper)
                self._check(model, batch, optim_wrapper)
        except (torch.OutOfMemoryError, CompilationFailed, CompilationInterrupted):
            raise
        except Exception as error:  # of Dynamo, Inductor, Triton or a compiler, each of its own kind
            raise CompilationFailed(one_line(getattr(error, "inner_exception", error))) from error
        finally:
            self.active = False
        self.layout = layout

    def _check(self, model: nn.Module, batch: Batch, optim_wrapper: OptimWrapper) -> None:
        """Compare compiled passes with float32 ones, allowing for the rounding errors of eager passes.

        Where the GPU cannot hold float32 passes, eager ones in the precision of the training replace them.
        """
        other = flipped(batch)
        found, eager = (self._outcome(model, other, optim_wrapper, compiled=compiled) for compiled in (True, False))
        try:
            with float32_arithmetic(tf32=False):
                exact = Float32OptimWrapper(optimizer=optim_wrapper.optimizer)
                expected, sensitivity = self._reference(model, other, exact)
            noise = NOISE
        except torch.OutOfMemoryError:
            expected = None
        if expected is None:  # here, where the exception does not hold the feature maps of those passes
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()
            expected, sensitivity = self._reference(model, other, optim_wrapper)
            noise = ROUNDING  # the rounding error is a last bit of that precision
        rounding = distances(expected, eager)
        for what, error in distances(expected, found).items():
            if not error <= max(TOLERANCE, ROUNDING * rounding[what], noise * sensitivity[what]):  # also raised for NaN
                raise CompilationFailed(f"its {what} would be {error:.2g} off, relative to their size")

    def _reference(
        self, model: nn.Module, batch: Batch, optim_wrapper: OptimWrapper
    ) -> tuple[Outcome, dict[str, float]]:
        """Return the result of eager passes, and its change when the last bits of the weights change."""
        expected = self._outcome(model, batch, optim_wrapper)
        changes = []
        for seed in range(CHANGES):
            with last_bits_changed(model, seed, autocast_dtype(optim_wrapper)):
                changes.append(distances(expected, self._outcome(model, batch, optim_wrapper)))
        return expected, {what: max(change[what] for change in changes) for what in expected}

    def _outcome(self, model: nn.Module, batch: Batch, optim_wrapper: OptimWrapper, compiled: bool = False) -> Outcome:
        self.active = compiled
        return outcome(model, optim_wrapper, partial(passes, model, batch, optim_wrapper))

    def _switch(self, part: nn.Module) -> Callable[..., Any]:
        """Return the `forward` of a part, which heads call as such: compiled where `active` is set, else eager."""
        eager = part.forward
        compiled = torch.compile(eager)

        @wraps(eager)
        def forward(*args: Any, **kwargs: Any) -> Any:
            if self.interrupted():
                raise CompilationInterrupted
            return (compiled if self.active and part.training else eager)(*args, **kwargs)

        return forward


def load_artifacts(path: Path) -> bool:
    """Load the cached artifacts of an earlier compilation for the next one; return whether there were any.

    The file is code: it is read from the user's own cache and from nowhere else.

    Args:
        path: the file that `save_artifacts` has written.
    """
    if not hasattr(torch.compiler, "load_cache_artifacts"):  # torch 2.6
        return False
    try:
        return torch.compiler.load_cache_artifacts(path.read_bytes()) is not None
    except Exception:  # there is none, or unpickling a damaged one raises any exception
        return False


def save_artifacts(path: Path) -> None:
    """Save the artifacts that were compiled in this process, in PyTorch's portable format.

    It holds the kernels of a GPU. Those of a CPU are libraries in the folder of Inductor's own cache.

    Args:
        path: the file to write; its folder is made.
    """
    if not hasattr(torch.compiler, "save_cache_artifacts"):
        return
    if (artifacts := torch.compiler.save_cache_artifacts()) is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(artifacts[0])


def _parts(model: nn.Module) -> Iterator[nn.Module]:
    for name in PARTS:
        part = getattr(model, name, None)
        if isinstance(part, nn.ModuleList):
            yield from part
        elif part is not None:
            yield part
