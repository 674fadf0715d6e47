import json
import subprocess
import sys

import pytest

from benchmark.profiling import memory
from benchmark.profiling.memory import PeakMemory

MIB = 2**20


@pytest.fixture
def linux():
    if not memory._reset_resident_peak():
        pytest.skip("this system does not let a process reset its peak of resident memory")


def _fresh(code):
    """What the code prints, in a process of its own: here, memory that other tests have freed would be used again."""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def test_the_peak_is_that_of_the_block_alone(linux):
    before, peak, after = _fresh("""
import numpy as np
from benchmark.profiling.memory import PeakMemory
with PeakMemory("cpu") as before: pass
with PeakMemory("cpu") as peak: np.ones(2**27, np.uint8)
with PeakMemory("cpu") as after: pass
print([before.bytes, peak.bytes, after.bytes])
""")
    assert 120 * MIB < peak - before < 160 * MIB
    assert after < peak - 100 * MIB


def test_inference_peak_holds_the_activations(linux):
    small, large = _fresh("""
from benchmark.compose import model_config
from benchmark.profiling.memory import inference_peak
print([inference_peak(model_config("enet", classes=32), size) for size in ((64, 64), (1024, 1024))])
""")
    scores = 32 * 1024 * 1024 * 4
    assert large - small > 0.75 * scores  # not all of it: what was freed before is used again


def test_none_where_the_system_does_not_tell(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "PROCESS", tmp_path / "absent")
    with PeakMemory("cpu") as peak:
        pass
    assert peak.bytes is None
