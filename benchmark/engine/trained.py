"""How a training went, as plain data that a file can keep."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from benchmark.atomic import replacing


@dataclass(frozen=True)
class ExecutionMode:
    """How the steps of a training were computed.

    Attributes:
        batches: where they were augmented.
        layout: of the weights, and of the maps that follow from them.
        graph: whether a step was one CUDA graph.
        compile_seconds: what compiling the network took; None if it was not compiled.
    """

    batches: Literal["host", "device"]
    layout: str
    graph: bool
    compile_seconds: float | None


@dataclass(frozen=True)
class Trained:
    """How a training went.

    Attributes:
        iterations: iterations done, those before a resume included.
        seconds: wall time of the training steps of this session.
        loss: (iteration, mean loss since the entry before).
        val_miou: (iteration, mIoU on val in percent).
        best_iteration: iteration of the best mIoU on val, the earliest among equals.
        execution: how the steps were computed; None where there were none.
        folder: where the weights are.
        setup_seconds: wall time before the first step of this session: trial, compilation and capture.
    """

    iterations: int
    seconds: float
    loss: list[tuple[int, float]]
    val_miou: list[tuple[int, float]]
    best_iteration: int
    execution: ExecutionMode | None
    folder: Path
    setup_seconds: float | None = None

    @property
    def last(self) -> Path:
        """File with the weights of the last iteration."""
        return self.folder / "last.pth"

    @property
    def best(self) -> Path:
        """File with the weights of `best_iteration`."""
        return self.folder / "best.pth"


def write(trained: Trained) -> None:
    """Keep how a training went beside its weights."""
    with replacing(_file(trained.folder)) as temporary:
        temporary.write_text(json.dumps({**asdict(trained), "folder": None}))


def read(folder: Path) -> Trained | None:
    """How the training in a folder went; None where nothing is kept of it."""
    try:
        kept = json.loads(_file(folder).read_text())
    except FileNotFoundError:
        return None
    curves = {name: [(iteration, value) for iteration, value in kept[name]] for name in ("loss", "val_miou")}
    execution = kept["execution"] and ExecutionMode(**kept["execution"])
    return Trained(**kept | curves | {"execution": execution, "folder": folder})


def forget(folder: Path) -> None:
    """Drop what is kept: whoever trains there next begins anew."""
    _file(folder).unlink(missing_ok=True)


def _file(folder: Path) -> Path:
    return folder / "trained.json"
