"""One network in mmengine's Runner: train it, evaluate it, and take out what was measured as plain data."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import numpy as np
from mmengine import Config
from mmengine.device import get_device
from mmengine.dist import is_distributed, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from numpy.typing import NDArray
from torch import Tensor

import benchmark.registration  # noqa: F401
from benchmark.datasets.resident import ResidentBatches
from benchmark.engine import stages, trained, weights
from benchmark.engine.feed import Resident, feed
from benchmark.engine.hooks import (
    Diverged,
    LossHook,
    Progress,
    ProgressHook,
    StartHook,
    StopHook,
    Stopped,
    WeightsHook,
    find_state,
)
from benchmark.engine.metric import ConfusionMetric
from benchmark.engine.trained import Driven, Trained

AnyHook = TypeVar("AnyHook", bound=Hook)

TOGETHER = 8
"""Images that a GPU, which one alone does not fill, is given at a time in an evaluation."""


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

    A training in two stages has its first in a session of its own, in the folder `first_stage` of `work_dir`.

    Args:
        config: what `compose.compose` returned; it is not changed.
        work_dir: where weights and logs go.
        tell: is told how far the work is.
        resume: go on from the state that a killed training left in `work_dir`, if there is one.
        quiet: nothing on the console from mmengine.
        resident: whether the batches of a training are made on the GPU.
        compile: whether the network is compiled for the training.
        deadline: when training and evaluation end early, see `hooks.StopHook`; None for never.
        phase: what a training is told as.

    Attributes:
        first_stage: how the first of two stages went, once it has ended; None where there is none.
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
        phase: str = "train",
    ) -> None:
        self.work_dir = work_dir
        self.first_stage: Trained | None = None
        self._resume, self._resident, self._deterministic = resume, resident, config.randomness.deterministic
        self._tell, self._phase = tell, phase
        self._first: Session | None = None  # until it has ended
        if "first_stage" in config:
            self._handed_on = config.first_stage.handed_on
            self._first = Session(
                stages.first(config),
                work_dir / "first_stage",
                tell,
                resume=resume,
                quiet=quiet,
                resident=resident,
                compile=compile,
                deadline=deadline,
                phase="first_stage",
            )
        config = config.copy()
        config.work_dir = str(work_dir)
        config.experiment_name = uuid4().hex  # mmengine's own has seconds: two sessions within one would share state
        if get_device() == "cuda" and not config.randomness.deterministic:
            hasten(config)
        config.train_cfg.compile = compile
        if quiet:
            config.log_level = "ERROR"
            logging.getLogger("mmengine").setLevel(logging.ERROR)
        self._config, self._deadline = config, deadline

    @cached_property
    def runner(self) -> Runner:
        """Made when it is asked for, after a first stage: it sets the random generators, and so all begins as alone."""
        state = find_state(self.work_dir) if self._resume else None
        self._config.resume, self._config.load_from = state is not None, None if state is None else str(state)
        runner = _Runner.from_cfg(self._config)
        if self._tell is not None:
            losses = next(hook for hook in runner.hooks if isinstance(hook, LossHook))
            runner.register_hook(ProgressHook(self._tell, losses, self._phase))
        if self._deadline is not None:
            runner.register_hook(StopHook(self._deadline, self._phase))
        return runner

    def train(self) -> Trained:
        """Train to the last iteration.

        Raises:
            Diverged: the loss was not finite.
            Stopped: the time was up.
            UserError: batches cannot be made where they are to be.
        """
        if self._first is not None:
            start = self._train_first(self._first)
            self._first = None
            self.runner.register_hook(StartHook(start))
        loop = self.runner.train_loop
        loop.dataloader = feed(loop.dataloader, self._resident, deterministic=self._deterministic)
        try:
            self.runner.train()
        except Stopped as stop:
            stop.iteration += self.first_stage.iterations if self.first_stage else 0
            raise
        if self.first_stage is not None and is_main_process():
            trained.forget(self.first_stage.folder)  # nothing is left to resume
        kept = self._hook(WeightsHook)
        return Trained(
            iterations=self.runner.iter,
            seconds=loop.seconds,
            loss=self.curve,
            val_miou=kept.curve,
            best_iteration=kept.best_iteration or self.runner.iter,
            driven=self.driven,
            folder=self.work_dir,
        )

    def stopped(self, error: Diverged) -> Trained:
        """What there is to show of a training that diverged."""
        if self._first is not None:  # it was not begun
            return Trained(0, 0.0, [], [], 0, None, self.work_dir)
        return Trained(error.iteration, 0.0, self.curve, [], 0, self.driven, self.work_dir)

    def _train_first(self, first: Session) -> dict[str, Tensor]:
        """Train the first stage, unless it had ended when the training was killed; what it hands on."""
        self.first_stage = trained.read(first.work_dir) if self._resume else None
        if self.first_stage is None:
            try:
                self.first_stage = first.train()
            except Diverged as error:
                self.first_stage = first.stopped(error)
                raise Diverged(error.iteration, error.loss, "first") from error
            if is_main_process():
                trained.write(self.first_stage)
        return stages.handed_on(weights.read(self.first_stage.last).state, self._handed_on)

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
