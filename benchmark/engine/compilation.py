"""Training with a network that `torch.compile` has compiled.

Its parts are compiled one by one, losses are not. A part is compiled in training alone: evaluation, which other
programs repeat with the same weights, runs as it always does. Names of weights stay. Random numbers are PyTorch's own
(`fallback_random`), so that dropout draws what it draws in an eager step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial, wraps
from pathlib import Path
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from benchmark.engine.agreement import Outcome, distances, last_bits_changed, mirrored, outcome
from benchmark.engine.arithmetic import float32_arithmetic
from benchmark.engine.precision import Float32OptimWrapper, autocast_dtype
from benchmark.engine.step import passes, rehearsal
from benchmark.errors import one_line
from benchmark.files.atomic import replacing
from benchmark.inputs.batches import Batch

PARTS = ("backbone", "neck", "decode_head", "auxiliary_head")

TOLERANCE = 0.01
"""Relative distance to which compiled passes have to agree with eager ones in float32 in any case."""
ROUNDING = 2
"""How many times as far from passes in float32 compiled passes may be as eager ones in the precision of the training:
they round at other places, and no more often. Where float32 does not fit, as eager ones whose weights differ in the
last bit of that precision."""
NOISE, CHANGES = 4, 3
"""How many times as far from passes in float32 compiled passes may be as passes whose weights differ in their last bit,
and how often those are changed. Where maxima are pooled, last bits decide between near ones: they move the gradients of
ENet by 0.4 to 1.2 %."""


class CompilationFailed(Exception):  # noqa: N818 (a property of the network, not a mistake)
    """A network cannot be compiled, or computes something else then; says why."""


class Interrupted(Exception):  # noqa: N818 (nothing is wrong)
    """A compilation was given up between two parts of the network: its time was up."""


class CompiledParts:
    """The parts of a segmentor with a compiled version beside the eager one.

    Args:
        model: the segmentor; it computes as before until `active` is set.

    Attributes:
        active: whether the compiled versions run in training.
        layout: the memory layout that they were compiled for; None before they are.
        interrupted: is asked before each part runs; where it is true, `Interrupted` is raised.
    """

    def __init__(self, model: nn.Module) -> None:
        self.active = False
        self.interrupted: Callable[[], bool] = lambda: False
        self.layout: str | None = None
        for part in _parts(model):
            part.forward = self._switch(part)

    def compile(self, model: nn.Module, batch: Batch, optim_wrapper: OptimWrapper, layout: str) -> None:
        """Compile forward and backward pass, and compare them with eager ones; the model stays as it was.

        Args:
            model: the segmentor.
            batch: a batch of the training; all others are of its shape.
            optim_wrapper: how it is trained.
            layout: name of the memory layout that its weights have now.

        Raises:
            CompilationFailed: it cannot be compiled, or what is compiled computes something else.
            Interrupted: as `interrupted` asked for.
        """
        from torch._dynamo import config as dynamo  # takes a second to import
        from torch._inductor import config

        config.fallback_random = True
        self.active = True
        try:
            # What runs at several sizes would be compiled for any size from the second on, which is slower.
            with dynamo.patch(automatic_dynamic_shapes=False):
                with rehearsal(model, optim_wrapper):
                    passes(model, batch, optim_wrapper)
                self._check(model, batch, optim_wrapper)
        except (torch.OutOfMemoryError, CompilationFailed, Interrupted):
            raise
        except Exception as error:  # of Dynamo, Inductor, Triton or a compiler, each of its own kind
            raise CompilationFailed(one_line(getattr(error, "inner_exception", error))) from error
        finally:
            self.active = False
        self.layout = layout

    def _check(self, model: nn.Module, batch: Batch, optim_wrapper: OptimWrapper) -> None:
        """Compare with float32: eager passes are some way from it in the precision of the training, and by rounding.

        Where the GPU cannot hold passes in float32, eager ones in the precision of the training take their place.
        """
        other = mirrored(batch)
        found, eager = (self._outcome(model, other, optim_wrapper, compiled=compiled) for compiled in (True, False))
        try:
            with float32_arithmetic(tf32=False):
                exact = Float32OptimWrapper(optimizer=optim_wrapper.optimizer)
                expected, sensitivity = self._reference(model, other, exact)
            noise = NOISE
        except torch.OutOfMemoryError:
            expected = None
        if expected is None:  # here, where the exception does not hold the maps of those passes
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()
            expected, sensitivity = self._reference(model, other, optim_wrapper)
            noise = ROUNDING  # a last bit of that precision is what it rounds by
        rounding = distances(expected, eager)
        for what, error in distances(expected, found).items():
            if not error <= max(TOLERANCE, ROUNDING * rounding[what], noise * sensitivity[what]):  # nor where it is NaN
                raise CompilationFailed(f"its {what} would be {error:.2g} off, relative to their size")

    def _reference(
        self, model: nn.Module, batch: Batch, optim_wrapper: OptimWrapper
    ) -> tuple[Outcome, dict[str, float]]:
        """What eager passes leave, and how far the last bits of the weights, in their precision, move it."""
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
        """`forward` of a part, which heads call as such: its compiled version where that is asked for."""
        eager = part.forward
        compiled = torch.compile(eager)

        @wraps(eager)
        def forward(*args: Any, **kwargs: Any) -> Any:
            if self.interrupted():
                raise Interrupted
            return (compiled if self.active and part.training else eager)(*args, **kwargs)

        return forward


def load_artifacts(path: Path) -> bool:
    """Let the next compilation take what an earlier one has left; whether there was something.

    The file is code: it is read from the user's own cache and from nowhere else.

    Args:
        path: the file that `save_artifacts` has written.
    """
    if not hasattr(torch.compiler, "load_cache_artifacts"):  # torch 2.6
        return False
    try:
        return torch.compiler.load_cache_artifacts(path.read_bytes()) is not None
    except Exception:  # there is none, or it is damaged, which raises whatever unpickling does
        return False


def save_artifacts(path: Path) -> None:
    """Keep what was compiled in this process, in PyTorch's own portable form.

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
