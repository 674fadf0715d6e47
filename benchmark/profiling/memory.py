"""Measure peak memory: on a GPU of the device, on a CPU the resident set of the process."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from benchmark.engine.arithmetic import float32_arithmetic, without_search
from benchmark.profiling.inference import Inference

PROCESS = Path("/proc/self")
"""Folder of Linux with information on this process."""


class PeakMemory:
    """Peak memory inside a `with` block: `with PeakMemory(device) as peak: ...`, then `peak.bytes`.

    Call `read` before and `reset` after a part to exclude it, with a block or without. Blocks must not be nested,
    because the inner one resets the peak of the outer one. On a GPU the peak is that of PyTorch's allocator; reading it
    neither synchronizes with the GPU nor creates a context there.

    Args:
        device: "cpu" or "cuda".

    Attributes:
        bytes: the largest peak read, or None if the system does not report it (a CPU without Linux).
    """

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self.bytes: int | None = None
        self._told = False

    def __enter__(self) -> PeakMemory:
        self.reset()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.read()

    def reset(self) -> None:
        """Start a new measurement; `bytes` keeps earlier ones."""
        if self.device.type != "cuda":
            self._told = _reset_resident_peak()
        elif torch.cuda.is_initialized():
            torch.cuda.reset_peak_memory_stats(self.device)

    def read(self) -> int | None:
        """Read the peak since `reset`; `bytes` is the maximum of all."""
        peak: int | None
        if self.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self.device) if torch.cuda.is_initialized() else 0
        else:
            peak = _resident_peak() if self._told else None
        if peak is not None:
            self.bytes = max(peak, self.bytes or 0)
        return peak


def inference_peak(model_cfg: Mapping[str, Any], size: tuple[int, int], device: str = "cpu") -> int | None:
    """Measure the peak memory of labelling one image in bytes, including weights.

    On a GPU cuDNN's heuristics select the algorithms, regardless of earlier benchmarks, to exclude the workspaces of a
    benchmark.

    Args:
        model_cfg: config of the segmentor, as returned by `compose.model_config`.
        size: height and width of the input in pixels.
        device: "cpu" or "cuda".
    """

    def peak_bytes() -> int | None:
        with torch.random.fork_rng(devices=[]), torch.inference_mode(), float32_arithmetic(False):
            network = Inference(model_cfg, size).to(device)
            image = torch.zeros(1, 3, *size, device=device)
            with PeakMemory(device) as peak:
                network(image).argmax(1)
        return peak.bytes

    return without_search(peak_bytes)


def _reset_resident_peak() -> bool:
    """Reset the kernel's peak (Linux, proc_pid_clear_refs(5)); return whether that succeeded."""
    try:
        (PROCESS / "clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _resident_peak() -> int | None:
    try:
        status = (PROCESS / "status").read_text()
    except OSError:  # the process has used up its file descriptors: that is to be its error
        return None
    found = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else None
