"""Training speed of each network on CamVid, as a fraction of the device's roofline.

The roofline of a training step is the sum over its operators of the time for their arithmetic at the rate of a large
matrix product, or for moving their operands once at the rate of a large copy, whichever is more: the time of the same
operators without launch latency. (A fraction of the arithmetic only would rank light networks last, whose operators
are bound by memory.)

    python performance/roofline.py FOLDER [ARCH ...]    # the folder that contains CamVid/; default: one of each method
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from mmengine import Config
from mmengine.registry import DefaultScope
from timing import Deadline, TimeLimitError, hardware, silent, waited
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

import benchmark.registration  # noqa: F401
from benchmark.catalog import catalog
from benchmark.configs import compose
from benchmark.engine import patches
from benchmark.engine.device import select
from benchmark.engine.session import Session
from benchmark.engine.step import loss

from mmseg.registry import MODELS  # isort: skip

GPU = select("auto") == "cuda"
PRECISION, BYTES = ("bfloat16", 2) if GPU else ("float32", 4)
SIZE, BATCH, ITERATIONS = ((360, 480), 16, 60) if GPU else ((96, 128), 4, 2)
CONVOLUTION = torch.ops.aten.convolution
BACKWARD = torch.ops.aten.convolution_backward


class Roofline(TorchDispatchMode):
    """Sums the minimum time of every operator.

    Args:
        arithmetic: multiply-accumulates per second.
        memory: bytes per second.
    """

    def __init__(self, arithmetic: float, memory: float) -> None:
        super().__init__()
        self.arithmetic, self.memory, self.seconds = arithmetic, memory, 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if not func.is_view:
            tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor)]
            moved = BYTES * sum(tensor.numel() for tensor in tensors)
            self.seconds += max(_macs(func, args, kwargs, result) / self.arithmetic, moved / self.memory)
        return result


def _macs(func: Any, args: Any, kwargs: Any, result: Any) -> int:
    if func.overloadpacket is BACKWARD:  # torch overcounts grouped ones: a gradient costs as much as the pass
        gradient, image, weight, _, *settings, wanted = args
        forward = flop_registry[CONVOLUTION](image, weight, None, *settings, out_val=gradient)
        return int(sum(wanted[:2]) * forward) // 2
    formula = flop_registry.get(func.overloadpacket)
    return int(formula(*args, **kwargs, out_val=result)) // 2 if formula else 0


def bound(config: Config, ceilings: tuple[float, float]) -> float:
    """Return the seconds of a training step at the device's roofline."""
    with torch.device("meta"), DefaultScope.overwrite_default_scope("mmseg"):
        model = MODELS.build(config.model)
    model = model.to("meta").train()
    inputs = torch.empty(BATCH, 3, *SIZE, dtype=torch.uint8, device="meta")
    labels = torch.empty(BATCH, *SIZE, dtype=torch.uint8, device="meta")
    with Roofline(*ceilings) as roofline, patches.training_patches():
        loss(model, {"inputs": inputs, "labels": labels}, _Plain()).backward()
    return roofline.seconds


class _Plain:
    """No optimizer, whose cost is less than a hundredth."""

    def optim_context(self, model: object) -> ExitStack:
        return ExitStack()


def reached(config: Config, folder: Path) -> float:
    """Measure the seconds of a training step like `segbench run`."""
    session = Session(config, folder)
    session.runner._val_loop = None  # skip validation
    trained = session.train()
    return trained.seconds / trained.iterations


def ceilings() -> tuple[float, float]:
    """Measure multiply-accumulates and bytes per second, by a large matrix product and a large copy."""
    side, dtype, device = (8192, torch.bfloat16, "cuda") if GPU else (1024, torch.float32, "cpu")
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    source = torch.empty(2**30 if GPU else 2**26, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    functions: dict[str, Callable[[], object]] = {
        "product": lambda: [left @ right for _ in range(10)],
        "copy": lambda: [target.copy_(source) for _ in range(10)],
    }
    seconds = waited(functions, rounds=5)
    return 10 * side**3 / seconds["product"], 20 * source.numel() / seconds["copy"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=os.environ.get("SEGBENCH_DATA", "data"))
    parser.add_argument("architectures", nargs="*", metavar="ARCH")
    parser.add_argument("--seconds", type=float, help="time limit in seconds; print the measurements up to then")
    arguments = parser.parse_args()
    deadline, device = Deadline(arguments.seconds), None
    print(f"{hardware()}; batches of {BATCH} at {SIZE[0]}x{SIZE[1]} in {PRECISION}", flush=True)
    for architecture in arguments.architectures or catalog.representatives():
        try:
            with deadline.interrupting():
                if device is None:
                    device = ceilings()
                    print(f"ceilings: {2e-12 * device[0]:.3g} TFLOP/s, {1e-12 * device[1]:.3g} TB/s\n")
                    print("| architecture | images/s | at the roofline | fraction |\n|---|---:|---:|---:|", flush=True)
                with silent(), tempfile.TemporaryDirectory() as work:
                    config = composed(architecture, arguments.folder)
                    roof, taken = bound(config, device), reached(config, Path(work))
        except TimeLimitError:
            print(f"| {architecture} | not measured: time limit reached | | |", flush=True)
        else:
            print(f"| {architecture} | {BATCH / taken:.0f} | {BATCH / roof:.0f} | {roof / taken:.0%} |", flush=True)


def composed(architecture: str, folder: Path) -> Config:
    config = compose.compose(
        architecture,
        "camvid_360x480_scratch",
        root=folder,
        batch_size=BATCH,
        precision=PRECISION,
        max_iters=ITERATIONS,
    )
    config.train_dataloader.dataset.augmentation.crop_size = SIZE
    config.data_preprocessor.size = config.model.data_preprocessor.size = SIZE
    return config


if __name__ == "__main__":
    main()
