"""The environment of a run: code, packages, processor, driver."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

from benchmark import __version__
from benchmark.results import code
from benchmark.results.record import Code, Environment

PACKAGES = (
    "torch",
    "torchvision",
    "mmengine",
    "mmcv",
    "mmcv-lite",
    "mmsegmentation",
    "numpy",
    "opencv-python",
    "opencv-python-headless",
    "pillow",
    "fvcore",
)
"""Distributions whose version can change results."""

CHECKOUT = Path(__file__).parents[2]
"""The folder of the package: the root of the repository when it runs from a checkout."""

CODE = ("benchmark", "model_configs", "pyproject.toml")
"""Pathspecs of the files that make a checkout dirty: all but results, which runs write themselves."""

DRIVER = Path("/proc/driver/nvidia/version")
"""The file with the version of NVIDIA's kernel module, which torch does not provide."""


GPU_SECONDS = 60.0
"""Timeout of the process that queries the name of a GPU, in seconds; starting an idle driver takes a few."""

_GPU_NAME = """
import ctypes, sys
index = int(sys.argv[1])
try:
    driver = ctypes.CDLL("nvcuda" if sys.platform == "win32" else "libcuda.so.1")
except OSError:  # a GPU of another vendor
    import torch
    print(torch.cuda.get_device_name(index))
else:
    device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
    failed = driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), index)
    if failed or driver.cuDeviceGetName(name, len(name), device):
        sys.exit("the driver failed")
    print(name.value.decode())
"""
"""Prints the name of a GPU without creating a CUDA context; a GPU in exclusive mode allows only one."""


def capture(device: str, deterministic: bool, *, in_child: bool = False, world_size: int = 1) -> Environment:
    """Return the environment of this process.

    Args:
        device: the device of torch: "cpu", "cuda", "cuda:1".
        deterministic: whether deterministic algorithms are enabled in torch.
        in_child: query the name of the GPU in a child process, for a process that must not create a CUDA context.
        world_size: number of processes that share the training.
    """
    import torch

    from benchmark import backend

    gpu = torch.device(device).type == "cuda"
    installed = _distributions()
    listing = "\n".join(f"{name}=={version}" for name, version in sorted(installed.items()))
    return Environment(
        code=_code(),
        python=platform.python_version(),
        platform=platform.platform(),
        packages={name: installed[name] for name in PACKAGES if name in installed},
        packages_sha256=hashlib.sha256(listing.encode()).hexdigest(),
        cpu=cpu(),
        cores=cores(),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        device=device,
        gpu=(gpu_name(device) if in_child else _own_gpu(device)) if gpu else None,
        cuda=_toolkit() if gpu else None,
        cudnn=_cudnn() if gpu else None,
        driver=_driver() if gpu else None,
        threads=torch.get_num_threads(),
        deterministic=deterministic,
        adaptations=[adaptation.name for adaptation in backend.adaptations() if adaptation.done],
        world_size=world_size if world_size > 1 else None,
    )


@cache
def gpu_name(device: str) -> str | None:
    """Return the name of a GPU as `torch.cuda.get_device_name` does, without initializing CUDA in this process.

    A child process queries it; it sees the same GPUs (CUDA_VISIBLE_DEVICES) and parts of GPUs (MIG).

    Args:
        device: "cuda" or "cuda:1".

    Returns:
        The name, or None if the GPU is missing or its driver does not answer within a minute.
    """
    index = device.partition(":")[2] or "0"
    command = [sys.executable, "-c", _GPU_NAME, index]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=GPU_SECONDS,
            check=True,
            cwd=sys.prefix,  # the working directory of the user may contain a torch.py, which would be imported
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip() or None


def _own_gpu(device: str) -> str | None:
    """Return the name of a GPU that this process uses, or None if it is not available."""
    import torch

    try:
        return str(torch.cuda.get_device_name(device))
    except (AssertionError, RuntimeError):  # torch without CUDA; no driver
        return None


def _toolkit() -> str | None:
    """Return the version of CUDA, or of ROCm, that torch was built with."""
    import torch

    return torch.version.cuda or (f"ROCm {torch.version.hip}" if torch.version.hip else None)


def _cudnn() -> str | None:
    """Return the version of cuDNN, or of MIOpen; None if it is missing or torch fails to load it."""
    import torch

    try:
        found = torch.backends.cudnn.version()
    except RuntimeError:
        return None
    return None if found is None else str(found)


def _distributions() -> dict[str, str]:
    """Return the version of every installed distribution."""
    # setuptools adds its bundled distributions to sys.path when it is imported; these are not installed.
    path = [folder for folder in sys.path if not folder.endswith("_vendor")]
    found: dict[str, str] = {}
    for distribution in metadata.distributions(path=path):
        found.setdefault(distribution.metadata["Name"].lower().replace("_", "-"), distribution.version)
    return found


def _code() -> Code:
    if not (CHECKOUT / ".git").exists():  # an installed package, possibly inside the repository of another project
        return Code(version=__version__, commit=None, dirty=None, digest=code.digest())
    commit, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--", *CODE)
    dirty = None if changes is None else changes != ""
    return Code(version=__version__, commit=commit, dirty=dirty, digest=code.digest())


def _git(*arguments: str) -> str | None:
    """Return the output of git on the checkout, or None if git is missing or fails."""
    # Inside a git hook, GIT_DIR and related variables point to the repository of the hook.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(CHECKOUT), *arguments]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def cpu() -> str:
    """Return the name of the processor."""
    try:
        model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        model = None
    return model[1].strip() if model else platform.processor() or platform.machine()


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _driver() -> str | None:
    """Return the version of NVIDIA's kernel module."""
    try:
        text = DRIVER.read_text()
    except OSError:
        return None
    found = re.search(r"^NVRM version:.*?\s(\d+\.\d+(?:\.\d+)?)\s", text, re.MULTILINE)
    return found[1] if found else None
