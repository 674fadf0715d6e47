"""Operators of `mmcv._ext` in PyTorch, with the same names and arguments: most write to output arguments.

Operators that are not implemented exist, because mmcv loads all of them on import, and raise an error when called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from benchmark.backend.ops.deformable_attention import ms_deform_attn_backward, ms_deform_attn_forward
from benchmark.backend.ops.focal_loss import sigmoid_focal_loss_backward, sigmoid_focal_loss_forward
from benchmark.backend.ops.psa_mask import psamask_backward, psamask_forward
from benchmark.errors import UserError

__all__ = [
    "get_compiler_version",
    "get_compiling_cuda_version",
    "ms_deform_attn_backward",
    "ms_deform_attn_forward",
    "psamask_backward",
    "psamask_forward",
    "sigmoid_focal_loss_backward",
    "sigmoid_focal_loss_forward",
]


def get_compiler_version() -> str:
    """Return the compiler in mmcv's environment report."""
    return "none: operators of segbench in PyTorch"


def get_compiling_cuda_version() -> str:
    """Return the CUDA compiler in mmcv's environment report."""
    return "not available"


def __getattr__(name: str) -> Callable[..., NoReturn]:
    if name.startswith("_"):
        raise AttributeError(name)

    def missing(*args: Any, **kwargs: Any) -> NoReturn:
        raise UserError(
            f"mmcv's operator {name!r} is only in compiled mmcv: run `python -m pip uninstall -y mmcv-lite; "
            "python -m pip install 'setuptools<82' wheel; "
            "MMCV_WITH_OPS=1 python -m pip install --no-build-isolation 'mmcv>=2.1,<2.2'` (needs a C++ compiler)"
        )

    missing.__name__ = name
    return missing
