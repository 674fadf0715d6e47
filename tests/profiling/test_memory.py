import numpy as np
import pytest

from benchmark.profiling import memory
from benchmark.profiling.memory import PeakMemory, inference_peak

MIB = 2**20


@pytest.fixture
def linux():
    if not memory._reset_resident_peak():
        pytest.skip("this system does not let a process reset its peak of resident memory")


def test_the_peak_is_that_of_the_block_alone(linux):
    with PeakMemory("cpu") as before:
        pass
    with PeakMemory("cpu") as peak:
        np.ones(128 * MIB, np.uint8)
    with PeakMemory("cpu") as after:
        pass
    assert 120 * MIB < peak.bytes - before.bytes < 160 * MIB
    assert after.bytes < peak.bytes - 100 * MIB


def test_inference_peak_holds_the_activations(linux, tiny):
    small, large = (inference_peak(tiny(classes=32), size) for size in ((16, 16), (1024, 1024)))
    scores = 32 * 1024 * 1024 * 4
    assert large - small > 0.75 * scores  # not all of it: what others have freed before is used again


def test_none_where_the_system_does_not_tell(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "PROCESS", tmp_path / "absent")
    with PeakMemory("cpu") as peak:
        pass
    assert peak.bytes is None
