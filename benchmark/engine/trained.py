"""Results of a training, as plain data for a file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from benchmark.files.atomic import replacing
from benchmark.results.arrays import file_sha256
from benchmark.warning import warn


@dataclass(frozen=True)
class ExecutionMode:
    """Options of the computation of training steps.

    Attributes:
        batches: device on which batches were augmented.
        layout: memory format of weights and feature maps.
        graph: whether steps were replayed from a CUDA graph.
        compile_seconds: seconds of compiling the network; None if it was not compiled.
    """

    batches: Literal["host", "device"]
    layout: str
    graph: bool
    compile_seconds: float | None


@dataclass(frozen=True)
class Trained:
    """Results of a training.

    Attributes:
        iterations: number of iterations, including those before a resume.
        seconds: wall time of the training steps of this session.
        loss: (iteration, mean loss since the previous entry).
        val_miou: (iteration, mIoU on val in percent).
        best_iteration: iteration of the best mIoU on val, the earliest for ties.
        execution: execution mode of the steps; None without steps.
        folder: folder of the weights.
        setup_seconds: wall time before the first step of this session: autotuning, compilation and capture.
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
    """Write the result of a training next to its weights."""
    content = {**asdict(trained), "folder": None, "last_sha256": file_sha256(trained.last)}
    with replacing(_file(trained.folder)) as temporary:
        temporary.write_text(json.dumps(content))


def read(folder: Path) -> Trained | None:
    """Read the result of the training in a folder; None if it did not finish, or its files are damaged."""
    try:
        kept = json.loads(_file(folder).read_text())
        whole = kept.pop("last_sha256") == file_sha256(folder / "last.pth")
        curves = {name: [(iteration, value) for iteration, value in kept[name]] for name in ("loss", "val_miou")}
        execution = kept["execution"] and ExecutionMode(**kept["execution"])
        found = Trained(**kept | curves | {"execution": execution, "folder": folder})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        whole = False
    if whole:
        return found
    warn(f"segbench: warning: {_file(folder)} is damaged and ignored; the stage restarts")
    return None


def forget(folder: Path) -> None:
    """Delete the result, so that the next training in the folder restarts."""
    _file(folder).unlink(missing_ok=True)


def _file(folder: Path) -> Path:
    return folder / "trained.json"
