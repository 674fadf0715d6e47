"""Let `torch.load` read mmengine's checkpoints without letting a checkpoint execute code.

Since version 2.6, torch.load unpickles only tensors and plain containers, and refuses mmengine's own checkpoints: their
log history consists of `HistoryBuffer` objects, which contain numpy arrays and references to their own methods.
Allowing the original names would permit code execution: ``getattr`` reaches everything, ``ndarray((1,), "O", b"...")``
creates Python objects from any bytes, and an array whose state is set twice frees memory that a tensor may use. So each
name in such a pickle is mapped to a replacement here that creates only what mmengine writes: numbers.
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
    """Add mmengine's types to the types that torch.load accepts."""
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
            # It must be listed for its state to be set. A pickle refers to "module.name", so it cannot call a name
            # without a dot.
            (HistoryBuffer, "HistoryBuffer"),
        ]
    )
    return Adaptation(NAME, True, "torch.load refuses mmengine's log history: its buffers of numbers are allowed")


class _Dtype:
    """Replacement of numpy.dtype: a number type, with a byte order as its state."""

    def __init__(self, code: str, align: bool = False, copy: bool = False) -> None:
        if not (isinstance(code, str) and code in DTYPES):
            _refuse(f"numpy dtype {code!r}")
        self.dtype = DTYPES[code]

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, order, *_ = state  # the rest are fields and flags, with which numpy would interpret numbers as objects
        self.dtype = self.dtype.newbyteorder(order)


class _Array(np.ndarray):
    """Replacement of numpy.ndarray: `_reconstruct` creates it empty, and its state is set once."""

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
    """Replace numpy's `_reconstruct`, which creates an empty array whose state is set afterwards."""
    return np.ndarray.__new__(_Array, (0,), np.int8) if subtype is _Array else _refuse(f"an array of {subtype!r}")


def _scalar(dtype: _Dtype, data: bytes) -> Any:
    """Replace numpy's `scalar`, for numbers only."""
    if type(dtype) is not _Dtype or type(data) is not bytes or len(data) != dtype.dtype.itemsize:
        _refuse("a numpy scalar")
    return np.frombuffer(data, dtype.dtype)[0]


class _History:
    """Replacement of HistoryBuffer: creates an empty one, whose state is set afterwards."""

    def __new__(cls, *args: Any) -> Any:
        from mmengine.logging import HistoryBuffer

        return _refuse("a HistoryBuffer with arguments") if args else HistoryBuffer()


def _restore_history(self: Any, state: dict[str, Any]) -> None:
    """Replace HistoryBuffer.__setstate__: accept two arrays and a length, and ignore the stored method names."""
    length, values, counts = (state.get(name) for name in ("max_length", "_log_history", "_count_history"))
    if type(length) is not int or not isinstance(values, np.ndarray) or not isinstance(counts, np.ndarray):
        _refuse("the state of a HistoryBuffer")
    vars(self).update(max_length=length, _log_history=np.array(values), _count_history=np.array(counts))


def _getattr(owner: object, name: str) -> str:
    """Replace getattr on HistoryBuffer's methods: return the name, because methods are dropped."""
    return name if owner is _History else _refuse("getattr")


def _refuse(what: str) -> NoReturn:
    raise pickle.UnpicklingError(f"mmengine does not write {what} into checkpoints")
