"""Find the fastest training mode of a network on its device by timed trials, cached for later runs.

Channels last is 1.2 to 1.5 times as fast for most networks in half precision on a GPU, and slower for some with grouped
convolutions (timm's tables). A CUDA graph saves the launches, and compilation fuses the operators between convolutions,
which take most of the time of light networks. Only a trial can decide. Trials use cuDNN's heuristic algorithms; cuDNN
benchmarks its algorithms once, for the selected mode.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from logging import Logger
from pathlib import Path
from statistics import median

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from benchmark.engine import timings
from benchmark.engine.arithmetic import without_search
from benchmark.engine.compilation import (
    CompilationFailed,
    CompilationInterrupted,
    CompiledParts,
    load_artifacts,
    save_artifacts,
)
from benchmark.engine.graph import CaptureFailed, GraphedStep
from benchmark.engine.layout import LAYOUTS, arrange
from benchmark.engine.step import Step, passes, preserved_state, step
from benchmark.engine.timings import EAGER, Timings, TrainingMode
from benchmark.errors import UserError, one_line
from benchmark.inputs.batches import Batch

WARM_UP, STEPS = 2, 3
"""Untimed and timed steps of a trial."""

SAVING = 0.3
"""Expected saving of compilation, as a fraction of a step, without a measurement."""

COMPILE_SECONDS = 90.0
"""Expected seconds of a first compilation, without a measurement."""

KEPT = 0.25
"""Expected time of a compilation with cached kernels, as a fraction of the first one."""

FAILURES = (CompilationFailed, CaptureFailed, torch.OutOfMemoryError)
"""Errors that reject a mode without failing the training."""


def _never() -> bool:
    return False


@dataclass(frozen=True)
class TrainingTask:
    """The model, batch and optimizer that an autotuner times.

    Attributes:
        model: the network.
        batch: a batch; all others have its shape.
        optim_wrapper: optimizer wrapper of the training.
        iterations: number of remaining steps.
    """

    model: nn.Module
    batch: Batch
    optim_wrapper: OptimWrapper
    iterations: int


@dataclass(frozen=True)
class Prepared:
    """A training that is ready to start.

    Attributes:
        mode: the training mode of its steps.
        step: takes a batch, trains on it, and returns its loss.
        compile_seconds: seconds of compilation; None if the network is not compiled.
    """

    mode: TrainingMode
    step: Step
    compile_seconds: float | None


class Autotuner:
    """Selects the training mode of a network and prepares its training step.

    Args:
        mode: the mode to use without a trial; None to find one.
        compile: whether the network is compiled: always, never, or None to compile if it is expected to pay.
        memory: file, without suffix, in which timings and compiled kernels are stored for the next run; None to
            store nothing.

    Attributes:
        interrupted: callable that returns whether to stop compiling ahead before the next part of the network.
    """

    def __init__(
        self, mode: TrainingMode | None = EAGER, compile: bool | None = None, memory: Path | None = None
    ) -> None:
        self.mode, self.compile = mode, compile
        self._timings = memory and memory.with_name(f"{memory.name}.json")
        self._artifacts = memory and memory.with_name(f"{memory.name}.artifacts")
        self._parts: CompiledParts | None = None
        self.interrupted: Callable[[], bool] = _never
        self._compile_seconds: float | None = None
        self._first_compile_seconds: float | None = None

    def compile_ahead(self, training: TrainingTask) -> None:
        """Compile while another run trains on the device, if compilation is expected to pay.

        Failures are ignored here: they recur, and are reported, when the training is prepared. An interrupted
        compilation is repeated then if it still pays, and reuses the compiled parts in Inductor's cache.
        """
        layout = self._layout_ahead(training)
        if layout is None:
            return
        try:
            self._compile(training, layout, self.interrupted)
        except (*FAILURES, CompilationInterrupted):
            _free(training.model)

    def _layout_ahead(self, training: TrainingTask) -> str | None:
        """Return the layout to compile for ahead; None if the training is not expected to be compiled.

        Nothing is timed while another run trains: without earlier timings, only cached kernels are worth it.
        """
        if self.mode is not None or self.compile is False:
            return None
        kept = self._cached_timings()
        if not kept.seconds:
            pays = self.compile or (self._artifacts is not None and self._artifacts.exists())
            return "channels_last" if pays else None
        compiled = {mode: time for mode, time in kept.seconds.items() if mode.compiled}
        best = _fastest(compiled if self.compile and compiled else kept.seconds)
        pays = best.compiled if compiled else self._pays(kept.seconds[best] * training.iterations, kept)
        return best.layout if pays else None

    def prepare(self, training: TrainingTask, logger: Logger) -> Prepared:
        """Prepare a training; weights, moments and buffers keep their values, and may change their memory layout.

        Args:
            training: model, batch and optimizer.
            logger: receives the reason why a mode is rejected.

        Raises:
            UserError: compilation was requested and fails.
        """
        for mode in _fallbacks(self.mode or self._search(training, logger)):
            try:
                return self._ready(mode, training)
            except FAILURES as reason:
                self._reject(mode, reason, training.model, logger)
        raise AssertionError("an eager step cannot be rejected")

    def _ready(self, mode: TrainingMode, training: TrainingTask) -> Prepared:
        model, batch, optim_wrapper = training.model, training.batch, training.optim_wrapper
        arrange(model, mode.layout, optim_wrapper.optimizer)
        if mode.compiled:
            self._compile(training, mode.layout)
        self._activate(mode.compiled)
        train: Step = partial(_eager_step, model, optim_wrapper)
        if mode.graph:
            train = GraphedStep(model, batch, optim_wrapper)
        return Prepared(mode, train, self._compile_seconds if mode.compiled else None)

    def _search(self, training: TrainingTask, logger: Logger) -> TrainingMode:
        """Return the fastest mode, cached or by trial."""
        kept = self._cached_timings()
        with preserved_state(training.model, training.optim_wrapper):
            seconds = without_search(lambda: self._try(training, kept, logger))
        if self._timings and seconds.keys() - kept.seconds.keys():
            first = self._first_compile_seconds or kept.compile_seconds
            with suppress(UserError):  # if the cache is not writable, the next run repeats the trial
                timings.write(self._timings, Timings({**kept.seconds, **seconds}, first))
        compiled = {mode: time for mode, time in seconds.items() if mode.compiled}
        return _fastest(compiled if self.compile and compiled else seconds)

    def _try(self, training: TrainingTask, kept: Timings, logger: Logger) -> dict[TrainingMode, float]:
        """Return the seconds of each candidate mode, cached or by trial."""
        seconds = {mode: time for mode, time in kept.seconds.items() if self.compile is not False or not mode.compiled}
        if not any(not mode.compiled for mode in seconds):
            seconds |= self._try_layouts(training, logger)
        best = _fastest(seconds)
        if not any(mode.compiled for mode in seconds) and self._pays(seconds[best] * training.iterations, kept):
            layout = self._parts.layout if self._parts and self._parts.layout else best.layout
            mode = best._replace(layout=layout, compiled=True)
            try:
                seconds[mode] = self._seconds(mode, training)
            except FAILURES as reason:
                self._reject(mode, reason, training.model, logger)
        return seconds

    def _try_layouts(self, training: TrainingTask, logger: Logger) -> dict[TrainingMode, float]:
        """Time each layout, with a CUDA graph unless the network cannot be captured."""
        seconds: dict[TrainingMode, float] = {}
        failure: Exception | None = None
        graph = True
        for layout in LAYOUTS:
            for mode in [TrainingMode(layout, graphed, False) for graphed in (True, False)][not graph :]:
                try:
                    seconds[mode] = self._seconds(mode, training)
                    break
                except FAILURES as reason:
                    failure = type(reason)(str(reason))  # without its frames, which reference feature maps
                    graph &= not isinstance(reason, CaptureFailed)
                    self._reject(mode, reason, training.model, logger)
        if failure and not seconds:
            raise failure
        return seconds

    def _seconds(self, mode: TrainingMode, training: TrainingTask) -> float:
        """Return the median wall time of forward and backward pass in a mode."""
        model, batch, optim_wrapper = training.model, training.batch, training.optim_wrapper
        arrange(model, mode.layout)
        if mode.compiled:
            self._compile(training, mode.layout)
        self._activate(mode.compiled)
        try:
            if mode.graph:
                return median_seconds(GraphedStep(model, batch, optim_wrapper, check=False).passes, batch)
            return median_seconds(lambda batch: passes(model, batch, optim_wrapper), batch)
        finally:
            self._activate(False)

    def _compile(self, training: TrainingTask, layout: str, interrupted: Callable[[], bool] = _never) -> None:
        """Compile for a layout, unless it is done or interrupted."""
        if self._parts and self._parts.layout == layout:
            return
        arrange(training.model, layout)
        start = time.perf_counter()
        kept = self._artifacts is not None and load_artifacts(self._artifacts)
        parts = self._parts = self._parts or CompiledParts(training.model)
        parts.interrupted = interrupted
        try:
            without_search(lambda: parts.compile(training.model, training.batch, training.optim_wrapper, layout))
        finally:
            parts.interrupted = _never
        self._compile_seconds = time.perf_counter() - start
        if not kept:
            self._first_compile_seconds = self._compile_seconds
            if self._artifacts:
                with suppress(UserError):
                    save_artifacts(self._artifacts)

    def _pays(self, seconds: float, kept: Timings) -> bool:
        """Return whether compilation is expected to save more training time than it takes."""
        if self.compile is not None:
            return self.compile
        if self._parts and self._parts.layout:  # already compiled
            return True
        if self._artifacts is None:
            return False
        cost = kept.compile_seconds or timings.typical_compile_seconds(self._artifacts.parent) or COMPILE_SECONDS
        return SAVING * seconds > cost * (KEPT if self._artifacts.exists() else 1)

    def _reject(self, mode: TrainingMode, reason: Exception, model: nn.Module, logger: Logger) -> None:
        """Clean up after a failed mode and log the reason.

        Raises:
            UserError: compilation was requested.
        """
        self._activate(False)
        for error in (reason, reason.__cause__, reason.__context__):
            if error is not None:
                traceback.clear_frames(error.__traceback__)  # they reference feature maps of the network
        _free(model)
        if self.compile and isinstance(reason, CompilationFailed):
            raise UserError(f"the network cannot be compiled: {reason}") from reason
        logger.info(f"training without {_described(mode)}: {one_line(reason)}")

    def _activate(self, compiled: bool) -> None:
        if self._parts:
            self._parts.active = compiled

    def _cached_timings(self) -> Timings:
        return timings.read(self._timings) if self._timings else Timings()


def timed(call: Callable[[], object]) -> float:
    """Return the wall time of a call in seconds, including the GPU work that it launches."""
    start = time.perf_counter()
    call()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def median_seconds(passes: Step, batch: Batch) -> float:
    """Return the median wall time of the passes of a step, in seconds."""
    return median([timed(lambda: passes(batch)) for _ in range(WARM_UP + STEPS)][WARM_UP:])


def _eager_step(model: nn.Module, optim_wrapper: OptimWrapper, batch: Batch) -> Tensor:
    return step(model, batch, optim_wrapper)


def _fastest(seconds: Mapping[TrainingMode, float]) -> TrainingMode:
    return min(seconds, key=seconds.__getitem__)


def _fallbacks(mode: TrainingMode) -> list[TrainingMode]:
    """Yield a mode and its simpler fallbacks, in order of preference."""
    return list(dict.fromkeys([mode, mode._replace(compiled=False), mode._replace(compiled=False, graph=False)]))


def _described(mode: TrainingMode) -> str:
    parts = [name for name, used in (("compilation", mode.compiled), ("a CUDA graph", mode.graph)) if used]
    return " and ".join(parts) or f"memory layout {mode.layout}"


def _free(model: nn.Module) -> None:
    """Free the memory of a mode that failed."""
    model.zero_grad()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
