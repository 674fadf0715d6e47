"""The environment that a run is made in: code, packages, processor, driver."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from benchmark import __version__
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
"""Distributions whose version can move a number."""

CHECKOUT = Path(__file__).parents[2]
"""The folder of the package: the root of the repository when it runs from a checkout."""

CODE = ("benchmark", "model_configs", "pyproject.toml")
"""What makes a checkout dirty: code, and not the results that it has just written."""

DRIVER = Path("/proc/driver/nvidia/version")
"""Where NVIDIA's kernel module tells its version; torch does not."""


def capture(device: str, deterministic: bool) -> Environment:
    """The environment of this process.

    Args:
        device: what torch was given: "cpu", "cuda", "cuda:1".
        deterministic: whether torch is held to deterministic algorithms.
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
        gpu=torch.cuda.get_device_name(device) if gpu else None,
        cuda=torch.version.cuda if gpu else None,
        cudnn=str(torch.backends.cudnn.version()) if gpu else None,
        driver=_driver() if gpu else None,
        threads=torch.get_num_threads(),
        deterministic=deterministic,
        adaptations=[adaptation.name for adaptation in backend.adaptations() if adaptation.done],
    )


def _distributions() -> dict[str, str]:
    """Version of every installed distribution."""
    # setuptools, once imported, adds what it bundles to the path, and nothing imports that in earnest.
    path = [folder for folder in sys.path if not folder.endswith("_vendor")]
    found: dict[str, str] = {}
    for distribution in metadata.distributions(path=path):
        found.setdefault(distribution.metadata["Name"].lower().replace("_", "-"), distribution.version)
    return found


def _code() -> Code:
    if not (CHECKOUT / ".git").exists():  # an installed package, perhaps inside another project's repository
        return Code(version=__version__, commit=None, dirty=None)
    commit, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--", *CODE)
    return Code(version=__version__, commit=commit, dirty=None if changes is None else changes != "")


def _git(*arguments: str) -> str | None:
    """What git says about the checkout, or None where it is absent or refuses."""
    # Inside a git hook GIT_DIR and its kin point at the repository of the hook.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(CHECKOUT), *arguments]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def cpu() -> str:
    """Name of the processor."""
    try:
        model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        model = None
    return model[1].strip() if model else platform.processor() or platform.machine()


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _driver() -> str | None:
    """Version of NVIDIA's kernel module."""
    try:
        text = DRIVER.read_text()
    except OSError:
        return None
    found = re.search(r"^NVRM version:.*?\s(\d+\.\d+(?:\.\d+)?)\s", text, re.MULTILINE)
    return found[1] if found else None
