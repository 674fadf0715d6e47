"""Commands as users call them, on networks of mmsegmentation."""

import pytest
from mmengine.registry import DefaultScope

from benchmark.cli import main


@pytest.fixture(scope="module")
def mmseg_scope():
    """Names in a config are mmsegmentation's, as under its Runner."""
    with DefaultScope.overwrite_default_scope("mmseg"):
        yield


@pytest.fixture
def segbench(capsys):
    """Run a command, and return its exit code and what it printed to stdout and stderr."""

    def call(*words):
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return call
