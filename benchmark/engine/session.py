"""Train and evaluate one network in mmengine's Runner, and return the measurements as plain data."""

from __future__ import annotations

import gc
import logging
import math
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import numpy as np
import torch
from mmengine import Config
from mmengine.device import get_device
from mmengine.dist import is_distributed, is_main_process
from mmengine.hooks import Hook
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import OPTIM_WRAPPERS
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from mmengine.visualization.vis_backend import BaseVisBackend
from numpy.typing import NDArray
from torch import Tensor, nn

import benchmark.registration  # noqa: F401
from benchmark.engine import layout, patches, segmentor, stages, timings, trained
from benchmark.engine.arithmetic import float32_arithmetic
from benchmark.engine.autotune import Autotuner, TrainingTask
from benchmark.engine.evaluation import EVAL_BATCH_SIZE
from benchmark.engine.hooks import (
    DeadlineHook,
    Diverged,
    Interrupted,
    LossHook,
    Progress,
    ProgressHook,
    ScoresHook,
    StartHook,
    WeightsHook,
    find_state,
)
from benchmark.engine.loader import Resident, training_loader
from benchmark.engine.metric import ConfusionMetric
from benchmark.engine.precision import TF32OptimWrapper, require_supported
from benchmark.engine.share import largest
from benchmark.engine.timings import EAGER, TrainingMode
from benchmark.engine.tracking import Tracking
from benchmark.engine.trained import ExecutionMode, Trained
from benchmark.files.user_cache import user_cache
from benchmark.inputs.gpu_batches import ResidentBatches
from benchmark.results import environment
from benchmark.weights import checkpoint

AnyHook = TypeVar("AnyHook", bound=Hook)

OMITTED_HOOKS = ("runtime_info", "timer", "logger", "checkpoint", "sampler_seed")
"""Default hooks of mmengine that a session does without: they read scalars from the device at every iteration."""


@dataclass(frozen=True)
class Counted:
    """Confusion matrices and predictions of an evaluation.

    Attributes:
        names: names of the images.
        counts: confusion matrices, int64, shape (images, K + 1, K + 1): see `benchmark.confusion`.
        predictions: predicted labels, uint8, of the images in `keep`.
    """

    names: list[str]
    counts: NDArray[np.int64]
    predictions: dict[str, NDArray[np.uint8]]


class _NoFigure:
    """Stub of the figure of a visualizer."""

    def get_dpi(self) -> float:
        return 100.0


class _ScalarVisualizer(Visualizer):
    """Visualizer of mmengine for scalars only: a figure would import matplotlib, which scans fonts for up to 16 s."""

    def _initialize_fig(self, fig_cfg: Any) -> tuple[None, _NoFigure, None]:
        return None, _NoFigure(), None

    def add_backend(self, backend: BaseVisBackend) -> None:
        """Write scalars with a further backend from here on."""
        self._vis_backends[type(backend).__name__] = backend


class _Runner(Runner):
    """Runner of mmengine without its report on the machine, which takes seconds; the record has a better one.

    The network is built and initialized on the CPU, so that its initial weights are the same on every device. A network
    that cannot be built raises a `UserError` of one line.
    """

    model: nn.Module

    def _log_env(self, env_cfg: dict[str, Any]) -> None: ...

    def build_visualizer(self, visualizer: Any = None) -> Visualizer:
        """Build the writer of scalars to a file."""
        backends = [{"type": "LocalVisBackend"}]
        return _ScalarVisualizer.get_instance(self.experiment_name, vis_backends=backends, save_dir=self._log_dir)

    def build_model(self, model: nn.Module | dict[str, Any]) -> nn.Module:
        """Build the network, unless it is built."""
        return model if isinstance(model, nn.Module) else segmentor.build(model)

    def wrap_model(self, model_wrapper_cfg: dict[str, Any] | None, model: nn.Module) -> nn.Module:
        """Leave the network on the CPU, unless processes share the training."""
        if self.distributed:
            model = super().wrap_model(model_wrapper_cfg, model)
            return model
        reverted: nn.Module = revert_sync_batchnorm(model)
        return reverted

    def _init_model_weights(self) -> None:
        super()._init_model_weights()
        self.to_device()

    def resume(self, *args: Any, **kwargs: Any) -> None:
        """Resume a training like mmengine, with step counts on the device where the optimizer reads them."""
        super().resume(*args, **kwargs)
        layout.counts_to_host(self.optim_wrapper.optimizer)

    def to_device(self) -> None:
        """Move the network to the device that it computes on."""
        self.model = self.model.to(get_device())


def enable_fast_paths(config: Config) -> None:
    """Enable the fastest algorithms of a GPU, which are not bit-exact.

    `compose` enables cuDNN's benchmark mode; for other optimizers PyTorch's default is the fastest.
    """
    for loader in (config.val_dataloader, config.test_dataloader):
        loader.batch_size = max(EVAL_BATCH_SIZE, loader.batch_size)
    optimizer = config.optim_wrapper.optimizer
    if optimizer.type in ("Adam", "AdamW", "SGD"):
        optimizer.fused = True


class Session:
    """A Runner for a composed config.

    The first of two stages is trained in its own session, in the folder `first_stage` of `work_dir`.

    Args:
        config: config from `compose.compose`; it is not changed.
        work_dir: folder of weights and logs.
        on_progress: called with the progress of the work.
        resume: resume from the state that a killed training left in `work_dir`, if any.
        quiet: silence mmengine on the console.
        resident: whether the batches of a training are computed on the GPU.
        compile: whether the network is compiled for the training: always, never, or None to compile if it is
            expected to pay, on a GPU only.
        mode: training mode; None for the fastest one by trial on a GPU, and eager steps on other devices.
        deadline: time at which training and evaluation are interrupted, see `hooks.DeadlineHook`; None for never.
        phase: phase name of the training in progress reports.
        tracking: where the curves of the training are written besides `work_dir`; None for nowhere.

    Attributes:
        first_stage: result of the first of two stages, once it has finished; None without one.
    """

    def __init__(
        self,
        config: Config,
        work_dir: Path,
        on_progress: Progress | None = None,
        *,
        resume: bool = False,
        quiet: bool = True,
        resident: Resident = "auto",
        compile: bool | None = None,
        mode: TrainingMode | None = None,
        deadline: float | None = None,
        phase: str = "train",
        tracking: Tracking | None = None,
    ) -> None:
        self.work_dir, self._tracking = work_dir, tracking
        self.first_stage: Trained | None = None
        self._resume, self._resident, self._deterministic = resume, resident, config.randomness.deterministic
        self._on_progress, self._phase = on_progress, phase
        self._first: Session | None = None  # until it has finished
        if "first_stage" in config:
            self._transferred = config.first_stage.handed_on
            self._first = Session(
                stages.first(config),
                work_dir / "first_stage",
                on_progress,
                resume=resume,
                quiet=quiet,
                resident=resident,
                compile=compile,
                mode=mode,
                deadline=deadline,
                phase="first_stage",
                tracking=tracking and tracking.first_stage,
            )
        config = config.copy()
        config.work_dir = str(work_dir)
        config.experiment_name = uuid4().hex  # mmengine's own has seconds: two sessions within one would share state
        config.default_hooks = {**config.default_hooks, **dict.fromkeys(OMITTED_HOOKS)}
        config.default_hooks.pop("visualization", None)  # mmengine has none by default, which could be left out
        for loop in (config.val_cfg, config.test_cfg):
            loop.resident = resident != "off"
        if is_distributed():
            for loader in (config.val_dataloader, config.test_dataloader):
                loader.sampler.round_up = False  # each image once
        fast = get_device() == "cuda" and not config.randomness.deterministic
        if fast:
            enable_fast_paths(config)
        elif config.randomness.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS is not deterministic
        if quiet:
            config.log_level = "ERROR"
            logging.getLogger("mmengine").setLevel(logging.ERROR)
        self._config, self._deadline = config, deadline
        if mode is None and (not fast or is_distributed()):  # distributed processes need the same memory layout
            mode = EAGER._replace(compiled=bool(compile))
        self._mode, self._compile = mode, compile

    @cached_property
    def runner(self) -> _Runner:
        """Runner, built on first access, after the first stage, so that the generators are seeded as without it.

        The network is on the CPU until training or evaluation.
        """
        state = find_state(self.work_dir) if self._resume else None
        self._config.resume, self._config.load_from = state is not None, None if state is None else str(state)
        runner: _Runner = _Runner.from_cfg(self._config)
        runner.register_hook(ScoresHook())
        if self._on_progress is not None:
            losses = next(hook for hook in runner.hooks if isinstance(hook, LossHook))
            runner.register_hook(ProgressHook(self._on_progress, losses, self._phase))
        runner.register_hook(DeadlineHook(math.inf if self._deadline is None else self._deadline, self._phase))
        return runner

    @cached_property
    def tuner(self) -> Autotuner:
        """Autotuner, created on the device, whose name is part of the key of its timings."""
        config, batches = self._config, self._config.train_dataloader.dataset
        device = torch.cuda.get_device_name() if get_device() == "cuda" else environment.cpu()
        facts = (config.model, batches.batch_size, config.data_preprocessor.size, config.optim_wrapper.type)
        key = timings.key(*facts, device, torch.__version__)
        try:
            memory = user_cache() / "kernels" / key
        except RuntimeError:  # missing home directory
            memory = None
        return Autotuner(self._mode, self._compile, memory)

    def build(self) -> None:
        """Build the network that trains first, on the CPU."""
        if self._first is not None:
            self._first.build()
        else:
            _ = self.runner

    def compile_ahead(self, interrupted: Callable[[], bool] = lambda: False) -> None:
        """Compile the network of the first training while another run uses the GPU, if compilation is expected to pay.

        Requires `build`. Weights and random generators are not changed.

        Args:
            interrupted: returns whether to stop before the next part of the network.
        """
        if self._first is not None:
            self._first.compile_ahead(interrupted)
            return
        if self._mode is not None or self._compile is False:
            return
        if get_device() == "cuda":
            free, total = torch.cuda.mem_get_info()
            if free < total / 2:
                return
            torch.cuda.set_per_process_memory_fraction(0.5 * free / total)  # the rest is for the training run
        model, batches = self.runner.model, self.runner.train_loop.dataloader.dataset
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        wrapper = OPTIM_WRAPPERS.build({"type": self._config.optim_wrapper.type, "optimizer": optimizer})
        # Training sets the same options: compiled code is discarded if they differ.
        tf32 = isinstance(wrapper, TF32OptimWrapper)
        with torch.random.fork_rng(devices=[]), patches.training_patches(), float32_arithmetic(tf32):
            try:
                model.to(get_device()).train()
                training = TrainingTask(model, batches[0], wrapper, self.runner.max_iters)
                self.tuner.interrupted = interrupted
                self.tuner.compile_ahead(training)
            finally:
                # Weights are initialised in this layout: the order of draws depends on it.
                layout.arrange(model, "contiguous")
                model.to("cpu")
                _empty_cache()
                if get_device() == "cuda":
                    torch.cuda.set_per_process_memory_fraction(1.0)

    def train(self) -> Trained:
        """Train to the last iteration.

        Raises:
            Diverged: the loss is not finite.
            Interrupted: the deadline has passed.
            UserError: `resident` requires batches on the GPU, which cannot compute them.
        """
        if self._first is not None:
            start = self._train_first(self._first)
            self._first = None
            gc.collect()  # its Runner is in reference cycles and keeps device memory
            _empty_cache()
            self.runner.register_hook(StartHook(start))
        require_supported(self._config.optim_wrapper.type)
        loop = self.runner.train_loop
        loop.tuner = self.tuner
        loop.dataloader = training_loader(loop.dataloader, self._resident, deterministic=self._deterministic)
        if self._tracking and is_main_process():
            self.runner.visualizer.add_backend(self._tracking.start(self.runner.cfg))
        try:
            self.runner.train()
        except Interrupted as stop:
            stop.iteration += self.first_stage.iterations if self.first_stage else 0
            raise
        finally:
            self.runner.visualizer.close()  # a worker process ends without it
        loop.peak_memory = largest(loop.peak_memory)  # by then the first process has written all files
        if self.first_stage is not None and is_main_process():
            trained.forget(self.first_stage.folder)  # no state remains to resume
        kept = self._hook(WeightsHook)
        return Trained(
            iterations=self.runner.iter,
            seconds=loop.seconds,
            loss=self.curve,
            val_miou=kept.curve,
            best_iteration=kept.best_iteration or self.runner.iter,
            execution=self.execution,
            folder=self.work_dir,
            setup_seconds=loop.setup_seconds,
        )

    def partial_result(self, error: Diverged) -> Trained:
        """Return the partial result of a training that diverged."""
        if self._first is not None:  # the second stage did not start
            return Trained(0, 0.0, [], [], 0, None, self.work_dir)
        return Trained(error.iteration, 0.0, self.curve, [], 0, self.execution, self.work_dir)

    def _train_first(self, first: Session) -> dict[str, Tensor]:
        """Train the first stage, or read its result if it has finished; return the initial weights of the second."""
        self.first_stage = trained.read(first.work_dir) if self._resume else None
        if self.first_stage is None:
            try:
                self.first_stage = first.train()
            except Diverged as error:
                self.first_stage = first.partial_result(error)
                raise Diverged(error.iteration, error.loss, "first") from error
            if is_main_process():
                trained.write(self.first_stage)
        return stages.transferred_modules(checkpoint.read(self.first_stage.last).state, self._transferred)

    def load(self, path: Path) -> None:
        """Load weights.

        Raises:
            UserError: the file is not a checkpoint, or is one of another network.
        """
        checkpoint.load(self.runner.model, path)

    def arrange(self, memory_layout: str) -> None:
        """Convert the weights to the memory format of their training, so that an evaluation is bit-exact."""
        layout.arrange(self.runner.model, memory_layout)

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Load weights by name; auxiliary heads may be missing, because evaluation does not use them."""
        self.runner.model.load_state_dict(state, strict=False)

    def evaluate(self, split: str, keep: Collection[str] = ()) -> Counted:
        """Evaluate the current weights.

        Args:
            split: "val" or "test".
            keep: names of images whose predictions are stored.

        Raises:
            Interrupted: the deadline has passed.
            UserError: scores of the network are NaN.
        """
        self.runner.to_device()
        loop = self.runner.val_loop if split == "val" else self.runner.test_loop
        metric: ConfusionMetric = loop.evaluator.metrics[0]
        metric.keep, metric.predictions = set(keep), {}
        loop.run()
        loop.check_scores()
        return Counted(metric.names, metric.counts, metric.predictions)

    @property
    def execution(self) -> ExecutionMode | None:
        """Return the execution mode of the training steps; None before it is selected."""
        loop = self.runner.train_loop
        if loop.mode is None:
            return None
        return ExecutionMode(
            batches="device" if isinstance(loop.dataloader.dataset, ResidentBatches) else "host",
            layout=loop.mode.layout,
            graph=loop.mode.graph,
            compile_seconds=loop.compile_seconds,
        )

    @property
    def peak_memory(self) -> int | None:
        """Return the peak GPU memory of the training steps in bytes, of the process that needs most; None on a CPU."""
        peak: int | None = self.runner.train_loop.peak_memory
        return peak

    @property
    def curve(self) -> list[tuple[int, float]]:
        """Return the loss curve so far, including that of a diverged run."""
        return self._hook(LossHook).curve

    def _hook(self, kind: type[AnyHook]) -> AnyHook:
        return next(hook for hook in self.runner.hooks if isinstance(hook, kind))


def _empty_cache() -> None:
    """Free unused cached GPU memory."""
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
