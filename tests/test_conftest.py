"""Tests neither see a GPU, nor share files and states with each other, nor take more cores than there are."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.device import get_device, utils

from benchmark.engine import device
from benchmark.files.user_cache import user_cache
from benchmark.results.environment import cores

HERE = Path(__file__).parent


def _pytest(*arguments, **variables):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=HERE.parent, env=os.environ | variables, capture_output=True, text=True)


def test_no_gpu_is_seen():
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    assert torch.cuda.device_count() == 0
    assert get_device() != "cuda"


@pytest.mark.parametrize("time", [1, 2])
def test_what_a_test_selects_is_forgotten(monkeypatch, time):
    assert "SEGBENCH_NO_SUCH_THING" not in os.environ
    assert utils.DEVICE != "cuda"
    os.environ["SEGBENCH_NO_SUCH_THING"] = "1"
    device.use("cuda")


def test_where_there_is_no_gpu_its_tests_fail_in_one_line():
    done = _pytest("-m", "gpu", str(HERE / "engine" / "test_gpu.py"))
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("ERROR: no GPU to test on: ")


def test_beside_others_tests_of_a_gpu_are_skipped():
    done = _pytest("-m", "gpu or slow", "-rs", str(HERE / "engine" / "test_gpu.py"))
    assert done.returncode == 0
    assert "needs a GPU, which only `pytest -m gpu` sees" in done.stdout


def test_the_cache_of_the_user_is_left_alone(tmp_path_factory):
    assert user_cache().is_relative_to(tmp_path_factory.getbasetemp())


def test_processes_share_the_cores():
    """In a module of its own, in two processes of pytest-xdist."""
    name = f"{__name__.rpartition('.')[2]}.py::test_threads_of_a_process"
    variables = {"SEGBENCH_TEST_THREADS": str(max(1, cores() // 2))}
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "OMP_"))}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", str(HERE / name)]
    done = subprocess.run(command, cwd=HERE.parent, env=environment | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_threads_of_a_process():
    if (expected := os.environ.get("SEGBENCH_TEST_THREADS")) is None:
        pytest.skip("is run by another test")
    assert torch.get_num_threads() == int(expected)
