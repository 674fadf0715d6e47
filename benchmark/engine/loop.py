"""The training loop: every iteration a function of weights, optimizer, seed and its number."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import get_rank
from mmengine.model import BaseModel
from mmengine.registry import LOOPS
from mmengine.runner import IterBasedTrainLoop

from benchmark.engine import accuracy, layout
from benchmark.engine.step import loss, step


@LOOPS.register_module()
class StatelessTrainLoop(IterBasedTrainLoop):
    """mmengine's iteration-based loop, made to start anywhere.

    The random generators are set from (seed, iteration) before each step, so that dropout and sampled points of a
    resumed run are those of an uninterrupted one, and a resumed run asks its sampler for the next batch where mmengine
    would load and drop all that came before.

    Args:
        layout: "contiguous", "channels_last", or "auto": the faster of both by a trial.

    Attributes:
        seconds: wall time of the training steps so far, trial and validation left out.
    """

    def __init__(self, *args: Any, layout: str = "contiguous", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.layout = layout
        self.seconds = 0.0

    def run(self) -> BaseModel:
        """Train from the current iteration to the last."""
        runner = self.runner
        runner.call_hook("before_train")
        runner.call_hook("before_train_epoch")
        runner.model.train()
        self.dataloader.sampler.start = self._iter
        with accuracy.unread():
            self._arrange()
            self._train()
        runner.call_hook("after_train_epoch")
        runner.call_hook("after_train")
        return runner.model

    def _arrange(self) -> None:
        model, optim_wrapper = self.runner.model, self.runner.optim_wrapper
        if self.layout == "auto":
            batch = self.dataloader.dataset[self._iter]
            self.layout = layout.fastest(model, lambda: loss(model, batch, optim_wrapper))
        layout.arrange(model, self.layout, optim_wrapper.optimizer)

    def _train(self) -> None:
        since = time.perf_counter()
        for batch in self.dataloader:
            self.run_iter(batch)
            if self.runner.val_loop is not None and self._is_validated():
                self.seconds += time.perf_counter() - since
                self.runner.val_loop.run()
                self.runner.model.train()
                since = time.perf_counter()
        self.seconds += time.perf_counter() - since

    def _is_validated(self) -> bool:
        return self._iter % self.val_interval == 0 or self._iter == self._max_iters

    def run_iter(self, data_batch: Any) -> None:
        """One iteration, whatever came before it."""
        _seed(_mix(self.runner.seed, self._iter, get_rank()))
        for hook in self._before:
            hook(self.runner, batch_idx=self._iter, data_batch=data_batch)
        found = step(self.runner.model, data_batch, self.runner.optim_wrapper)
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
        """What the hooks do at a stage; mmengine calls those, too, that do nothing there."""
        return [getattr(hook, stage) for hook in self.runner.hooks if stage in hook.get_triggered_stages()]


def _seed(seed: int) -> None:
    """Set the generators that an iteration draws from.

    `torch.manual_seed` also notes, with the stack of calls, what devices that are not in use are to be set to one day:
    nearly 200 us where CUDA is such a device.
    """
    torch.default_generator.manual_seed(seed)
    if (device := get_device()) != "cpu":
        torch.get_device_module(device).manual_seed(seed)


def _mix(seed: int, iteration: int, rank: int) -> int:
    """A 63-bit seed; neighbouring arguments give unrelated ones (the finaliser of SplitMix64)."""
    word = (seed << 42) ^ (rank << 32) ^ iteration
    word = (word + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return (word ^ (word >> 31)) >> 1
