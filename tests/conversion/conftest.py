import pytest
import torch
from mmengine.registry import DefaultScope

import benchmark.registration  # noqa: F401  before any test module imports mmsegmentation's models


@pytest.fixture(scope="module", autouse=True)
def mmseg_scope():
    """Names in a config are mmsegmentation's, as under its Runner."""
    with DefaultScope.overwrite_default_scope("mmseg"):
        yield


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Maps this small are computed faster by one thread, above all where cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
