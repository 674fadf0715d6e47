"""No process that others are forked from, and none that only starts them, calls into the CUDA driver.

A process forked from one that has called into it is refused CUDA, and one that calls into it before the variables are
set that choose a device ignores them. There need not be a GPU: torch is made to look as if it were built for CUDA.
"""

import json
import os
import subprocess
import sys

import pytest

from benchmark.execution import processes

WATCH = """
import json, os, sys
import torch

calls = []

def watched(name, result=None):
    def call(*args, **kwargs):
        calls.append((name, os.environ.get("CUDA_VISIBLE_DEVICES")))
        return result
    return call

# Functions with which torch checks its CUDA build, and counts devices without NVML.
torch._C._cuda_getDeviceCount = watched("getDeviceCount", 2)
for name in ("_cuda_init", "_cuda_setDevice", "_cuda_getDevice", "_cuda_getCurrentRawStream"):
    setattr(torch._C, name, watched(name, 0))
torch._C._cuda_isInBadFork = lambda: False
torch.cuda.init = torch.cuda._lazy_init = watched("init")
torch.cuda._raw_device_count_nvml = lambda: {nvml}
"""
PRINT_CALLS = "\nprint(json.dumps(calls), file=sys.stderr)\n"
PARENT = ["run", "plan", "train", "eval", "profile", "rerun", "verify", "doctor", "progress"]
"""Commands that start workers or compute, and what they watch them with."""


def _calls(code, nvml=2, **variables):
    """Calls into the driver by code in a process of its own, each with the devices that were visible to it."""
    script = WATCH.replace("{nvml}", str(nvml)) + code + PRINT_CALLS
    # As on a machine where nothing was set.
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("CUDA_VISIBLE_DEVICES", "PYTORCH_NVML_BASED_CUDA_CHECK")
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], env=environment | variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stderr.splitlines()[-1])


@pytest.mark.parametrize("look", ["torch.cuda.is_available()", "torch.cuda.device_count()", "torch.cuda.init()"])
def test_the_watch_sees_calls(look):
    """Without information from NVML."""
    assert _calls(look, nvml=-1)


def test_the_watch_sees_what_mmengine_asks_when_it_is_imported():
    assert _calls("import mmengine.device")


@pytest.mark.parametrize(("device", "method"), [("cpu", "forkserver"), ("cuda", "spawn")])
def test_workers_that_use_a_gpu_are_forked_from_nothing(device, method):
    assert processes.context(device).get_start_method() == method


def test_the_server_that_workers_are_forked_from():
    imports = "".join(f"import {name}\n" for name in processes.PRELOAD)
    assert _calls(f"from benchmark.engine import device\ndevice.select('cpu')\n{imports}") == []


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "auto"])
def test_the_process_that_starts_workers(device):
    """As a command does: it selects the device, and imports what carries runs out."""
    imports = "".join(f"import benchmark.cli.{name}\n" for name in PARENT)
    later = "import benchmark.execution.local, benchmark.execution.plan, benchmark.selftest.worker\n"
    code = f"{imports}from benchmark.engine import device\nassert device.select({device!r}) == 'cuda'\n{later}"
    assert _calls(code) == []


def test_where_the_driver_alone_can_count_it_sees_the_device_asked_for_and_no_other():
    """Without NVML, as in WSL: `CUDA_VISIBLE_DEVICES` is read at the first call, and never again."""
    code = "from benchmark.engine import device\nassert device.select('cuda:1') == 'cuda'\n"
    assert {visible for _, visible in _calls(code, nvml=-1)} <= {"1"}


def test_the_process_that_starts_workers_names_the_gpu_without_it():
    """The name selects the results for the time estimate."""
    code = "from benchmark.engine import device\ndevice.select('cuda')\n"
    assert _calls(f"{code}from benchmark.execution.plan import estimate_speed\nestimate_speed([], 'cuda')\n") == []
