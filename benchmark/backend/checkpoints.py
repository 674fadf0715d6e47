"""Lets `torch.load` read mmengine's checkpoints without letting a checkpoint run code.

Since version 2.6 torch.load unpickles nothing but tensors and plain containers, and refuses mmengine's own checkpoints:
their log history is `HistoryBuffer` objects, which hold numpy arrays and references to their own methods. Allowing what
they name as it is would open the door again: ``getattr`` reaches everything, ``ndarray((1,), "O", b"...")`` makes
Python objects out of any bytes, and an array that is given its state twice frees memory that a tensor may hold. So each
name in such a pickle stands for something here that makes what mmengine writes, numbers, and nothing else.
"""

from __future__ import annotations

import pickle
from typing import Any, NoReturn

import numpy as np

from benchmark.backend import Adaptation

NAME = "checkpoints"

DTYPES = {
    np.dtype(scalar).str[1:]: np.dtype(scalar)
    for scalar in (
        *(np.bool_, np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64),
        *(np.float16, np.float32, np.float64),
    )
}


def adapt() -> Adaptation:
    """Add what they name to what torch.load takes."""
    import torch
    from mmengine.logging import HistoryBuffer

    HistoryBuffer.__setstate__ = _restore_history
    multiarray = ("numpy.core.multiarray", "numpy._core.multiarray")  # before and since numpy 2
    torch.serialization.add_safe_globals(
        [
            (_Array, "numpy.ndarray"),
            (_Dtype, "numpy.dtype"),
            *((_reconstruct, f"{module}._reconstruct") for module in multiarray),
            *((_scalar, f"{module}.scalar") for module in multiarray),
            (_History, "mmengine.logging.history_buffer.HistoryBuffer"),
            (_getattr, "builtins.getattr"),
            # It must be listed to be given its state. A pickle asks for "module.name", so it cannot call this by a
            # name without a dot.
            (HistoryBuffer, "HistoryBuffer"),
        ]
    )
    return Adaptation(NAME, True, "torch.load refuses mmengine's log history: its buffers of numbers are let through")


class _Dtype:
    """Stands for numpy.dtype: a type of numbers, and as its state a byte order."""

    def __init__(self, code: str, align: bool = False, copy: bool = False) -> None:
        if not (isinstance(code, str) and code in DTYPES):
            _refuse(f"numpy dtype {code!r}")
        self.dtype = DTYPES[code]

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, order, *_ = state  # the rest is of records and of flags, which make numpy take numbers for objects
        self.dtype = self.dtype.newbyteorder(order)


class _Array(np.ndarray):
    """Stands for numpy.ndarray: comes from `_reconstruct` empty and is given its numbers once."""

    def __new__(cls, *args: Any, **kwargs: Any) -> _Array:
        _refuse("an array by its constructor")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        version, shape, dtype, fortran, data = state
        if self.size or type(dtype) is not _Dtype or type(data) is not bytes:
            _refuse("the state of an array")
        super().__setstate__((version, shape, dtype.dtype, fortran, data))

    def __reduce__(self) -> Any:
        return np.array(self).__reduce__()


def _reconstruct(subtype: object, shape: tuple[int, ...], typecode: bytes) -> _Array:
    """numpy's own, of an array that is filled by its state afterwards."""
    return np.ndarray.__new__(_Array, (0,), np.int8) if subtype is _Array else _refuse(f"an array of {subtype!r}")


def _scalar(dtype: _Dtype, data: bytes) -> Any:
    """numpy's own, for numbers."""
    if type(dtype) is not _Dtype or type(data) is not bytes or len(data) != dtype.dtype.itemsize:
        _refuse("a numpy scalar")
    return np.frombuffer(data, dtype.dtype)[0]


class _History:
    """Stands for HistoryBuffer: makes an empty one, which is given its state afterwards."""

    def __new__(cls, *args: Any) -> Any:
        from mmengine.logging import HistoryBuffer

        return _refuse("a HistoryBuffer with arguments") if args else HistoryBuffer()


def _restore_history(self: Any, state: dict[str, Any]) -> None:
    """HistoryBuffer.__setstate__: two arrays and a length; the methods that are stored beside them are those it has."""
    length, values, counts = (state.get(name) for name in ("max_length", "_log_history", "_count_history"))
    if type(length) is not int or not isinstance(values, np.ndarray) or not isinstance(counts, np.ndarray):
        _refuse("the state of a HistoryBuffer")
    vars(self).update(max_length=length, _log_history=np.array(values), _count_history=np.array(counts))


def _getattr(owner: object, name: str) -> str:
    """Stands for getattr on a HistoryBuffer's methods; the name will do, since they are dropped."""
    return name if owner is _History else _refuse("getattr")


def _refuse(what: str) -> NoReturn:
    raise pickle.UnpicklingError(f"{what} is not something that mmengine writes into a checkpoint")
