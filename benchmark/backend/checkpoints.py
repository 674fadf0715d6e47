"""Lets `torch.load` read mmengine's checkpoints without letting a checkpoint run code.

Since version 2.6 torch.load unpickles nothing but tensors and plain containers, and refuses mmengine's own checkpoints:
their log history is `HistoryBuffer` objects around numpy arrays. Allowing numpy's classes as they are would open the
door again, for ``ndarray((1,), "O", b"...")`` makes Python objects out of any bytes. So each name that such a pickle
holds is given a function here that makes what mmengine writes, numbers, and nothing else.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from benchmark.backend import Adaptation

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "checkpoints"

DTYPES = {
    np.dtype(scalar).str[1:]: np.dtype(scalar)
    for scalar in (
        *(np.bool_, np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64),
        *(np.float16, np.float32, np.float64),
    )
}


def adapt() -> Adaptation:
    """Add them to the types that torch.load takes."""
    import torch
    from mmengine.logging import HistoryBuffer

    multiarray = ("numpy.core.multiarray", "numpy._core.multiarray")  # before and since numpy 2
    HistoryBuffer.__setstate__ = _restore_buffer
    torch.serialization.add_safe_globals(
        [
            (_ndarray, "numpy.ndarray"),
            (_dtype, "numpy.dtype"),
            *((_reconstruct, f"{module}._reconstruct") for module in multiarray),
            *((_scalar, f"{module}.scalar") for module in multiarray),
            (_HistoryBuffer, "mmengine.logging.history_buffer.HistoryBuffer"),
            # Objects of these may be given their state. A pickle asks for "module.name", so it can neither name nor
            # call what is listed without a dot.
            *((cls, cls.__name__) for cls in (HistoryBuffer, np.ndarray, *map(type, DTYPES.values()))),
        ]
    )
    return Adaptation(NAME, True, "torch.load refuses mmengine's log history: its buffers of numbers are let through")


class _HistoryBuffer:
    """Stands for mmengine's HistoryBuffer; calling it gives an empty one, to be filled by `_restore_buffer`."""

    def __new__(cls) -> Any:
        from mmengine.logging import HistoryBuffer

        return HistoryBuffer()


def _restore_buffer(self: Any, state: dict[str, Any]) -> None:
    """HistoryBuffer.__setstate__: a history and a count, both arrays, and a length."""
    kinds = {"max_length": int, "_log_history": np.ndarray, "_count_history": np.ndarray}
    if state.keys() != kinds.keys() or any(type(state[name]) is not kind for name, kind in kinds.items()):
        _refuse("the state of a HistoryBuffer")
    vars(self).update(state)


def _ndarray(*_: Any) -> NoReturn:
    """Stands for numpy.ndarray where a pickle names it; never called by one of mmengine's."""
    _refuse("a bare numpy array")


def _dtype(code: str, align: bool = False, copy: bool = False) -> np.dtype[Any]:
    """numpy.dtype for numbers. Never a copy: only numpy's own instances ignore the flags that a pickle would set."""
    return DTYPES[code] if isinstance(code, str) and code in DTYPES else _refuse(f"numpy dtype {code!r}")


def _reconstruct(subtype: object, shape: tuple[int, ...], typecode: bytes) -> NDArray[Any]:
    """numpy's own, of an array that is filled by its state afterwards."""
    return np.empty(0, np.int8) if subtype is _ndarray else _refuse(f"array type {subtype!r}")


def _scalar(dtype: np.dtype[Any], data: bytes) -> Any:
    """numpy's own, for numbers."""
    if not (isinstance(dtype, np.dtype) and isinstance(data, bytes) and len(data) == dtype.itemsize):
        _refuse("a numpy scalar")
    return np.frombuffer(data, dtype)[0]


def _refuse(what: str) -> NoReturn:
    raise pickle.UnpicklingError(f"{what} is not something that mmengine writes into a checkpoint")
