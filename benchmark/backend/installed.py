"""Check the packages that OpenMMLab needs before it is imported, for a one-line error message."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from benchmark.errors import UserError

# module: the requirement that pip installs it from. mmseg imports ftfy and regex but does not declare them; mmengine
# imports distutils, which Python 3.12 removed and setuptools provides since.
NEEDED = {
    "torch": "torch",
    "torchvision": "torchvision",
    "distutils": "setuptools",
    "mmengine": "'mmengine>=0.10.7,<0.11'",
    "mmcv": "'mmcv-lite>=2.1,<2.2'",
    "mmseg": "mmsegmentation==1.2.2",
    "ftfy": "ftfy",
    "regex": "regex",
    "cv2": "opencv-python",
}


@dataclass
class Extra:
    """An optional package, its purpose, and the command that installs it."""

    name: str
    purpose: str
    command: str


OPTIONAL = (
    Extra("pydensecrf", "the dense CRF of `--crf`", "python -m pip install 'segbench[crf]'"),
    Extra("safetensors", "weights in safetensors files", "python -m pip install 'segbench[safetensors]'"),
    Extra("mmdet", "Mask2Former and MaskFormer of the mmsegmentation zoo", "python -m pip install 'mmdet>=3.3,<3.4'"),
    Extra("mmpretrain", "ConvNeXt and PoolFormer of the mmsegmentation zoo", "python -m pip install mmpretrain"),
)


def missing_extras() -> list[Extra]:
    """Return the optional packages that are not installed."""
    return [extra for extra in OPTIONAL if find_spec(extra.name) is None]


def check() -> None:
    """Check that all required packages are installed.

    Raises:
        UserError: a package is missing, or OpenCV does not load; the message contains the command that fixes it.
    """
    missing = [module for module in NEEDED if sys.modules.get(module) is None and find_spec(module) is None]
    if missing:
        packages = " ".join(NEEDED[module] for module in missing)
        raise UserError(f"not installed: {', '.join(missing)}; run `python -m pip install {packages}`")
    load_opencv()


def load_opencv() -> None:
    """Import cv2, which may need a desktop's libGL.so.1 that servers and containers lack.

    Raises:
        UserError: it does not load; the message contains the command that fixes it.
    """
    try:
        import_module("cv2")
    except ImportError as error:
        raise UserError(
            f"OpenCV does not load ({str(error).splitlines()[0]}); "
            "run `python -m pip install --force-reinstall --no-deps opencv-python-headless`"
        ) from error
