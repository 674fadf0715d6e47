"""Peak memory: of the device on a GPU, resident set of the whole process on a CPU."""

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
"""Where Linux tells of this process."""


class PeakMemory:
    """The peak inside a `with` block: `with PeakMemory(device) as peak: ...`, then `peak.bytes`.

    What is not to count is left out by `read` before it and `reset` after it, with a block or without. Blocks must
    not be nested: the inner one forgets the peak of the outer one. On a GPU the peak is that of PyTorch's allocator;
    asking it neither waits for the GPU nor opens a context there.

    Args:
        device: "cpu" or "cuda".

    Attributes:
        bytes: the largest peak read, or None where the system does not tell (a CPU elsewhere than on Linux).
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
        """Measure from here on; what was read before stays."""
        if self.device.type != "cuda":
            self._told = _reset_resident_peak()
        elif torch.cuda.is_initialized():
            torch.cuda.reset_peak_memory_stats(self.device)

    def read(self) -> int | None:
        """Read the peak since `reset`; `bytes` is the largest that was read."""
        peak: int | None
        if self.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self.device) if torch.cuda.is_initialized() else 0
        else:
            peak = _resident_peak() if self._told else None
        if peak is not None:
            self.bytes = max(peak, self.bytes or 0)
        return peak


def inference_peak(model_cfg: Mapping[str, Any], size: tuple[int, int], device: str = "cpu") -> int | None:
    """Peak memory in bytes of labelling one image, weights included.

    On a GPU algorithms are cuDNN's first choice, whatever it has searched for before, and its workspaces for a search
    are left out.

    Args:
        model_cfg: config of the segmentor, as `compose.model_config` returns it.
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
    """Let the kernel forget the peak so far (Linux, proc_pid_clear_refs(5)); whether it did."""
    try:
        (PROCESS / "clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _resident_peak() -> int | None:
    found = re.search(r"^VmHWM:\s*(\d+) kB$", (PROCESS / "status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else None
