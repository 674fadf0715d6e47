"""Overhead of a training loop beyond the training steps: a bare PyTorch loop, ours, and mmengine's default Runner.

All train the same network, small enough to show the overhead, with the same optimizer, schedule and batches, and log
every 50 iterations. The bare loop prepares batches like ours; mmengine's uses its preprocessor, image by image, which
is part of its cost. A second table skips the steps, whose times vary more than the overhead: it shows only the loop,
with its hooks, seeds, schedule and log. `python performance/loop.py`
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import Runner
from timing import hardware, interleaved
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

import benchmark.registration  # noqa: F401
from benchmark.engine.hooks import LossHook, ProgressHook
from benchmark.engine.step import prepared
from benchmark.inputs.batches import Batch, sample

ITERATIONS = 200
"""Iterations per timing: enough that caches emptied by the previous function do not matter."""
STARTS = (100, 100_000)
"""Iterations at which the timings start."""
LOG = 50
ROUNDS = 15


SIZE, CLASSES = (8, 8), 4
LOSS = torch.ones(())


class Network(BaseModel):
    """Two convolutions."""

    def __init__(self) -> None:
        from mmseg.models import SegDataPreProcessor

        super().__init__(SegDataPreProcessor(mean=[123.7, 116.3, 103.5], std=[58.4, 57.1, 57.4], size=SIZE))
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, CLASSES, 1))

    def forward(self, inputs: Tensor, data_samples: list[Any], mode: str) -> dict[str, Tensor]:
        labels = torch.cat([each.gt_sem_seg.data for each in data_samples])
        return {"loss_ce": F.cross_entropy(self.layers(inputs), labels)}


class Batches(Dataset[Any]):
    """A dataset that repeats one batch."""

    metainfo: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, batch: Any) -> None:
        self.batch = batch

    def __len__(self) -> int:
        return 10**9

    def __getitem__(self, i: int) -> Any:
        return self.batch


def whole() -> Batch:
    """Return a batch in our format."""
    images, labels = torch.randint(256, (4, 3, *SIZE)), torch.randint(CLASSES, (4, *SIZE))
    return {"inputs": images.byte(), "labels": labels.byte()}


def listed() -> dict[str, Any]:
    """Return a batch in mmengine's format."""
    batch = whole()
    return {"inputs": list(batch["inputs"]), "data_samples": [sample(label.long()) for label in batch["labels"]]}


def loader(batch: Any) -> DataLoader[Any]:
    return DataLoader(Batches(batch), batch_size=None, sampler=range(10**9))


def nothing(*_: Any) -> Tensor:
    """Return the loss of a skipped step."""
    return LOSS


def bare(stepping: bool) -> Callable[[], None]:
    """Return a plain training loop."""
    model = Network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.PolynomialLR(optimizer, 10**6, power=0.9)
    optimizer.step()  # expected by the schedule
    batches, losses = iter(loader(whole())), []

    def step(batch: Batch) -> Tensor:
        loss: Tensor = model(**prepared(batch, model.data_preprocessor), mode="loss")["loss_ce"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    def train() -> None:
        model.train()
        take = step if stepping else nothing
        for i in range(ITERATIONS):
            losses.append(take(next(batches)))
            scheduler.step()
            if (i + 1) % LOG == 0:
                print(f"iteration {i + 1}  loss {torch.stack(losses).mean():.4f}  lr {scheduler.get_last_lr()[0]:.3g}")
                losses.clear()

    return train


def ours(start: int, folder: Path, stepping: bool) -> Callable[[], None]:
    """Return the loop of a session with its hooks and progress reports."""
    losses = LossHook(LOG)
    runner = Runner(
        **_common(whole(), "StatelessTrainLoop", "Float32OptimWrapper", folder / f"ours-{start}-{stepping}"),
        default_hooks=dict.fromkeys(("runtime_info", "timer", "logger", "checkpoint", "sampler_seed")),
        custom_hooks=[losses, {"type": "WeightsHook"}, {"type": "ResumeHook"}],
    )
    runner.register_hook(ProgressHook(lambda *progress: None, losses))
    train = _drive(runner, start)
    if not stepping:
        runner.train_loop.step = nothing
    return train


def theirs(start: int, folder: Path, stepping: bool) -> Callable[[], None]:
    """Return mmengine's Runner with its default hooks."""
    runner = Runner(
        **_common(listed(), "IterBasedTrainLoop", "OptimWrapper", folder / f"mmengine-{start}-{stepping}"),
        # The removed hook does nothing in an iteration, and fails for a loader of whole batches.
        default_hooks={"logger": {"type": "LoggerHook", "interval": LOG}, "sampler_seed": None},
    )
    train = _drive(runner, start)
    if not stepping:
        runner.model.train_step = lambda batch, optim_wrapper: {"loss": nothing(), "loss_ce": nothing()}
    runner.call_hook("before_train_epoch")
    runner.train_loop.run_iter(runner.train_dataloader.dataset.batch)
    for name, history in runner.message_hub.log_scalars.items():
        values = [history.current()] * start  # its content at that iteration
        runner.message_hub.log_scalars[name] = HistoryBuffer(values, [1] * start)
    return train


def _common(batch: Any, loop: str, optim_wrapper: str, folder: Path) -> dict[str, Any]:
    return {
        "model": Network(),
        "work_dir": str(folder),
        "experiment_name": folder.name,
        "train_dataloader": loader(batch),
        "train_cfg": {"type": loop, "max_iters": 10**6},
        "optim_wrapper": {"type": optim_wrapper, "optimizer": {"type": "AdamW", "lr": 1e-3}},
        "param_scheduler": {"type": "PolyLR", "power": 0.9, "begin": 0, "end": 10**6, "by_epoch": False},
        "log_processor": {"by_epoch": False},
        "randomness": {"seed": 0},
        "default_scope": "mmengine",
    }


def _drive(runner: Runner, start: int) -> Callable[[], None]:
    """Return a function that runs iterations of a runner's loop from a given one on."""
    runner._train_loop = loop = runner.build_train_loop(runner._train_loop)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
    loop._iter = start
    batches = iter(runner.train_dataloader)
    runner.call_hook("before_run")
    runner.call_hook("before_train")

    def train() -> None:
        runner.model.train()
        for _ in range(ITERATIONS):
            loop.run_iter(next(batches))

    return train


def table(stepping: bool) -> str:
    """Return a table of the time per iteration of each loop."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        nowhere = stack.enter_context(Path(os.devnull).open("w"))
        stack.enter_context(redirect_stdout(nowhere))
        stack.enter_context(redirect_stderr(nowhere))
        # The difference between the first two is noise.
        functions = {"a bare loop": bare(stepping), "the same again": bare(stepping)}
        for start in STARTS:
            functions[f"ours, iteration {start:,}"] = ours(start, folder, stepping)
            functions[f"mmengine's Runner, iteration {start:,}"] = theirs(start, folder, stepping)
        seconds = interleaved(functions, ROUNDS)
    base = seconds["a bare loop"]
    lines = ["| loop | us per iteration | more than the bare loop, us | ratio |", "|---|---:|---:|---:|"]
    for name, taken in seconds.items():
        each, more = taken / ITERATIONS * 1e6, (taken - base) / ITERATIONS * 1e6
        lines.append(f"| {name} | {each:.0f} | {more:+.0f} | {taken / base:.2f} |")
    return "\n".join(lines)


def main() -> None:
    torch.set_num_threads(1)
    print(f"{hardware()}\n\nWith training steps:\n\n{table(True)}\n\nWithout:\n\n{table(False)}")


if __name__ == "__main__":
    main()
