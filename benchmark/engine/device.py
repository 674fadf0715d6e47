"""The device a process computes on.

A process whose CUDA driver is up cannot be forked into one that uses CUDA, and no longer looks at
CUDA_VISIBLE_DEVICES. So nothing here starts the driver, and neither does what mmengine and mmcv ask at their import:
PYTORCH_NVML_BASED_CUDA_CHECK lets torch answer from NVML, which needs no driver context.
"""

from __future__ import annotations

import os

from benchmark.errors import UserError


def select(device: str) -> str:
    """Make this process and its children compute on `device`; to be called before mmengine is imported.

    mmengine takes the first GPU that it sees and has no setting for it, so the others are hidden.

    Args:
        device: "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:N".

    Returns:
        "cpu" or "cuda".

    Raises:
        UserError: an unknown name, or a device that this machine does not have.
    """
    kind, _, index = device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (index and (kind != "cuda" or not index.isdigit())):
        raise UserError(f"unknown device {device!r}: cpu, cuda, cuda:N or auto")
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    if kind == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return use("cpu")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if index:  # before anybody counts: where NVML is missing, the driver does, which reads the variable once
        names = visible.split(",") if visible else []
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(names[int(index) :][:1]) if visible else index
    import torch

    there = torch.cuda.device_count() > 0
    if kind == "auto":
        return use("cuda" if there else "cpu")
    if not there:
        at = ""
        if visible is None:
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        else:
            os.environ["CUDA_VISIBLE_DEVICES"] = visible
            at = f" under CUDA_VISIBLE_DEVICES={visible}"
        raise UserError(f"device {device} is not there: torch {torch.__version__} sees no such GPU on this machine{at}")
    return use("cuda")


def use(device: str) -> str:
    """Let mmengine compute on "cpu" or "cuda", where it would take whatever it found at its import (MPS, for one)."""
    from mmengine.device import utils

    utils.DEVICE = device
    return device


def limit_threads(threads: int | None) -> None:
    """Compute with that many threads on the CPU; None leaves it at all cores.

    The last bits of a sum depend on how it was shared, so this is part of what makes a CPU run reproducible.
    """
    if threads is not None:
        import cv2
        import torch

        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
