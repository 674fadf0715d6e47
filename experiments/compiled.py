"""Deviation of compiled trainings from eager ones: `python experiments/compiled.py [ARCH ...]`.

Each architecture trains 20 iterations on the embedded dataset, eagerly, by `torch.compile`, and twice eagerly with the
last bit of each initial weight changed, which gives the deviation due to rounding. SGD, as Adam's first steps are
of full size even where gradients are rounding errors. On a CPU a compilation takes minutes of a C++ compiler.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path

from mmengine import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

import benchmark.registration  # noqa: F401  (activates the backend, before mmseg is imported)
from benchmark import backend
from benchmark.catalog import catalog
from benchmark.cli import devices
from benchmark.configs import compose
from benchmark.engine import device
from benchmark.engine.agreement import distance, last_bits_changed
from benchmark.engine.session import Session
from benchmark.engine.timings import TrainingMode

ITERATIONS = 20
PROTOCOL = "shapes_64x64_smoke"


def config(architecture: str) -> Config:
    """Compose the training, with the loss of every iteration."""
    found = compose.compose(architecture, PROTOCOL, max_iters=ITERATIONS)
    found.optim_wrapper.optimizer = {"type": "SGD", "lr": 0.01, "momentum": 0.9}
    found.custom_hooks[0].interval = 1  # LossHook
    return found


class RoundingHook(Hook):
    """Changes the last bits of the weights once they are initialized, until a stack is unwound."""

    def __init__(self, stack: ExitStack, seed: int) -> None:
        self.stack, self.seed = stack, seed

    def before_train(self, runner: Runner) -> None:
        self.stack.enter_context(last_bits_changed(runner.model, self.seed))


def losses(architecture: str, *, compiled: bool = False, seed: int | None = None) -> tuple[list[float], float | None]:
    """Train; return the losses and the seconds of the compilation, None where there was none.

    Args:
        architecture: its name.
        compiled: train by `torch.compile`.
        seed: of the last bits that are changed in the initial weights; None to change none.
    """
    with tempfile.TemporaryDirectory() as folder:
        mode = TrainingMode("contiguous", graph=False, compiled=compiled)
        session = Session(config(architecture), Path(folder), mode=mode)
        with ExitStack() as stack:
            if seed is not None:
                session.runner.register_hook(RoundingHook(stack, seed))
            trained = session.train()
        execution = session.execution
        return [loss for _, loss in trained.loss], execution and execution.compile_seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("architectures", nargs="*", metavar="ARCH", help="default: every architecture of the catalog")
    devices.device(parser)
    args = parser.parse_args()
    backend.silence()
    device.select(args.device)
    print("| architecture | compiled | last bits changed | compilation (s) |\n|---|---:|---:|---:|", flush=True)
    for name in args.architectures or catalog.architectures():
        eager, _ = losses(name)
        rounding = max(distance(eager, losses(name, seed=seed)[0]) for seed in range(2))
        compiled, seconds = losses(name, compiled=True)
        cells = ("not compiled", "-") if seconds is None else (f"{distance(eager, compiled):.1e}", f"{seconds:.0f}")
        print(f"| `{name}` | {cells[0]} | {rounding:.1e} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main()
