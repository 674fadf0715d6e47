"""Training loop in which each iteration depends only on weights, optimizer, seed and its number."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import get_rank, get_world_size, is_distributed
from mmengine.model import BaseModel
from mmengine.registry import LOOPS
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import Tensor

from benchmark.engine import patches
from benchmark.engine.arithmetic import float32_arithmetic
from benchmark.engine.autotune import Autotuner, TrainingTask
from benchmark.engine.graph import GraphedStep
from benchmark.engine.precision import TF32OptimWrapper
from benchmark.engine.shared_step import SharedStep
from benchmark.engine.step import Step, step
from benchmark.engine.timings import EAGER, TrainingMode
from benchmark.inputs.batches import Batch


@LOOPS.register_module()
class StatelessTrainLoop(IterBasedTrainLoop):
    """Iteration-based loop of mmengine that can start at any iteration.

    The random generators are seeded from (seed, iteration) before each step, so that dropout and sampled points of a
    resumed run equal those of an uninterrupted one. A resumed run requests its next batch directly, while mmengine
    would load and discard all batches before it.

    Attributes:
        tuner: selects the training mode; by default steps are eager.
        mode: the training mode, once it is selected.
        spent: wall time of the training steps before this session, if it resumes a training.
        setup_seconds: wall time from the start of the loop to the first step; None before that.
        compile_seconds: wall time of the compilation; None without one.
        peak_memory: peak GPU memory of the steps up to the first validation in bytes; None on a CPU.
        step: takes a batch, trains on it, and returns its loss.
    """

    def __init__(self, runner: Runner, dataloader: Any, max_iters: int, **kwargs: Any) -> None:
        if isinstance(dataloader, Mapping):
            dataloader = _settled(dataloader, max_iters, runner.seed)
        super().__init__(runner, dataloader, max_iters, **kwargs)
        del self.dataloader_iterator  # mmengine's always begins at the first batch, with workers too
        self.tuner = Autotuner()
        self.mode: TrainingMode | None = None
        self.spent = 0.0
        self._since: float | None = None
        self.setup_seconds: float | None = None
        self.compile_seconds: float | None = None
        self.peak_memory: int | None = None
        self.step: Step = self._eager

    def run(self) -> BaseModel:
        """Train from the current iteration to the last."""
        runner = self.runner
        start = time.perf_counter()
        runner.call_hook("before_train")
        runner.call_hook("before_train_epoch")
        runner.model.train()
        tf32 = isinstance(runner.optim_wrapper, TF32OptimWrapper)
        with patches.training_patches(), float32_arithmetic(tf32):
            try:
                self.prepare()
                self.setup_seconds = time.perf_counter() - start
                self._train()
            finally:
                self.step = self._eager  # a graph keeps the memory of a step
        runner.optim_wrapper.zero_grad()
        runner.call_hook("after_train_epoch")
        runner.call_hook("after_train")
        return runner.model

    def prepare(self) -> None:
        """Prepare the training step on the first batch; weights, moments and buffers keep their values."""
        runner = self.runner
        batch: Any = self.dataloader.dataset[self._iter] if self.tuner.mode != EAGER else None
        training = TrainingTask(runner.model, batch, runner.optim_wrapper, self._max_iters - self._iter)
        prepared = self.tuner.prepare(training, runner.logger)
        self.mode, self.step, self.compile_seconds = prepared.mode, prepared.step, prepared.compile_seconds
        if self._is_shared:
            self.step = SharedStep(runner.model, runner.optim_wrapper)
        if torch.cuda.is_initialized():
            torch.cuda.reset_peak_memory_stats()

    @property
    def _is_shared(self) -> bool:
        """Return whether processes share each batch without mmengine's launcher, which wraps the network."""
        return is_distributed() and not self.runner.distributed

    def _eager(self, batch: Batch) -> Tensor:
        return step(self.runner.model, batch, self.runner.optim_wrapper)

    @property
    def seconds(self) -> float:
        """Return the wall time of the training steps in seconds, excluding autotuning, compilation and validation."""
        return self.spent + (time.perf_counter() - self._since if self._since is not None else 0.0)

    def _train(self) -> None:
        self._since = time.perf_counter()
        for batch in self._batches():
            if self.stop_training:  # set by a hook, such as mmengine's EarlyStoppingHook
                break
            self.run_iter(batch)
            if self.is_validated():
                self._stop_clock()
                self._read_peak_memory()
                self.runner.val_loop.run()
                self.runner.model.train()
                self._since = time.perf_counter()
        self._stop_clock()
        self._read_peak_memory()

    def _batches(self) -> Iterator[Any]:
        """Return the batches from the current iteration on."""
        sampler = self.dataloader.sampler
        sampler.start = self._iter
        batches: Iterator[Any] = iter(self.dataloader)
        sampler.start = 0  # hooks of mmengine take the length of the loader for that of the training
        return batches

    def _read_peak_memory(self) -> None:
        """Record the peak memory once, before an evaluation allocates memory."""
        if self.peak_memory is None and torch.cuda.is_initialized():
            self.peak_memory = torch.cuda.max_memory_allocated()
            if isinstance(self.step, GraphedStep):  # captured before the optimizer allocated its state
                state = (v for each in self.runner.optim_wrapper.optimizer.state.values() for v in each.values())
                moments = sum(value.nbytes for value in state if isinstance(value, Tensor) and value.is_cuda)
                self.peak_memory = max(self.peak_memory, self.step.peak_memory + moments)

    def _stop_clock(self) -> None:
        """Stop the clock of training steps."""
        self.spent, self._since = self.seconds, None

    def is_validated(self) -> bool:
        """Return whether a validation is due after the current number of iterations."""
        self._decide_current_val_interval()
        due = self._iter % self.val_interval == 0 or self._iter == self._max_iters
        return due and self._iter >= self.val_begin and self.runner.val_loop is not None

    def run_iter(self, data_batch: Any) -> None:
        """Run one iteration, independent of earlier ones."""
        _seed(_mix(self.runner.seed, self._iter, 0 if self._is_shared else get_rank()))
        for hook in self._before:
            hook(self.runner, batch_idx=self._iter, data_batch=data_batch)
        found = self.step(data_batch)
        for hook in self._after:
            hook(self.runner, batch_idx=self._iter, data_batch=data_batch, outputs={"loss": found})
        self._iter += 1

    @cached_property
    def _before(self) -> list[Callable[..., None]]:
        return self._hooks("before_train_iter")

    @cached_property
    def _after(self) -> list[Callable[..., None]]:
        return self._hooks("after_train_iter")

    def _hooks(self, stage: str) -> list[Callable[..., None]]:
        """Yield the hooks that implement a stage; mmengine calls the others, too."""
        return [getattr(hook, stage) for hook in self.runner.hooks if stage in hook.get_triggered_stages()]


def _settled(dataloader: Mapping[str, Any], max_iters: int, seed: int) -> dict[str, Any]:
    """Return the config of a data loader, that of stateless batches for a number of iterations and a seed.

    They may have been overridden where mmengine's users expect them, in `train_cfg` and `randomness`, after the config
    was composed. A batch size of the data loader is that of one process, as everywhere in mmengine.
    """
    if not (isinstance(dataloader["dataset"], Mapping) and "length" in dataloader["dataset"]):
        return dict(dataloader)
    batches = {**dataloader["dataset"], "length": max_iters, "seed": seed}
    if size := dataloader.get("batch_size"):
        batches["batch_size"] = size * get_world_size()
    return {**dataloader, "batch_size": None, "dataset": batches}


def _seed(seed: int) -> None:
    """Set the generators that an iteration draws from.

    `torch.manual_seed` also queues the seed, with a stack trace, for uninitialized devices: nearly 200 us if CUDA is
    one.
    """
    torch.default_generator.manual_seed(seed)
    if (device := get_device()) != "cpu":
        torch.get_device_module(device).manual_seed(seed)


def _mix(seed: int, iteration: int, rank: int) -> int:
    """Return a 63-bit seed; adjacent arguments give unrelated seeds (the finalizer of SplitMix64)."""
    word = (seed << 42) ^ (rank << 32) ^ iteration
    word = (word + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return (word ^ (word >> 31)) >> 1
