import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

WAITS = {
    "aten::_local_scalar_dense",
    "aten::bincount",
    "aten::equal",
    "aten::is_nonzero",
    "aten::masked_select",
    "aten::nonzero",
}


class Waits(TorchDispatchMode):
    """Notes the operations for whose result a program waits on a GPU: numbers that are read, and picks by a mask."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        indices = args[1] if function.name().startswith("aten::index") and isinstance(args[1], list | tuple) else ()
        if function.name() in WAITS or any(torch.is_tensor(i) and i.dtype == torch.bool for i in indices):
            self.names.append(function.name())
        return function(*args, **(kwargs or {}))


@pytest.fixture
def waits():
    """The class of a context that notes what waits for a GPU."""
    return Waits
