"""Train a network compiled by `torch.compile`.

Its parts are compiled separately; losses are not compiled. Compiled parts are used in training only: evaluation stays
eager, so that other programs reproduce it with the same weights. Names of weights do not change. Random numbers come
from PyTorch's own generator (`fallback_random`), so that dropout draws the same numbers as in an eager step.
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
"""Relative distance within which compiled passes are always treated as equal to eager ones in float32."""
ROUNDING = 2
"""Factor by which the error of compiled passes, relative to float32, may exceed that of eager ones in the precision of
the training: they round at other places, but no more often. If float32 passes do not fit in GPU memory, the error of
eager passes with weights changed in the last bit of that precision is used."""
NOISE, CHANGES = 4, 3
"""Factor by which the error of compiled passes may exceed that of passes with weights changed in their last bit, and
number of such changes. Max pooling chooses between close values by their last bits: such changes alter the gradients of
ENet by 0.4 to 1.2 %."""


class CompilationFailed(Exception):  # noqa: N818 (a property of the network, not a program error)
    """Raised if a network cannot be compiled, or its compiled version computes different values."""


class CompilationInterrupted(Exception):  # noqa: N818 (not an error)
    """Raised if a compilation was interrupted between two parts of the network."""


class CompiledParts:
    """The parts of a segmentor, each in an eager and a compiled version.

    Args:
        model: the segmentor; it stays eager until `active` is set.

    Attributes:
        active: whether the compiled versions run in training.
        layout: the memory layout that they were compiled for; None before compilation.
        interrupted: called before each part is run; if it returns True, `CompilationInterrupted` is raised.
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
            batch: a batch of the training; all others have its shape.
            optim_wrapper: optimizer wrapper of the training.
            layout: name of the current memory layout of its weights.

        Raises:
            CompilationFailed: it cannot be compiled, or its compiled version computes different values.
            CompilationInterrupted: `interrupted` returned True.
        """
        from torch._dynamo import config as dynamo  # its import takes a second
        from torch._inductor import config

        config.fallback_random = True
        self.active = True
        try:
            # Otherwise Dynamo compiles a part for dynamic sizes from its second size on, which is slower.
            with dynamo.patch(automatic_dynamic_shapes=False):
                with preserved_state(model, optim_wrapper):
                    passes(model, batch, optim_wrapper)
                self._check(model, batch, optim_wrapper)
        except (torch.OutOfMemoryError, CompilationFailed, CompilationInterrupted):
            raise
        except Exception as error:  # Dynamo, Inductor, Triton and compilers raise various types
            raise CompilationFailed(one_line(getattr(error, "inner_exception", error))) from error
        finally:
            self.active = False
        self.layout = layout

    def _check(self, model: nn.Module, batch: Batch, optim_wrapper: OptimWrapper) -> None:
        """Compare compiled passes with float32 ones, allowing for the rounding errors of eager passes.

        If float32 passes do not fit in GPU memory, eager ones in the precision of the training replace them.
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
        if expected is None:  # outside of the handler, whose exception references feature maps
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()
            expected, sensitivity = self._reference(model, other, optim_wrapper)
            noise = ROUNDING  # the rounding error is the last bit of that precision
        rounding = distances(expected, eager)
        for what, error in distances(expected, found).items():
            if not error <= max(TOLERANCE, ROUNDING * rounding[what], noise * sensitivity[what]):  # also raised for NaN
                raise CompilationFailed(f"its {what} would have a relative error of {error:.2g}")

    def _reference(
        self, model: nn.Module, batch: Batch, optim_wrapper: OptimWrapper
    ) -> tuple[Outcome, dict[str, float]]:
        """Return the outcome of eager passes, and its change if the last bits of the weights change."""
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
        """Return the `forward` of a part, as called by heads: compiled if `active` is set, else eager."""
        eager = part.forward
        compiled = torch.compile(eager)

        @wraps(eager)
        def forward(*args: Any, **kwargs: Any) -> Any:
            if self.interrupted():
                raise CompilationInterrupted
            return (compiled if self.active and part.training else eager)(*args, **kwargs)

        return forward


def load_artifacts(path: Path) -> bool:
    """Load the cached artifacts of an earlier compilation for the next one; return whether any were loaded.

    The file contains code and is only read from the user's own cache.

    Args:
        path: the file written by `save_artifacts`.
    """
    if not hasattr(torch.compiler, "load_cache_artifacts"):  # torch 2.6
        return False
    try:
        return torch.compiler.load_cache_artifacts(path.read_bytes()) is not None
    except Exception:  # the file is missing, or damaged, which raises any exception
        return False


def save_artifacts(path: Path) -> None:
    """Save the artifacts that were compiled in this process, in PyTorch's portable format.

    They contain the kernels of a GPU. Those of a CPU are libraries in Inductor's own cache folder.

    Args:
        path: the file to write; its folder is created.
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
