"""The main job on a GPU, from a bare environment: what no other test sees is how processes find the device."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from benchmark.results.store import Store

pytestmark = pytest.mark.gpu


def _segbench(*words, cwd):
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("PYTORCH_", "CUBLAS_"))}
    return subprocess.run(
        [sys.executable, "-m", "benchmark", *words], cwd=cwd, env=bare, capture_output=True, text=True
    )


def test_runs_end_with_results(tmp_path):
    done = _segbench("run", "enet", "espnet", "--max-iters", "2", "--device", "cuda", "--no-latency", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    stored, problems = Store(tmp_path / "results").scan()
    assert problems == []
    assert {each.record.architecture for each in stored} == {"enet", "espnet"}
    for each in stored:
        assert each.record.status == "ok", each.record.error
        assert each.record.environment.device == "cuda"
        assert each.record.environment.gpu
        assert each.record.training.execution.batches == "device"
        assert each.record.memory.training_peak > 0


def test_the_self_test_passes(tmp_path):
    done = _segbench("doctor", "--gpu", "--json", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert found["problem"] is None
    assert [check for check in found["checks"] if check["status"] == "fail"] == []
    assert done.returncode == 0


def test_two_gpus_compute_what_one_computes(tmp_path):
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    words = ("run", "espnet", "pointrend_fpn_r50", "--max-iters", "8", "--device", "cuda", "--deterministic")
    for gpus in ("1", "2"):
        done = _segbench(*words, "--no-latency", "--gpus", gpus, "--results", f"results_{gpus}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    stored = [Store(tmp_path / f"results_{gpus}").scan()[0] for gpus in "12"]
    for alone, shared in zip(*stored, strict=True):
        assert shared.record.environment.world_size == 2
        assert shared.record.gpu_hours == pytest.approx(2 * shared.record.seconds / 3600, rel=0.1)
        assert np.allclose(shared.record.training.loss, alone.record.training.loss, rtol=1e-2)
