"""The device a process computes on."""

from __future__ import annotations

import os

from benchmark.errors import UserError


def select(device: str) -> str:
    """Make this process compute on `device`, before it has touched any other.

    mmengine takes the first GPU it sees and has no setting for it, so the others are hidden.

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
    if kind == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return "cpu"
    import torch

    there = torch.cuda.device_count()
    if kind == "auto":
        return "cuda" if there else "cpu"
    if there <= int(index or 0):
        seen = f"{there} GPU{'s' if there != 1 else ''}" if there else "no GPU"
        raise UserError(f"device {device} is not there: torch {torch.__version__} sees {seen} on this machine")
    if index:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[int(index)] if visible else index
    return "cuda"


def use(device: str) -> None:
    """Make mmengine compute on `device`, which it takes for a fact of the machine that it finds when it is imported.

    Args:
        device: "cpu" or "cuda".
    """
    from mmengine.device import utils

    utils.DEVICE = device


def hold_to(threads: int | None) -> None:
    """Compute with that many threads on the CPU; None leaves it at all cores.

    The last bits of a sum depend on how it was shared, so this is part of what makes a CPU run reproducible.
    """
    if threads is not None:
        import cv2
        import torch

        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
