import json
import subprocess
import sys

import pytest
import torch

from benchmark.engine.arithmetic import without_search
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
from benchmark.configs.compose import model_config
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


def test_what_is_between_read_and_reset_is_left_out(linux):
    base, first, second, largest = _fresh("""
import numpy as np
from benchmark.profiling.memory import PeakMemory
peak = PeakMemory("cpu")
peak.reset(); base = peak.read()
peak.reset(); np.ones(2**26, np.uint8); first = peak.read()
np.ones(2**28, np.uint8)
peak.reset(); second = peak.read()
print([base, first, second, peak.bytes])
""")
    assert 56 * MIB < first - base < 90 * MIB
    assert second < first - 40 * MIB
    assert largest == first


class Allocator:
    """What torch.cuda is asked of its allocator; anything else is an error, and so is any of it without a context."""

    def __init__(self, initialized):
        self.initialized, self.peaks, self.resets = initialized, [300, 100], 0

    def is_initialized(self):
        return self.initialized

    def reset_peak_memory_stats(self, device):
        assert self.initialized
        self.resets += 1

    def max_memory_allocated(self, device):
        assert self.initialized
        return self.peaks.pop(0)


def test_the_peak_on_a_gpu_is_that_of_the_allocator_and_waits_for_nothing(monkeypatch):
    allocator = Allocator(initialized=True)
    monkeypatch.setattr(memory.torch, "cuda", allocator)
    with PeakMemory("cuda") as peak:
        assert peak.read() == 300
        peak.reset()
    assert peak.bytes == 300
    assert allocator.resets == 2


def test_measuring_opens_no_context_on_a_gpu(monkeypatch):
    monkeypatch.setattr(memory.torch, "cuda", Allocator(initialized=False))
    with PeakMemory("cuda") as peak:
        pass
    assert peak.bytes == 0


def test_inference_is_measured_without_a_search_of_algorithms(tiny, monkeypatch):
    seen = []

    class Network(memory.Inference):
        def forward(self, images):
            seen.append((torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32))
            return super().forward(images)

    monkeypatch.setattr(memory, "Inference", Network)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    calls = []
    monkeypatch.setattr(memory, "without_search", lambda function: calls.append(True) or without_search(function))
    memory.inference_peak(tiny(), (32, 40))
    assert seen == [(False, False)]
    assert calls == [True]  # which ends with what was searched for before


@pytest.mark.gpu
def test_the_peak_of_a_gpu(tiny):
    small, large = (memory.inference_peak(tiny(classes=32), size, "cuda") for size in ((64, 64), (512, 512)))
    assert large - small >= 32 * (512 * 512 - 64 * 64) * 4  # the scores
