"""Select the device of this process.

A process that has initialized CUDA cannot be forked into one that uses CUDA, and no longer reads CUDA_VISIBLE_DEVICES.
So this module does not initialize CUDA, and PYTORCH_NVML_BASED_CUDA_CHECK makes torch answer the queries of mmengine
and mmcv at their import from NVML, which needs no driver context.
"""

from __future__ import annotations

import os

from benchmark.errors import UserError


def select(device: str, count: int = 1) -> str:
    """Make this process and its children use `device`; call it before mmengine is imported.

    mmengine uses the first visible GPU and has no setting for it, so the others are hidden. Of several GPUs the first
    is that of this process; each of the others is shown to a child of its own.

    Args:
        device: "auto" (a GPU if available), "cpu", "cuda", "cuda:N", or "cuda:N,M" for several GPUs.
        count: number of GPUs of a run.

    Returns:
        "cpu" or "cuda".

    Raises:
        UserError: the name is unknown, or the device is not available.
    """
    kind, _, index = device.partition(":")
    indices = index.split(",") if index else []
    if kind not in ("auto", "cpu", "cuda") or (index and (kind != "cuda" or not all(map(str.isdigit, indices)))):
        raise UserError(f"unknown device {device!r}: cpu, cuda, cuda:N, cuda:N,M or auto")
    if indices and len(set(indices)) != count:
        raise UserError(f"--device {device} names {len(set(indices))} GPUs, and --gpus says {count}")
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    if kind == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return use("cpu")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if index or count > 1:  # before counting GPUs: without NVML the driver counts them and reads the variable only once
        wanted = list(map(int, indices)) or range(count)
        names = visible.split(",") if visible else [str(each) for each in range(max(wanted) + 1)]
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(names[each] for each in wanted if each < len(names))
    import torch

    there = torch.cuda.device_count()
    if kind == "auto" and count == 1:
        return use("cuda" if there else "cpu")
    if there < count:
        at = ""
        if visible is None:
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        else:
            os.environ["CUDA_VISIBLE_DEVICES"] = visible
            at = f" under CUDA_VISIBLE_DEVICES={visible}"
        if count > 1:
            raise UserError(
                f"--gpus {count} needs {count} GPUs: torch {torch.__version__} finds {there}{at}; "
                "with --device cpu the processes of a run need none"
            )
        raise UserError(f"device {device} is not available: torch {torch.__version__} finds no such GPU{at}")
    return use("cuda")


def use(device: str) -> str:
    """Make mmengine use "cpu" or "cuda", instead of the device that it found at its import (such as MPS)."""
    from mmengine.device import utils

    utils.DEVICE = device
    return device


def limit_threads(threads: int | None) -> None:
    """Limit the number of CPU threads for computation; None uses all cores.

    The last bits of a sum depend on its split into threads, so a reproducible CPU run needs a fixed number.
    """
    if threads is not None:
        import cv2
        import torch

        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
