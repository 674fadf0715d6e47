"""Check whether this machine has a GPU to test."""

from __future__ import annotations

import ctypes
import os

from benchmark.errors import UserError
from benchmark.results.environment import DRIVER


def absent() -> str | None:
    """Return why this machine has no usable GPU, with the remedy; None if it has one."""
    import torch

    from benchmark.engine import device

    try:
        device.select("cuda")
    except UserError as error:
        driver = _driver()
        if not torch.backends.cuda.is_built():
            install = "install a CUDA build of it: python -m pip install --force-reinstall torch torchvision"
            has = "a GPU is present, but" if driver else "no NVIDIA driver is loaded, and"
            return f"{has} torch {torch.__version__} is built without CUDA; {install}"
        if not driver:
            return f"no NVIDIA driver is loaded (torch {torch.__version__} is built for CUDA {torch.version.cuda})"
        if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
            return f"CUDA_VISIBLE_DEVICES={visible!r} hides the GPUs of this machine: unset it"
        return str(error)
    return None


def _driver() -> bool:
    """Return whether NVIDIA's driver is loaded; WSL has only its library."""
    if DRIVER.exists():
        return True
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True
