"""Training on CamVid: ours and mmsegmentation's `tools/train.py`, including batches.

Theirs is mmengine's Runner with mmsegmentation's default hooks, dataset and pipeline; ours is a session. Both train the
same network with the same optimizer, crop, batch and precision: on a GPU crops of 360 x 480 pixels in batches of 16 in
bfloat16, with 8 worker processes for theirs; on a CPU small crops in one process and thread. Rows are printed as soon
as they are measured.

    python performance/step.py FOLDER    # the folder that contains CamVid/
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import peer
import torch
from mmengine import Config
from mmengine.runner import Runner
from timing import Deadline, TimeLimitError, hardware, interleaved, silent, waited

import benchmark.registration  # noqa: F401
from benchmark.configs import compose
from benchmark.engine import patches
from benchmark.engine.loader import training_loader
from benchmark.engine.session import Session

GPU = torch.cuda.is_available()
SIZE, BATCH, PRECISION, WORKERS = ((360, 480), 16, "bfloat16", 8) if GPU else ((96, 128), 4, "float32", 0)
ROUNDS = 3 if GPU else 7
ITERATIONS = {"enet": 50 if GPU else 4, "pspnet_r50-d8": 25 if GPU else 1}
"""Architectures, and iterations per timing: more than the 16 batches prefetched by the workers."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=os.environ.get("SEGBENCH_DATA", "data"))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, help="time limit in seconds; print the measurements up to then")
    arguments = parser.parse_args()
    deadline = Deadline(arguments.seconds)
    torch.set_num_threads(1)
    device = f"{torch.cuda.get_device_name()}, wall time" if GPU else "CPU time"
    print(f"{hardware()}; {device}; batches of {BATCH} at {SIZE[0]}x{SIZE[1]} in {PRECISION}\n")
    print("| architecture | training | ms per iteration | images/s | times mmsegmentation | rounds |")
    print("|---|---|---:|---:|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for architecture, iterations in ITERATIONS.items():
            work = Path(folder)
            try:
                with deadline.interrupting(), trainings(architecture, iterations, arguments.folder, work) as functions:
                    seconds = (waited if GPU else interleaved)(functions, arguments.rounds)
            except TimeLimitError:
                print(f"| {architecture} | not measured: time limit reached | | | | |", flush=True)
                continue
            for name, taken in seconds.items():
                rate, ratio = iterations * BATCH / taken, seconds["mmsegmentation"] / taken
                row = f"{1000 * taken / iterations:.1f} | {rate:.1f} | {ratio:.2f} | {seconds.rounds}"
                print(f"| {architecture} | {name} | {row} |", flush=True)


@contextmanager
def trainings(architecture: str, iterations: int, root: Path, work: Path) -> Iterator[dict[str, Callable[[], None]]]:
    """Yield functions that run iterations of both trainings, by name; their workers end with the context."""
    config = _composed(architecture, root)
    loaders: list[Any] = []
    with silent():
        try:
            yield {
                "mmsegmentation": theirs(config, iterations, work, loaders),
                "segbench": ours(config, iterations, work, loaders),
            }
        finally:
            for loader in loaders:
                _stop_workers(loader)


def ours(config: Config, iterations: int, work: Path, loaders: list[Any]) -> Callable[[], None]:
    session = Session(config, work / "ours", lambda *progress: None)
    runner, loop = session.runner, session.runner.train_loop
    loop.tuner = session.tuner
    loop.dataloader = training_loader(loop.dataloader, "auto", deterministic=False)
    loop.dataloader_iterator = iter(loop.dataloader)
    loaders.append(loop.dataloader_iterator)
    train = _drive(runner, iterations)

    def patched() -> None:
        with patches.training_patches():
            train()

    return patched


def theirs(config: Config, iterations: int, work: Path, loaders: list[Any]) -> Callable[[], None]:
    split = work / "split"
    if not split.exists():
        peer.write_split(config, split)
    runner = peer.runner(config, split, work / "theirs", WORKERS)
    loaders.append(runner.train_loop.dataloader_iterator)
    return _drive(runner, iterations)


def _composed(architecture: str, folder: Path) -> Config:
    config = compose.compose(
        architecture, "camvid_360x480_scratch", root=folder, batch_size=BATCH, precision=PRECISION, max_iters=20000
    )
    config.train_dataloader.dataset.augmentation.crop_size = SIZE
    config.data_preprocessor.size = config.model.data_preprocessor.size = SIZE
    return config


def _drive(runner: Runner, iterations: int) -> Callable[[], None]:
    """Return a function that runs iterations of a runner's loop, set up like its `train`."""
    loop = runner.train_loop
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
    runner._init_model_weights()
    for stage in ("before_run", "before_train", "before_train_epoch"):
        runner.call_hook(stage)
    runner.model.train()
    if hasattr(loop, "prepare"):
        with patches.training_patches():
            loop.prepare()

    def train() -> None:
        for _ in range(iterations):
            loop.run_iter(next(loop.dataloader_iterator))

    return train


def _stop_workers(loader: Any) -> None:
    """End the worker processes of a data loader's iterator, or of mmengine's wrapper, if any."""
    iterator = getattr(loader, "_iterator", loader)
    if hasattr(iterator, "_shutdown_workers"):
        iterator._shutdown_workers()


if __name__ == "__main__":
    main()
