"""Peak memory: of the device on a GPU, resident set of the whole process on a CPU."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from benchmark.profiling.inference import Inference

PROCESS = Path("/proc/self")
"""Where Linux tells of this process."""


class PeakMemory:
    """The peak inside a `with` block: `with PeakMemory(device) as peak: ...`, then `peak.bytes`.

    Blocks must not be nested: the inner one forgets the peak of the outer one.

    Args:
        device: "cpu" or "cuda".

    Attributes:
        bytes: the peak, or None where the system does not tell (a CPU elsewhere than on Linux).
    """

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self.bytes: int | None = None

    def __enter__(self) -> PeakMemory:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            self._told = _reset_resident_peak()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            self.bytes = torch.cuda.max_memory_allocated(self.device)
        elif self._told:
            self.bytes = _resident_peak()


def inference_peak(model_cfg: Mapping[str, Any], size: tuple[int, int], device: str = "cpu") -> int | None:
    """Peak memory of labelling one image, weights included.

    Args:
        model_cfg: config of the segmentor, as `compose.model_config` returns it.
        size: height and width of the input in pixels.
        device: "cpu" or "cuda".
    """
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        network = Inference(model_cfg, size).to(device)
        image = torch.zeros(1, 3, *size, device=device)
        with PeakMemory(device) as peak:
            network(image).argmax(1)
    return peak.bytes


def _reset_resident_peak() -> bool:
    """Let the kernel forget the peak so far (Linux, proc_pid_clear_refs(5)); whether it did."""
    try:
        (PROCESS / "clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _resident_peak() -> int | None:
    found = re.search(r"^VmHWM:\s*(\d+) kB$", (PROCESS / "status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else None
