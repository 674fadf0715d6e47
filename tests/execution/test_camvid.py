"""Real input: the 367 training images, all 233 test images, twice, bit for bit."""

import subprocess
import sys

import pytest

from benchmark.results.store import Store
from benchmark.results.validate import validate


@pytest.mark.slow
def test_two_runs_on_camvid_are_equal(camvid, tmp_path):
    found = []
    for name in ("one", "two"):
        results = tmp_path / name
        words = ["run", "enet", "-p", "camvid_360x480_scratch", "--max-iters", "3", "--batch-size", "4"]
        places = ["--root", camvid, "--results", results, "--reports", tmp_path, "--work-dir", tmp_path / "w" / name]
        command = [sys.executable, "-m", "benchmark", *words, "--device", "cpu", "--no-latency", *map(str, places)]
        subprocess.run(command, check=True)
        assert validate(results)[1] == []
        (stored,), problems = Store(results).scan()
        assert problems == []
        found.append(stored.record)
    one, two = found
    assert one.status == "ok"
    assert one.dataset.images == {"train": 367, "val": 101, "test": 233}
    assert one.evaluation().images == 233
    assert one.memory.training_peak < 4 * 1024**3
    assert one.evaluations == two.evaluations
    assert one.training.loss == two.training.loss
    assert [a.sha256 for a in one.artifacts] == [a.sha256 for a in two.artifacts]
