"""What happens beside the training steps: losses are gathered, weights are kept, progress is told.

None of it waits for the device between log points: losses stay tensors until they are read together. (mmengine's own
hooks read every logged scalar at every iteration and append it to an array that is copied each time.)
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from benchmark.engine.layout import arrange
from benchmark.engine.timings import TrainingMode
from benchmark.files.atomic import replacing
from benchmark.weights import checkpoint

STATE = "resume.pth"
"""File of the state that a training goes on from."""

POINTER = "last_checkpoint"
"""File in which mmengine looks for the path of `STATE`."""

PARTS = {"meta", "state_dict", "optimizer", "message_hub", "param_schedulers"}
"""What mmengine needs of a state."""

Progress = Callable[[str, int, int, float | None], None]
"""Called with a phase ("first_stage", "train", "val", "test"), what is done of it, what there is of it, and the loss if
known."""


class Diverged(Exception):  # noqa: N818 (an outcome of a run, not a mistake of the program)
    """The loss of a training is not a finite number any more.

    Attributes:
        iteration: the first iteration whose loss was not finite, counted from 1.
        loss: that loss.
    """

    def __init__(self, iteration: int, loss: float, stage: str = "") -> None:
        super().__init__(f"the loss is {loss} at iteration {iteration}" + (f" of the {stage} stage" if stage else ""))
        self.iteration, self.loss = iteration, loss


class Stopped(Exception):  # noqa: N818 (an outcome of a run, not a mistake of the program)
    """A training or an evaluation has ended early, for its time is up; what it needs to go on is in its folder.

    Attributes:
        phase: "train", "first_stage", "val" or "test".
        done: iterations or images done of it.
        total: iterations or images there are of it.
        iteration: iterations of the training that are done, of all its stages.
    """

    def __init__(self, phase: str, done: int, total: int, iteration: int) -> None:
        super().__init__(f"stopped at {done} of {total} of {phase}")
        self.phase, self.done, self.total, self.iteration = phase, done, total, iteration


@HOOKS.register_module()
class LossHook(Hook):
    """Gathers the total loss and reads it at log points; ends the run when it is not finite.

    Args:
        interval: iterations between log points.

    Attributes:
        curve: (iteration, mean loss since the entry before).
    """

    priority = "ABOVE_NORMAL"  # before validation and checkpoints see weights that have diverged

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval
        self.curve: list[tuple[int, float]] = []
        self._unread: list[torch.Tensor] = []

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, torch.Tensor] | None = None
    ) -> None:
        """Keep the loss; read what was kept at a log point."""
        assert outputs is not None
        self._unread.append(outputs["loss"])
        iteration = batch_idx + 1
        if iteration % self.interval == 0 or iteration == runner.max_iters:
            self._read(runner, iteration)

    def before_val(self, runner: Runner) -> None:
        """Make sure that weights which have diverged are not evaluated."""
        self._check(runner.iter)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Keep the curve, and what is not in it yet, with the state of the run."""
        checkpoint["loss_curve"] = self.curve
        checkpoint["unread_losses"] = list(self._unread)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Go on with the curve of the run that is resumed."""
        self.curve = [(iteration, loss) for iteration, loss in checkpoint.get("loss_curve", [])]
        self._unread = list(checkpoint.get("unread_losses", []))

    def _check(self, iteration: int) -> list[float]:
        losses: list[float] = torch.stack(self._unread).tolist() if self._unread else []
        for at, loss in enumerate(losses, start=iteration - len(losses) + 1):
            if not math.isfinite(loss):
                raise Diverged(at, loss)
        return losses

    def _read(self, runner: Runner, iteration: int) -> None:
        losses = self._check(iteration)
        self._unread.clear()
        mean = sum(losses) / len(losses)
        self.curve.append((iteration, mean))
        rate = runner.optim_wrapper.get_lr()["lr"][0]
        runner.visualizer.add_scalars({"loss": mean, "lr": rate}, step=iteration)
        runner.logger.info(f"iteration {iteration}/{runner.max_iters}  loss {mean:.4f}  lr {rate:.3g}")


@HOOKS.register_module()
class WeightsHook(Hook):
    """Writes `last.pth` at the end and `best.pth` whenever mIoU on val is the best so far: weights and nothing else.

    Attributes:
        curve: (iteration, mIoU on val in percent).
        best_iteration: the iteration of `best.pth`, the earliest among equals; None before the first validation.
    """

    def __init__(self) -> None:
        self.curve: list[tuple[int, float]] = []

    @property
    def best_iteration(self) -> int | None:  # noqa: D102 (an attribute to its users)
        return max(self.curve, key=lambda point: (point[1], -point[0]))[0] if self.curve else None

    def before_train(self, runner: Runner) -> None:
        """Write the best weights of a state that was saved and killed before they were: they are those of the state."""
        if runner.iter and self.best_iteration == runner.iter:
            checkpoint.save(runner.model, Path(runner.work_dir) / "best.pth")

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Keep the score."""
        if not runner.iter:
            return  # weights from elsewhere are evaluated, there is no training
        assert metrics is not None
        self.curve.append((runner.iter, metrics["miou"]))

    def after_val(self, runner: Runner) -> None:
        """Keep the weights if they are the best so far, now that `ResumeHook` has saved the state that says so.

        A run that is killed in between goes on from weights and scores of one and the same training.
        """
        if self.best_iteration == runner.iter < runner.max_iters:
            checkpoint.save(runner.model, Path(runner.work_dir) / "best.pth")

    def after_train_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Keep the weights of the last iteration."""
        checkpoint.save(runner.model, Path(runner.work_dir) / "last.pth")

    def after_train(self, runner: Runner) -> None:
        """Keep them as the best if they are: last of all, when no state is left in which others were."""
        if self.best_iteration == runner.iter:
            checkpoint.save(runner.model, Path(runner.work_dir) / "best.pth")

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Let a resumed run know what was best."""
        checkpoint["val_curve"] = self.curve

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Go on from there."""
        self.curve = [(iteration, miou) for iteration, miou in checkpoint.get("val_curve", [])]


@HOOKS.register_module()
class ResumeHook(Hook):
    """Writes after each validation what a killed run needs to go on, and removes it at the end.

    mmengine finds it by the file `last_checkpoint`, as it finds its own (`resume=True`); `find_state` finds it without.
    It is saved after validation, not before as mmengine does, so that a resumed run does not lack one. Where a run was
    stopped before or within a validation (see `StopHook`), that is made up for.
    """

    priority = "LOW"  # after WeightsHook, whose curve it holds

    def __init__(self) -> None:
        self._validated = 0  # the iteration of the latest validation

    def before_train(self, runner: Runner) -> None:
        """Validate where the state was saved before that was done."""
        if runner.iter and runner.iter != self._validated and runner.train_loop.is_validated():
            runner.val_loop.run()

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Save the state, unless the run is done or never began."""
        self._validated = runner.iter
        if 0 < runner.iter < runner.max_iters:
            # mmengine counts the running iteration in unless it is told that a whole epoch is over.
            save_state(runner, by_epoch=True)

    def after_train_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Remove the state: the last weights are written, and there is nothing to resume."""
        if is_main_process():
            for name in (POINTER, STATE):  # in this order, or a kill in between would leave a pointer to nothing
                (Path(runner.work_dir) / name).unlink(missing_ok=True)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Keep what the loop knows of the training so far."""
        checkpoint["validated"] = self._validated
        checkpoint["train_seconds"] = runner.train_loop.seconds
        checkpoint["mode"] = runner.train_loop.mode and list(runner.train_loop.mode)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Go on from there."""
        self._validated = checkpoint.get("validated", checkpoint["meta"]["iter"])
        runner.train_loop.spent = checkpoint.get("train_seconds", 0.0)
        if mode := checkpoint.get("mode"):  # another one would not give the same bits
            runner.train_loop.tuner.mode = TrainingMode(*mode)
            arrange(runner.model, runner.train_loop.tuner.mode.layout)  # a validation may come before the first step


class StopHook(Hook):
    """Ends a run when its time is up, in a state from which it goes on to the same bits.

    A training ends after the iteration at hand, an evaluation, which is made again, after the images at hand. What is
    done is not given up: neither an evaluation of which no image is left, nor the last validation of a training.

    Args:
        deadline: when its time is up, on the clock of `time.monotonic`, which all processes share.
        phase: what its training is told as.
    """

    priority = "LOWEST"  # after the learning rate was stepped: the iteration is over

    def __init__(self, deadline: float, phase: str = "train") -> None:
        self.deadline, self.phase = deadline, phase

    def before_train(self, runner: Runner) -> None:
        """Do not begin what would be over at once; the state is what it was."""
        if self._is_over():
            raise Stopped(self.phase, runner.iter, runner.max_iters, runner.iter)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """End the training."""
        done = batch_idx + 1
        if done < runner.max_iters and self._is_over():
            save_state(runner, by_epoch=False)
            raise Stopped(self.phase, done, runner.max_iters, done)

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """End a validation."""
        done, total = _images(batch_idx, runner.val_dataloader)
        if done < total and 0 < runner.iter < runner.max_iters and self._is_over():
            save_state(runner, by_epoch=True)
            raise Stopped("val", done, total, runner.iter)

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """End the test; weights and curves of the training are in place."""
        done, total = _images(batch_idx, runner.test_dataloader)
        if done < total and self._is_over():
            raise Stopped("test", done, total, runner.iter)

    def _is_over(self) -> bool:
        return time.monotonic() >= self.deadline


def save_state(runner: Runner, *, by_epoch: bool) -> None:
    """Write all that a training needs to go on, in place of what was written before.

    Args:
        runner: whose training it is.
        by_epoch: whether the running iteration is over; else it is counted in, as mmengine does within one.
    """
    if not is_main_process():
        return
    folder = Path(runner.work_dir)
    with replacing(folder / STATE) as temporary:
        runner.save_checkpoint(str(folder), temporary.name, by_epoch=by_epoch)
    with replacing(folder / POINTER) as temporary:
        temporary.write_text(str(folder / STATE))


def find_state(folder: Path) -> Path | None:
    """Find the state from which a training goes on.

    Args:
        folder: where `save_state` wrote it, wherever the folder was then.

    Returns:
        The file; None where there is none, or none that is whole, of which a line on stderr tells.
    """
    state = folder / STATE
    try:
        content = torch.load(state, map_location="cpu", weights_only=True)
        missing = sorted(PARTS - set(content))
        why = f"it lacks {', '.join(missing)}" if missing else None
    except FileNotFoundError:
        if not os.path.lexists(folder / POINTER):
            return None
        state, why = folder / POINTER, f"there is no {STATE}"
    except Exception as error:  # whatever unpickling a damaged file raises
        why = " ".join(str(error).split()).partition(". ")[0][:100] or type(error).__name__
    if why is None:
        return state
    print(f"segbench: warning: {state} is ignored, and the training begins anew: {why}", file=sys.stderr)
    return None


def _images(batch_idx: int, loader: Any) -> tuple[int, int]:
    """How many images are done after a batch, and how many there are."""
    total = len(loader.dataset)
    return min((batch_idx + 1) * loader.batch_size, total), total


class StartHook(Hook):
    """Lets a training that begins, and none that is resumed, begin with weights that were learned before.

    Args:
        state: weights by name; those that are not among them stay as they are.
    """

    def __init__(self, state: Mapping[str, torch.Tensor]) -> None:
        self.state = state

    def before_train(self, runner: Runner) -> None:
        """Load them; mmengine has set all weights by now, and has resumed what there was to resume."""
        if not runner.iter:
            checkpoint.start_from(runner.model, self.state)


class ProgressHook(Hook):
    """Tells somebody how far the run is.

    Args:
        tell: called at most once an iteration or image.
        losses: where the latest loss is found.
        phase: what the training is told as.
    """

    def __init__(self, tell: Progress, losses: LossHook | None = None, phase: str = "train") -> None:
        self.tell, self.losses, self.phase = tell, losses, phase
        self._evaluated = 0

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """One iteration more."""
        curve = self.losses.curve if self.losses else []
        self.tell(self.phase, batch_idx + 1, runner.max_iters, curve[-1][1] if curve else None)

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """A few images of val more."""
        self._count(batch_idx, outputs)
        self.tell("val", self._evaluated, len(runner.val_dataloader.dataset), None)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """A few images of test more."""
        self._count(batch_idx, outputs)
        self.tell("test", self._evaluated, len(runner.test_dataloader.dataset), None)

    def _count(self, batch_idx: int, outputs: Sequence[Any] | None) -> None:
        self._evaluated = len(outputs or ()) + (self._evaluated if batch_idx else 0)
