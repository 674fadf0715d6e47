"""Hooks of a run: collect losses, save weights and resume states, and report progress.

No hook synchronizes with the device between log points: losses stay tensors until they are read together. (mmengine's
own hooks read every logged scalar at every iteration and append it to an array that is copied each time.)
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook, LoggerHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from benchmark.configs.normalisation import of_protocol
from benchmark.engine import stop
from benchmark.engine.layout import arrange
from benchmark.engine.share import agreed
from benchmark.engine.timings import TrainingMode
from benchmark.errors import UserError
from benchmark.files.atomic import replacing
from benchmark.warning import warn
from benchmark.weights import checkpoint

STATE = "resume.pth"
"""File name of the state to resume a training from."""

POINTER = "last_checkpoint"
"""File with the path of `STATE`, read by mmengine."""

STATE_SECONDS = 600.0
"""Seconds of a training after which its state is written, in addition to that of each validation."""

PARTS = {"meta", "state_dict", "optimizer", "message_hub", "param_schedulers"}
"""Keys of a state that mmengine requires."""

Progress = Callable[[str, int, int, float | None], None]
"""Called with a phase ("first_stage", "train", "val", "test"), the number of finished iterations or images, their
total, and the loss if known."""


class Diverged(Exception):  # noqa: N818 (an outcome of a run, not a program error)
    """Raised if the loss of a training is not finite.

    Attributes:
        iteration: the first iteration whose loss was not finite, counted from 1.
        loss: that loss.
    """

    def __init__(self, iteration: int, loss: float, stage: str = "") -> None:
        super().__init__(f"the loss is {loss} at iteration {iteration}" + (f" of the {stage} stage" if stage else ""))
        self.iteration, self.loss = iteration, loss


class Interrupted(Exception):  # noqa: N818 (an outcome of a run, not a program error)
    """Raised if a training or an evaluation is to stop; its folder contains the state to resume from.

    Attributes:
        phase: "train", "first_stage", "val" or "test".
        done: completed iterations or images of the phase.
        total: all iterations or images of the phase.
        iteration: completed iterations of the training, over all stages.
    """

    def __init__(self, phase: str, done: int, total: int, iteration: int) -> None:
        super().__init__(f"interrupted at {done} of {total} of {phase}")
        self.phase, self.done, self.total, self.iteration = phase, done, total, iteration


@HOOKS.register_module()
class LossHook(Hook):
    """Collects the total loss and reads it at log points; ends the run if it is not finite.

    Args:
        interval: iterations between log points.

    Attributes:
        curve: (iteration, mean loss since the previous entry).
    """

    priority = "ABOVE_NORMAL"  # before validation and checkpoints use diverged weights

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval
        self.curve: list[tuple[int, float]] = []
        self._pending: list[torch.Tensor] = []
        self._loaded: dict[str, Any] = {}

    def before_train(self, runner: Runner) -> None:
        """Restore the curve of a resumed run."""
        if runner.iter:
            self.curve = [(iteration, loss) for iteration, loss in self._loaded.get("loss_curve", [])]
            self._pending = list(self._loaded.get("unread_losses", []))

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, torch.Tensor] | None = None
    ) -> None:
        """Store the loss; read the stored ones at a log point."""
        assert outputs is not None
        self._pending.append(outputs["loss"])
        iteration = batch_idx + 1
        if iteration % self.interval == 0 or iteration == runner.max_iters:
            self._read(runner, iteration)

    def before_val(self, runner: Runner) -> None:
        """Read the stored losses, so that diverged weights are not evaluated."""
        self._check(runner.iter)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Save the curve, and the losses that are not part of it yet, with the state of the run."""
        checkpoint["loss_curve"] = self.curve
        checkpoint["unread_losses"] = list(self._pending)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Keep the curve: whether the run resumes, or only starts from the weights, is known at its start."""
        self._loaded = _part(checkpoint, "loss_curve", "unread_losses")

    def _check(self, iteration: int) -> list[float]:
        losses: list[float] = torch.stack(self._pending).tolist() if self._pending else []
        for at, loss in enumerate(losses, start=iteration - len(losses) + 1):
            if not math.isfinite(loss):
                raise Diverged(at, loss)
        return losses

    def _read(self, runner: Runner, iteration: int) -> None:
        losses = self._check(iteration)
        self._pending.clear()
        mean = sum(losses) / len(losses)
        self.curve.append((iteration, mean))
        rate = runner.optim_wrapper.get_lr()["lr"][0]
        if not any(isinstance(hook, LoggerHook) for hook in runner.hooks):  # mmengine's hook, which writes both itself
            runner.visualizer.add_scalars({"loss": mean, "lr": rate}, step=iteration)
            runner.logger.info(f"iteration {iteration}/{runner.max_iters}  loss {mean:.4f}  lr {rate:.3g}")


@HOOKS.register_module()
class WeightsHook(Hook):
    """Writes `last.pth` at the end and `best.pth` at each new best mIoU on val; both contain only weights.

    Attributes:
        curve: (iteration, mIoU on val in percent).
        best_iteration: the iteration of `best.pth`, the earliest for ties; None before the first validation.
    """

    def __init__(self) -> None:
        self.curve: list[tuple[int, float]] = []
        self._loaded: dict[str, Any] = {}

    @property
    def best_iteration(self) -> int | None:  # noqa: D102 (an attribute to its users)
        return max(self.curve, key=lambda point: (point[1], -point[0]))[0] if self.curve else None

    def before_train(self, runner: Runner) -> None:
        """Restore the curve of a resumed run, and write the best weights if it was killed before it wrote them."""
        if not runner.iter:
            return
        self.curve = [(iteration, miou) for iteration, miou in self._loaded.get("val_curve", [])]
        if self.best_iteration == runner.iter:
            _save(runner, "best.pth")

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Append the score to the curve."""
        if not runner.iter:
            return  # third-party weights are evaluated without a training
        assert metrics is not None
        self.curve.append((runner.iter, metrics["mIoU"]))

    def after_val(self, runner: Runner) -> None:
        """Save the weights if they are the best so far, after `ResumeHook` has saved the state that records it.

        A run that is killed in between then resumes from consistent weights and scores.
        """
        if self.best_iteration == runner.iter < runner.max_iters:
            _save(runner, "best.pth")

    def after_train_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Save the weights of the last iteration."""
        _save(runner, "last.pth")

    def after_train(self, runner: Runner) -> None:
        """Save the weights as the best if they are: at the end, when no resume state refers to other ones."""
        if self.best_iteration == runner.iter:
            _save(runner, "best.pth")

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Save the best score with the state of the run."""
        checkpoint["val_curve"] = self.curve

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Keep the curve, which a resumed run continues."""
        self._loaded = _part(checkpoint, "val_curve")


def _save(runner: Runner, name: str) -> None:
    """Write the weights, and the normalisation of their training where the network's own config states another."""
    if not is_main_process():
        return
    used = {"normalisation": of_protocol(runner.cfg).plain} if "stated_normalisation" in runner.cfg else None
    checkpoint.save(runner.model, Path(runner.work_dir) / name, used)


@HOOKS.register_module()
class ResumeHook(Hook):
    """Writes the state to resume from after each validation, and removes it at the end.

    mmengine finds it by the file `last_checkpoint`, like its own (`resume=True`); `find_state` does not need that file.
    It is saved after validation, not before as in mmengine, so that a resumed run does not skip one. An interrupted
    validation (see `DeadlineHook`) is repeated.
    """

    priority = "LOW"  # after WeightsHook, whose curve it saves

    def __init__(self) -> None:
        self._validated = 0  # the iteration of the latest validation
        self._loaded: dict[str, Any] = {}

    def before_train(self, runner: Runner) -> None:
        """Restore the timings and the mode of a resumed training, and validate where its state was saved before."""
        if not runner.iter:
            return
        loop = runner.train_loop
        self._validated = self._loaded.get("validated", runner.iter)
        loop.spent = self._loaded.get("train_seconds", 0.0)
        if mode := self._loaded.get("mode"):  # another one would not be bit-exact
            loop.tuner.mode = TrainingMode(*mode)
            arrange(runner.model, loop.tuner.mode.layout)  # a validation may come before the first step
        if runner.iter != self._validated and loop.is_validated():
            runner.val_loop.run()

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Save the state, unless the run is finished or did not start."""
        self._validated = runner.iter
        if 0 < runner.iter < runner.max_iters:
            # mmengine counts the running iteration unless `by_epoch` is set.
            save_state(runner, by_epoch=True)

    def after_train_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Remove the state: the last weights are written, and there is nothing to resume."""
        if is_main_process():
            state, pointer = (Path(runner.work_dir) / name for name in (STATE, POINTER))
            # In this order, or a kill in between would leave a dangling pointer. mmengine's CheckpointHook has its own.
            if pointer.is_file() and Path(pointer.read_text()).name == STATE:
                pointer.unlink()
            state.unlink(missing_ok=True)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Save the timings and the mode of the training loop with the state."""
        checkpoint["validated"] = self._validated
        checkpoint["train_seconds"] = runner.train_loop.seconds
        checkpoint["mode"] = runner.train_loop.mode and list(runner.train_loop.mode)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Keep the timings and the mode of the training loop, with which a resumed run continues.

        Raises:
            UserError: the run is to resume, and the file holds weights alone.
        """
        if getattr(runner, "_resume", False) and not {"meta", "message_hub"} <= set(checkpoint):
            raise UserError("the checkpoint holds weights and no state to resume: give it as load_from without resume")
        self._loaded = _part(checkpoint, "validated", "train_seconds", "mode")


class ScoresHook(Hook):
    """Writes the scores of each validation of a training beside its losses."""

    priority = "HIGHEST"  # before the state of a validation is saved, which is not repeated after that

    def __init__(self) -> None:
        self._trains = False

    def before_train(self, runner: Runner) -> None:
        """Begin: a resumed training may start with a validation."""
        self._trains = True

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Write the scores."""
        if self._trains and metrics:
            runner.visualizer.add_scalars(metrics, step=runner.iter)

    def after_train(self, runner: Runner) -> None:
        """End: evaluations after the training are no points of its curve."""
        self._trains = False


class DeadlineHook(Hook):
    """Interrupts a run at its deadline or on request (see `stop`), in a state from which it resumes bit-exactly.

    A training ends after the current iteration. An evaluation ends after the current batch and is repeated later. An
    evaluation without remaining images and the last validation of a training are not interrupted.

    The state is also written every `STATE_SECONDS` of a training, so that the death of its process or machine costs no
    more even if validations are hours apart. That does not change the training.

    Args:
        deadline: time on the clock of `time.monotonic`, which all processes share, in seconds.
        phase: phase name of the training in progress reports.
    """

    priority = "LOWEST"  # after the step of the learning rate, at the end of the iteration

    def __init__(self, deadline: float = math.inf, phase: str = "train") -> None:
        self.deadline, self.phase = deadline, phase
        self._saved = math.inf

    def before_train(self, runner: Runner) -> None:
        """Interrupt immediately if the deadline has passed, without changing the state."""
        if self._is_over():
            raise Interrupted(self.phase, runner.iter, runner.max_iters, runner.iter)
        self._saved = time.monotonic()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Interrupt the training, or write its state if it was not written for long."""
        done = batch_idx + 1
        if done == runner.max_iters:
            return
        if self._is_over():
            save_state(runner, by_epoch=False)
            raise Interrupted(self.phase, done, runner.max_iters, done)
        if time.monotonic() - self._saved >= STATE_SECONDS:
            save_state(runner, by_epoch=False)
            self._saved = time.monotonic()

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Interrupt a validation."""
        done, total = _images(batch_idx, runner.val_dataloader)
        if 0 < runner.iter < runner.max_iters and _is_asked(batch_idx, runner.val_dataloader) and self._is_over():
            save_state(runner, by_epoch=True)
            raise Interrupted("val", done, total, runner.iter)

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Interrupt the test; weights and curves of the training are already written."""
        done, total = _images(batch_idx, runner.test_dataloader)
        if _is_asked(batch_idx, runner.test_dataloader) and self._is_over():
            raise Interrupted("test", done, total, runner.iter)

    def _is_over(self) -> bool:
        """Return whether to interrupt; all processes that share a run decide alike."""
        return agreed(stop.is_requested() or time.monotonic() >= self.deadline)


def save_state(runner: Runner, *, by_epoch: bool) -> None:
    """Write the state that a training resumes from, replacing an earlier one.

    Args:
        runner: Runner of the training.
        by_epoch: whether the current iteration is finished; else mmengine counts it, as within an epoch.
    """
    if not is_main_process():
        return
    folder = Path(runner.work_dir)
    with replacing(folder / STATE) as temporary:
        runner.save_checkpoint(str(folder), temporary.name, by_epoch=by_epoch)
    with replacing(folder / POINTER) as temporary:
        temporary.write_text(str(folder / STATE))


def find_state(folder: Path) -> Path | None:
    """Find the state that a training resumes from.

    Args:
        folder: folder of the state; it may have been moved since `save_state` wrote it.

    Returns:
        The file; None if it is missing or damaged, which prints a warning on stderr.
    """
    state = folder / STATE
    try:
        content = torch.load(state, map_location="cpu", weights_only=True)
        missing = sorted(PARTS - set(content))
        why = f"it lacks {', '.join(missing)}" if missing else None
    except FileNotFoundError:
        if not os.path.lexists(folder / POINTER):
            return None
        state, why = folder / POINTER, f"{STATE} is missing"
    except Exception as error:  # unpickling a damaged file raises any exception
        why = " ".join(str(error).split()).partition(". ")[0][:100] or type(error).__name__
    if why is None:
        return state
    warn(f"segbench: warning: {state} is ignored, and the training restarts: {why}")
    return None


def _part(checkpoint: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return the entries of a checkpoint by name; it may lack some, and is too large to keep."""
    return {name: checkpoint[name] for name in names if name in checkpoint}


def _images(batch_idx: int, loader: Any) -> tuple[int, int]:
    """Return the number of images after a batch of each process, and their total."""
    total = len(loader.dataset)
    return min((batch_idx + 1) * loader.batch_size * get_world_size(), total), total


def _is_asked(batch_idx: int, loader: Any) -> bool:
    """Return whether all processes have images left after a batch, so that all are asked equally often."""
    least = len(loader.dataset) // get_world_size()
    return bool((batch_idx + 1) * loader.batch_size < least)


class StartHook(Hook):
    """Loads pretrained weights into a new training; a resumed training ignores them.

    Args:
        state: weights by name; other weights of the network keep their values.
    """

    def __init__(self, state: Mapping[str, torch.Tensor]) -> None:
        self.state = state

    def before_train(self, runner: Runner) -> None:
        """Load the weights, after mmengine has initialized the network and resumed a state, if any."""
        if not runner.iter:
            checkpoint.start_from(runner.model, self.state)


class ProgressHook(Hook):
    """Reports the progress of a run.

    Args:
        on_progress: called at most once per iteration or image.
        losses: hook that has the latest loss.
        phase: phase name of the training in progress reports.
    """

    def __init__(self, on_progress: Progress, losses: LossHook | None = None, phase: str = "train") -> None:
        self.on_progress, self.losses, self.phase = on_progress, losses, phase
        self._evaluated = 0

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Report one more iteration."""
        curve = self.losses.curve if self.losses else []
        self.on_progress(self.phase, batch_idx + 1, runner.max_iters, curve[-1][1] if curve else None)

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """Report a batch of val images."""
        self._count(batch_idx, outputs)
        self.on_progress("val", self._done(runner.val_dataloader), len(runner.val_dataloader.dataset), None)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Report the mIoU of a validation."""
        if metrics and "mIoU" in metrics:
            total = len(runner.val_dataloader.dataset)
            self.on_progress("val", total, total, metrics["mIoU"])

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """Report a batch of test images."""
        self._count(batch_idx, outputs)
        self.on_progress("test", self._done(runner.test_dataloader), len(runner.test_dataloader.dataset), None)

    def _count(self, batch_idx: int, outputs: Sequence[Any] | None) -> None:
        self._evaluated = len(outputs or ()) + (self._evaluated if batch_idx else 0)

    def _done(self, loader: Any) -> int:
        """Return the images that all processes have evaluated, as far as this one knows."""
        total: int = len(loader.dataset)
        return min(self._evaluated * int(get_world_size()), total)
