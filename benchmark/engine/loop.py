"""The training loop: every iteration a function of weights, optimizer, seed and its number."""

from __future__ import annotations

import time

import torch
from mmengine.dist import get_rank
from mmengine.model import BaseModel
from mmengine.registry import LOOPS
from mmengine.runner import IterBasedTrainLoop


@LOOPS.register_module()
class StatelessTrainLoop(IterBasedTrainLoop):
    """mmengine's iteration-based loop, made to start anywhere.

    The random generators are set from (seed, iteration) before each step, so that dropout and sampled points of a
    resumed run are those of an uninterrupted one, and a resumed run asks its sampler for the next batch where mmengine
    would load and drop all that came before.
    """

    seconds = 0.0
    """Wall time of the training steps so far, validation left out."""

    def run(self) -> BaseModel:
        """Train from the current iteration to the last."""
        runner = self.runner
        runner.call_hook("before_train")
        runner.call_hook("before_train_epoch")
        runner.model.train()
        self.dataloader.sampler.start = self._iter
        since = time.perf_counter()
        for batch in self.dataloader:
            torch.manual_seed(_mix(runner.seed, self._iter, get_rank()))
            self.run_iter(batch)
            if runner.val_loop is not None and (self._iter % self.val_interval == 0 or self._iter == self._max_iters):
                self.seconds += time.perf_counter() - since
                runner.val_loop.run()
                runner.model.train()
                since = time.perf_counter()
        self.seconds += time.perf_counter() - since
        runner.call_hook("after_train_epoch")
        runner.call_hook("after_train")
        return runner.model


def _mix(seed: int, iteration: int, rank: int) -> int:
    """A 63-bit seed; neighbouring arguments give unrelated ones (the finaliser of SplitMix64)."""
    word = (seed << 42) ^ (rank << 32) ^ iteration
    word = (word + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return (word ^ (word >> 31)) >> 1
