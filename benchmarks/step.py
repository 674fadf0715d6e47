"""Training on CamVid: ours against the way mmsegmentation's `tools/train.py` takes, batches included.

Theirs is mmengine's Runner with mmsegmentation's default hooks around its own dataset and pipeline; ours is a session.
Both train the same network with the same optimizer, crop, batch and precision: on a GPU crops of 360 x 480 pixels in
batches of 16 in bfloat16, with 8 worker processes for theirs; on a CPU small crops in one process and thread.

    python benchmarks/step.py FOLDER    # the folder that holds CamVid/
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import mmseg
import torch
from mmengine import Config
from mmengine.runner import Runner
from timing import hardware, interleaved, waited

import benchmark.registration  # noqa: F401
from benchmark import compose
from benchmark.datasets.camvid import CamVid
from benchmark.engine import patches
from benchmark.engine.feed import feed
from benchmark.engine.session import Session

GPU = torch.cuda.is_available()
SIZE, BATCH, PRECISION, WORKERS = ((360, 480), 16, "bfloat16", 8) if GPU else ((96, 128), 4, "float32", 0)
ITERATIONS = {"enet": 50 if GPU else 4, "pspnet_r50-d8": 25 if GPU else 1}
"""Architectures, and iterations of one timing."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=os.environ.get("SEGBENCH_DATA", "data"))
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for architecture, iterations in ITERATIONS.items():
        with ExitStack() as stack:
            work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            nowhere = stack.enter_context(Path(os.devnull).open("w"))
            stack.enter_context(redirect_stdout(nowhere))
            stack.enter_context(redirect_stderr(nowhere))
            functions = {
                "mmsegmentation": theirs(architecture, iterations, arguments.folder, work),
                "segbench": ours(architecture, iterations, arguments.folder, work),
            }
            seconds = (waited if GPU else interleaved)(functions, arguments.rounds)
        for name, taken in seconds.items():
            rate, ratio = iterations * BATCH / taken, seconds["mmsegmentation"] / taken
            rows.append(f"| {architecture} | {name} | {1000 * taken / iterations:.1f} | {rate:.1f} | {ratio:.2f} |")
    device = f"{torch.cuda.get_device_name()}, wall time" if GPU else "CPU time"
    print(f"{hardware()}; {device}; batches of {BATCH} at {SIZE[0]}x{SIZE[1]} in {PRECISION}\n")
    print("| architecture | training | ms an iteration | images/s | times mmsegmentation |\n|---|---|---:|---:|---:|")
    print("\n".join(rows))


def ours(architecture: str, iterations: int, folder: Path, work: Path) -> Callable[[], None]:
    runner = Session(_composed(architecture, folder), work / "ours", lambda *progress: None).runner
    loop = runner.train_loop
    loop.dataloader = feed(loop.dataloader, "auto", deterministic=False)
    train = _drive(runner, iterations, loop.dataloader)

    def patched() -> None:
        with patches.training_patches():
            train()

    return patched


def theirs(architecture: str, iterations: int, folder: Path, work: Path) -> Callable[[], None]:
    """What a config of mmsegmentation's says that is made of its `default_runtime` and `schedule_20k`."""
    composed = _composed(architecture, folder)
    bases = Path(mmseg.__file__).parent / ".mim" / "configs" / "_base_"
    runtime = Config.fromfile(bases / "default_runtime.py")
    schedule = Config.fromfile(bases / "schedules" / "schedule_20k.py")
    optim_wrapper = {"type": "OptimWrapper", "optimizer": composed.optim_wrapper.optimizer}
    if PRECISION == "bfloat16":
        optim_wrapper |= {"type": "AmpOptimWrapper", "dtype": PRECISION}
    runner = Runner(
        model=composed.model,
        work_dir=str(work / "theirs"),
        experiment_name=f"theirs-{architecture}",
        train_dataloader={
            "batch_size": BATCH,
            "num_workers": WORKERS,
            "persistent_workers": WORKERS > 0,
            "sampler": {"type": "InfiniteSampler", "shuffle": True},
            "dataset": _dataset(folder),
        },
        train_cfg={"type": "IterBasedTrainLoop", "max_iters": 20000},
        optim_wrapper=optim_wrapper,
        param_scheduler=schedule.param_scheduler,
        default_hooks=schedule.default_hooks,
        env_cfg=runtime.env_cfg,
        visualizer=runtime.visualizer,
        log_processor=runtime.log_processor,
        default_scope="mmseg",
        randomness={"seed": 0},
    )
    return _drive(runner, iterations)


def _composed(architecture: str, folder: Path) -> Config:
    config = compose.compose(
        architecture, "camvid_360x480_scratch", root=folder, batch_size=BATCH, precision=PRECISION, max_iters=20000
    )
    config.train_dataloader.dataset.augmentation.crop_size = SIZE
    config.data_preprocessor.size = config.model.data_preprocessor.size = SIZE
    return config


def _dataset(folder: Path) -> dict[str, Any]:
    from mmseg.datasets import BaseSegDataset
    from mmseg.registry import DATASETS

    classes = CamVid.classes

    @DATASETS.register_module(force=True)
    class CamVidFolders(BaseSegDataset):
        """mmsegmentation sends labels of classes that are not asked for to its void."""

        METAINFO = {"classes": (*classes, "void"), "palette": [[0, 0, 0]] * (len(classes) + 1)}  # noqa: RUF012

    return {
        "type": "CamVidFolders",
        "data_root": str(folder / "CamVid"),
        "data_prefix": {"img_path": "train", "seg_map_path": "trainannot"},
        "img_suffix": ".png",
        "seg_map_suffix": ".png",
        "metainfo": {"classes": classes},
        "pipeline": [
            {"type": "LoadImageFromFile"},
            {"type": "LoadAnnotations"},
            {"type": "RandomResize", "scale": (480, 360), "ratio_range": (0.5, 2.0), "keep_ratio": True},
            {"type": "RandomCrop", "crop_size": SIZE, "cat_max_ratio": 0.75},
            {"type": "RandomFlip", "prob": 0.5},
            {"type": "PhotoMetricDistortion"},
            {"type": "PackSegInputs"},
        ],
    }


def _drive(runner: Runner, iterations: int, batches: Any = None) -> Callable[[], None]:
    """Iterations of a runner's loop, as its `train` begins them; batches of its own by default."""
    runner._train_loop = loop = runner.build_train_loop(runner._train_loop)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
    runner._init_model_weights()
    for stage in ("before_run", "before_train", "before_train_epoch"):
        runner.call_hook(stage)
    runner.model.train()
    if hasattr(loop, "_arrange"):
        with patches.training_patches():
            loop._arrange()
    batches = loop.dataloader_iterator if batches is None else iter(batches)

    def train() -> None:
        for _ in range(iterations):
            loop.run_iter(next(batches))

    return train


if __name__ == "__main__":
    main()
