"""One network in mmengine's Runner: train it, evaluate it, and take out what was measured as plain data."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar
from uuid import uuid4

import numpy as np
from mmengine import Config
from mmengine.device import get_device
from mmengine.dist import is_distributed
from mmengine.hooks import Hook
from mmengine.runner import Runner
from numpy.typing import NDArray
from torch import Tensor

import benchmark.registration  # noqa: F401
from benchmark.datasets.resident import ResidentBatches
from benchmark.engine import weights
from benchmark.engine.feed import Resident, feed
from benchmark.engine.hooks import LossHook, Progress, ProgressHook, StopHook, WeightsHook
from benchmark.engine.metric import ConfusionMetric

AnyHook = TypeVar("AnyHook", bound=Hook)

TOGETHER = 8
"""Images that a GPU, which one alone does not fill, is given at a time in an evaluation."""


@dataclass(frozen=True)
class Trained:
    """How a training went.

    Attributes:
        iterations: iterations done, those before a resume included.
        seconds: wall time of the training steps, those before a resume included.
        loss: (iteration, mean loss since the entry before).
        val_miou: (iteration, mIoU on val in percent).
        best_iteration: iteration of the best mIoU on val, the earliest among equals.
        last: file with the weights of the last iteration.
        best: file with the weights of `best_iteration`.
    """

    iterations: int
    seconds: float
    loss: list[tuple[int, float]]
    val_miou: list[tuple[int, float]]
    best_iteration: int
    last: Path
    best: Path


@dataclass(frozen=True)
class Counted:
    """What an evaluation found.

    Attributes:
        names: names of the images.
        counts: int64, shape (images, K + 1, K + 1): see `benchmark.confusion`.
        predictions: predicted labels, uint8, of the images that were asked for.
    """

    names: list[str]
    counts: NDArray[np.int64]
    predictions: dict[str, NDArray[np.uint8]]


@dataclass(frozen=True)
class Driven:
    """How the device was driven in a training.

    Attributes:
        batches: where they were augmented.
        layout: of the weights, and of the maps that follow from them.
        graph: whether a step was one CUDA graph.
        compile_seconds: what compiling the network took; None if it was not compiled.
    """

    batches: Literal["host", "device"]
    layout: str
    graph: bool
    compile_seconds: float | None


class _Runner(Runner):
    """mmengine's Runner without its survey of the machine, which takes seconds; a record holds a better one."""

    def _log_env(self, env_cfg: dict[str, Any]) -> None: ...


def hasten(config: Config) -> None:
    """Let a training take what is fastest on its device, at the price that the last bits depend on it.

    cuDNN's own search comes with `compose`; outside of these optimizers PyTorch's choice is as fast as it gets.
    """
    if not is_distributed():  # whose processes must lie alike
        config.train_cfg.update(layout="auto", graph=True)
    for loader in (config.val_dataloader, config.test_dataloader):
        if loader.dataset.type == "EvaluationImages":  # all of one size
            loader.batch_size = max(TOGETHER, loader.batch_size)
    optimizer = config.optim_wrapper.optimizer
    if optimizer.type in ("Adagrad", "Adam", "AdamW", "SGD"):
        optimizer.fused = True


class Session:
    """A Runner around a composed config.

    Args:
        config: what `compose.compose` returned; it is not changed.
        work_dir: where weights and logs go.
        tell: is told how far the work is.
        resume: go on from the state that a killed training left in `work_dir`, if there is one.
        quiet: nothing on the console from mmengine.
        resident: whether the batches of a training are made on the GPU.
        compile: whether the network is compiled for the training.
        deadline: when training and evaluation end early, see `hooks.StopHook`; None for never.
    """

    def __init__(
        self,
        config: Config,
        work_dir: Path,
        tell: Progress | None = None,
        *,
        resume: bool = False,
        quiet: bool = True,
        resident: Resident = "auto",
        compile: bool = False,
        deadline: float | None = None,
    ) -> None:
        config = config.copy()
        config.work_dir = str(work_dir)
        config.experiment_name = uuid4().hex  # mmengine's own has seconds: two sessions within one would share state
        config.resume = resume
        if get_device() == "cuda" and not config.randomness.deterministic:
            hasten(config)
        config.train_cfg.compile = compile
        if quiet:
            config.log_level = "ERROR"
            logging.getLogger("mmengine").setLevel(logging.ERROR)
        self.work_dir, self._resident, self._deterministic = work_dir, resident, config.randomness.deterministic
        self.runner = _Runner.from_cfg(config)
        if tell is not None:
            self.runner.register_hook(ProgressHook(tell, self._hook(LossHook)))
        if deadline is not None:
            self.runner.register_hook(StopHook(deadline))

    def train(self) -> Trained:
        """Train to the last iteration.

        Raises:
            Diverged: the loss was not finite.
            Stopped: the time was up.
            UserError: batches cannot be made where they are to be.
        """
        loop = self.runner.train_loop
        loop.dataloader = feed(loop.dataloader, self._resident, deterministic=self._deterministic)
        self.runner.train()
        kept = self._hook(WeightsHook)
        return Trained(
            iterations=self.runner.iter,
            seconds=self.runner.train_loop.seconds,
            loss=self._hook(LossHook).curve,
            val_miou=kept.curve,
            best_iteration=kept.best_iteration or self.runner.iter,
            last=self.work_dir / "last.pth",
            best=self.work_dir / "best.pth",
        )

    def load(self, checkpoint: Path) -> None:
        """Load weights.

        Raises:
            UserError: the file is no checkpoint, or one of another network.
        """
        weights.load(self.runner.model, checkpoint)

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Load weights by name; an auxiliary head may be missing, for it does not run in evaluation."""
        self.runner.model.load_state_dict(state, strict=False)

    def evaluate(self, split: str, keep: Collection[str] = ()) -> Counted:
        """Evaluate the weights as they are.

        Args:
            split: "val" or "test".
            keep: names of images whose predictions are wanted.

        Raises:
            Stopped: the time was up.
        """
        loop = self.runner.val_loop if split == "val" else self.runner.test_loop
        metric: ConfusionMetric = loop.evaluator.metrics[0]
        metric.keep, metric.predictions = set(keep), {}
        loop.run()
        return Counted(metric.names, metric.counts, metric.predictions)

    @property
    def driven(self) -> Driven:
        """How the device is driven in the training."""
        loop = self.runner.train_loop
        return Driven(
            batches="device" if isinstance(loop.dataloader.dataset, ResidentBatches) else "host",
            layout=loop.layout,
            graph=loop.graph,
            compile_seconds=loop.compile_seconds,
        )

    @property
    def curve(self) -> list[tuple[int, float]]:
        """The loss curve so far: what there is to show of a run that diverged."""
        return self._hook(LossHook).curve

    def _hook(self, kind: type[AnyHook]) -> AnyHook:
        return next(hook for hook in self.runner.hooks if isinstance(hook, kind))
