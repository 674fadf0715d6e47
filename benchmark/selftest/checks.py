"""Checks of a device: the steps of a run on a small network and the embedded dataset.

On a CPU the applicable checks are run.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from mmengine import Config

    from benchmark.engine.session import Session

ITERATIONS = 20
PROTOCOL = "shapes_64x64_smoke"

PIXELS = 5.0
"""Maximum mean difference of pixels, of 255, between batches and those of the CPU; see `inputs.gpu_batches`."""
LABELS = 0.01
"""Maximum fraction of pixels that a GPU may label differently from the CPU: its sums have another order, so ties are
broken differently, and after 20 iterations many scores are close. Wrong inputs or weights change some tenths."""
MIB = 2**20


class Failed(Exception):  # noqa: N818 (a result, not a program error)
    """Raised if a check found a problem."""


class Skipped(Exception):  # noqa: N818 (likewise)
    """Raised if a check cannot run here."""


class DeviceCheck(NamedTuple):
    """A check of a device.

    Attributes:
        name: name of the check.
        function: returns its result in one line; raises `Skipped`, or any other exception if it fails.
        limit: timeout in seconds.
    """

    name: str
    function: Callable[[Bench], str]
    limit: float


class Bench:
    """State shared by checks within a process: a small network on the embedded dataset.

    Args:
        device: "cpu" or "cuda".
        folder: folder of weights and logs.
    """

    def __init__(self, device: str, folder: Path) -> None:
        self.device, self.folder = device, folder

    @property
    def config(self) -> Config:
        """Return the config of a U-Net with five convolutions and dropout, which compiles in seconds."""
        from benchmark.configs import compose

        config = compose.compose("unet-s5-d16", PROTOCOL, max_iters=ITERATIONS)
        ones = (1, 1, 1)
        config.model.backbone.update(
            base_channels=8,
            num_stages=3,
            strides=ones,
            enc_num_convs=ones,
            dec_num_convs=ones[1:],
            downsamples=(True, True),
            enc_dilations=ones,
            dec_dilations=ones[1:],
        )
        config.model.decode_head.update(in_channels=8, channels=8, in_index=2)
        config.model.auxiliary_head = None
        # AdamW would take full-size steps along noisy gradients.
        config.optim_wrapper.optimizer = {"type": "SGD", "lr": 0.01, "momentum": 0.9}
        config.custom_hooks[0].interval = 1  # LossHook
        return config

    @cached_property
    def eager(self) -> TrainingResult:
        """Return the result of a training with eager steps."""
        return self.train()

    @cached_property
    def noise(self) -> float:
        """Return the distance of two eager trainings with the same settings."""
        from benchmark.engine.agreement import distance

        return distance(self.eager.losses, self.train().losses)

    def train(self, *, graph: bool = False, compiled: bool = False) -> TrainingResult:
        """Train from the initial weights in a training mode."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        notes = _Notes()
        session = _session(self.config, folder, notes, graph=graph, compiled=compiled)
        trained = session.train()
        losses = [loss for _, loss in trained.loss]
        return TrainingResult(session, losses, trained.seconds / ITERATIONS, trained.last, notes.lines)


@dataclass(frozen=True)
class TrainingResult:
    """Result of a training.

    Attributes:
        session: session of the training.
        losses: one for each iteration.
        seconds: wall time of an iteration.
        weights: file of the weights of the last iteration.
        notes: log messages.
    """

    session: Session
    losses: list[float]
    seconds: float
    weights: Path
    notes: list[str]


def _session(config: Config, folder: Path, notes: logging.Handler, *, graph: bool, compiled: bool) -> Session:
    """Create a session that trains in a given mode, without a trial."""
    from benchmark.engine.session import Session
    from benchmark.engine.timings import TrainingMode

    session = Session(config, folder, mode=TrainingMode("contiguous", graph, compiled))
    session.runner.logger.setLevel(logging.INFO)
    session.runner.logger.addHandler(notes)
    return session


class _Notes(logging.Handler):
    """Log handler that stores the messages."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def look(bench: Bench) -> str:
    """Compute on the device, and read its name and software versions."""
    import torch

    from benchmark.results.environment import capture

    ones = torch.ones(64, 64, device=bench.device)
    if (product := float((ones @ ones).mean())) != 64:
        raise Failed(f"the product of two matrices of ones is {product}, not 64")
    found = capture(bench.device, deterministic=False)
    if bench.device == "cpu":
        return f"{found.cpu}, {found.cores} cores, torch {torch.__version__}"
    gpu = torch.cuda.get_device_properties(0)
    return (
        f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB, compute capability {gpu.major}.{gpu.minor}, "
        f"driver {found.driver}, CUDA {found.cuda}, cuDNN {found.cudnn}, torch {torch.__version__}"
    )


def memory(bench: Bench) -> str:
    """Measure the peak memory of a tensor of 64 MiB."""
    import torch

    from benchmark.profiling.memory import PeakMemory

    with PeakMemory(bench.device) as peak:
        torch.ones(64 * MIB, dtype=torch.uint8, device=bench.device)
    if peak.bytes is None:
        raise Skipped("this system does not report the memory of a process")
    if peak.bytes < 64 * MIB:
        raise Failed(f"the peak with a tensor of 64 MiB is {peak.bytes / MIB:.0f} MiB")
    return f"peak {peak.bytes / MIB:.0f} MiB"


def resident(bench: Bench) -> str:
    """Compute batches on the device, and compare them with the CPU's."""
    from benchmark.inputs.gpu_batches import ResidentBatches, ResidentWarning

    batches = _session(bench.config, bench.folder, _Notes(), graph=False, compiled=False).runner.train_loop.dataloader
    batches = batches.dataset
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResidentWarning)
        made = ResidentBatches(batches, bench.device)
    for i in range(0, ITERATIONS, 3):
        found, expected = made[i], batches[i]
        wrong = (found["labels"].cpu() != expected["labels"]).float().mean().item()
        off = (found["inputs"].cpu().float() - expected["inputs"].float()).abs().mean().item()
        if wrong or off > PIXELS:
            raise Failed(f"batch {i}: {wrong:.2%} of the labels differ from the CPU's, pixels by {off:.1f} of 255")
    return "labels equal the CPU's, pixels nearly"


def eager(bench: Bench) -> str:
    """Train eagerly; a repetition measures the noise."""
    losses = bench.eager.losses
    if not all(map(math.isfinite, losses)):
        raise Failed(f"losses {losses[0]:.3g} to {losses[-1]:.3g}")
    return f"{bench.eager.seconds * 1e3:.1f} ms per iteration, {bench.noise:.1g} from another of the same seed"


def graphed(bench: Bench) -> str:
    """Train by replays of a CUDA graph, and compare the losses."""
    if bench.device == "cpu":
        raise Skipped("CUDA graphs need a GPU")
    training = bench.train(graph=True)
    if not (training.session.execution and training.session.execution.graph):
        raise Failed(next((line for line in training.notes if "graph" in line), "no graph was captured"))
    return _compared(bench, training)


def compiled(bench: Bench) -> str:
    """Train the compiled network, and compare the losses."""
    if not (compiler := _compilers(bench.device)):
        raise Skipped("torch.compile needs a compiler: gcc and g++, or the compilers in CC and CXX")
    training = bench.train(compiled=True)
    execution = training.session.execution
    seconds = execution and execution.compile_seconds
    if seconds is None:
        raise Failed("the network was not compiled")
    return f"{_compared(bench, training)}, compiled in {seconds:.0f} s with {compiler}"


def _compilers(device: str) -> str | None:
    """Return the compilers used by Inductor, or Triton on a GPU; None if they are missing."""
    if device == "cpu":
        names = [os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")]
    else:
        names = [os.environ["CC"]] if "CC" in os.environ else ["clang", "gcc"]
    return next((name for name in names if shutil.which(name)), None)


def _compared(bench: Bench, training: TrainingResult) -> str:
    """Compare losses with the eager ones, within the tolerance of a replayed step."""
    from benchmark.engine.agreement import distance
    from benchmark.engine.graph import NOISE, TOLERANCE

    off, bound = distance(bench.eager.losses, training.losses), max(TOLERANCE, NOISE * bench.noise)
    if not off <= bound:  # also raised for NaN
        raise Failed(f"losses differ by {off:.2g} from the eager ones, relative to their size; {bound:.2g} is allowed")
    return f"{training.seconds * 1e3:.1f} ms per iteration, losses {off:.1g} from the eager ones"


def evaluation(bench: Bench) -> str:
    """Label the test images, and compare the confusion matrices with those of the CPU."""
    import numpy as np

    from benchmark.confusion import scores
    from benchmark.engine import device

    counts = bench.eager.session.evaluate("test").counts
    device.use("cpu")
    try:
        on_cpu = _session(bench.config, bench.folder, _Notes(), graph=False, compiled=False)
        on_cpu.load(bench.eager.weights)
        expected = on_cpu.evaluate("test").counts
    finally:
        device.use(bench.device)
    off = float(np.abs(counts - expected).sum() / 2 / expected.sum())
    if off > LABELS:
        raise Failed(f"{off:.2%} of the pixels are labelled differently from the CPU; {LABELS:.0%} is allowed")
    return f"mIoU {scores(counts).miou:.2f} %, {off:.2%} of the pixels labelled differently from the CPU"


def latency(bench: Bench, regime: Literal["end_to_end", "device"]) -> str:
    """Time one image."""
    from benchmark.profiling.latency import measure

    if regime == "device" and bench.device == "cpu":
        raise Skipped("a CPU has only one regime")
    config = bench.config
    found = measure(config.model, tuple(config.protocol.size), device=bench.device, regime=regime)
    if found.unsteady and "without a CUDA graph" in found.unsteady:
        raise Failed(found.unsteady)
    text = f"{found.median_ms:.3f} ms, {found.anchor_ratio:.2f} of {found.anchor}"
    return f"{text}; {found.unsteady}" if found.unsteady else text


CHECKS = (
    DeviceCheck("device", look, 30),
    DeviceCheck("memory", memory, 15),
    DeviceCheck("resident batches", resident, 30),
    DeviceCheck("eager training", eager, 60),
    DeviceCheck("graphed training", graphed, 60),
    DeviceCheck("compiled training", compiled, 180),
    DeviceCheck("evaluation", evaluation, 60),
    DeviceCheck("latency end to end", partial(latency, regime="end_to_end"), 60),
    DeviceCheck("latency on the device", partial(latency, regime="device"), 60),
)
"""All checks in order, starting with the fewest requirements."""
