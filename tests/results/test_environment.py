import platform
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from benchmark import __version__
from benchmark.results import environment


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A small git repository in place of the checkout."""
    if shutil.which("git") is None:
        pytest.skip("needs git")
    root = tmp_path / "checkout"
    (root / "benchmark").mkdir(parents=True)
    (root / "benchmark" / "module.py").write_text("x = 1\n")
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "first"],
    ):
        subprocess.run(["git", "-C", root, *command], check=True)
    monkeypatch.setattr(environment, "CHECKOUT", root)
    return root


def test_what_is_captured_is_this_process():
    torch = pytest.importorskip("torch")
    found = environment.capture("cpu", deterministic=True)
    assert found.python == platform.python_version()
    assert found.packages["torch"] == version("torch")
    assert found.packages["mmsegmentation"] == version("mmsegmentation")
    assert found.threads == torch.get_num_threads()
    assert found.deterministic is True
    assert found.memory > 2**28
    assert found.cores >= 1
    assert found.cpu
    assert (found.gpu, found.cuda, found.cudnn, found.driver) == (None,) * 4


def test_capturing_twice_gives_the_same(monkeypatch):
    first = environment.capture("cpu", deterministic=True)
    bundled = str(Path(pytest.importorskip("setuptools").__file__).parent / "_vendor")
    monkeypatch.syspath_prepend(bundled)  # as setuptools itself does on some imports
    assert environment.capture("cpu", deterministic=True) == first


def test_the_hash_covers_every_distribution(monkeypatch):
    before = environment.capture("cpu", deterministic=False)
    distributions = list(environment.metadata.distributions())
    monkeypatch.setattr(environment.metadata, "distributions", lambda path: distributions[1:])
    assert environment.capture("cpu", deterministic=False).packages_sha256 != before.packages_sha256


def test_commit_and_changes_of_the_code(checkout):
    head = subprocess.run(["git", "-C", checkout, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    code = environment._code()
    assert (code.version, code.commit, code.dirty) == (__version__, head.stdout.strip(), False)
    (checkout / "benchmark" / "new.py").write_text("")
    assert environment._code().dirty is True


def test_new_results_do_not_make_the_code_dirty(checkout):
    (checkout / "results").mkdir()
    (checkout / "results" / "a.json").write_text("{}")
    assert environment._code().dirty is False


def test_git_variables_of_a_hook_do_not_mislead(checkout, monkeypatch):
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert environment._code().commit is not None


def test_an_installed_package_has_no_commit(tmp_path, checkout, monkeypatch):
    installed = checkout / ".venv" / "site-packages"  # inside a repository, and yet not of it
    installed.mkdir(parents=True)
    monkeypatch.setattr(environment, "CHECKOUT", installed)
    code = environment._code()
    assert (code.commit, code.dirty) == (None, None)


def test_without_git(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    code = environment._code()
    assert (code.commit, code.dirty) == (None, None)


def test_the_driver_is_read_from_the_kernel_module(tmp_path, monkeypatch):
    file = tmp_path / "version"
    file.write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.124.06  Release Build  (root@host)\n"
        "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n"
    )
    monkeypatch.setattr(environment, "DRIVER", file)
    assert environment._driver() == "570.124.06"
    file.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.54.03  Tue Jun  6 22:20:39 UTC 2023\n")
    assert environment._driver() == "535.54.03"
    file.unlink()
    assert environment._driver() is None


@pytest.fixture
def gpu_name():
    """`environment.gpu_name`, which remembers nothing."""
    environment.gpu_name.cache_clear()
    yield environment.gpu_name
    environment.gpu_name.cache_clear()


DRIVER = """
import ctypes
class Driver:
    def cuInit(self, flags): return {init}
    def cuDeviceGet(self, device, index):
        device._obj.value = 7 + index
        return 0 if index < 2 else 101
    def cuDeviceGetName(self, name, length, device):
        name.value = b"NVIDIA A100 MIG 1g.5gb, number %d" % device.value
        return 0
ctypes.CDLL = lambda name: Driver()
"""
"""Stands in for the driver of a machine with two GPUs."""


@pytest.fixture
def driver(monkeypatch):
    """Puts a script in front of the one that asks for the name."""

    def put(script):
        monkeypatch.setattr(environment, "_GPU_NAME", script + environment._GPU_NAME)

    return put


@pytest.mark.parametrize(("device", "number"), [("cuda", 7), ("cuda:0", 7), ("cuda:1", 8)])
def test_a_child_asks_the_driver_for_the_name_of_a_gpu(gpu_name, driver, device, number):
    driver(DRIVER.format(init=0))
    assert gpu_name(device) == f"NVIDIA A100 MIG 1g.5gb, number {number}"


@pytest.mark.parametrize(
    ("script", "device"),
    [
        (DRIVER.format(init=3), "cuda"),
        (DRIVER.format(init=0), "cuda:2"),
        ("raise SystemExit(1)\n", "cuda"),
        ("import os; os.abort()\n", "cuda"),
        ("import time; time.sleep(60)\n", "cuda"),
        ("import sys; sys.stdout.buffer.write(bytes([255])); raise SystemExit\n", "cuda"),
        ("raise SystemExit\n", "cuda"),
    ],
    ids=["no GPU", "no third GPU", "fails", "crashes", "hangs", "no text", "says nothing"],
)
def test_a_gpu_that_has_no_name_is_none(gpu_name, driver, monkeypatch, script, device):
    monkeypatch.setattr(environment, "GPU_SECONDS", 2.0)
    driver(script)
    assert gpu_name(device) is None


def test_without_an_interpreter_a_gpu_has_no_name(gpu_name, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert gpu_name("cuda") is None


def test_the_name_is_asked_for_once(gpu_name, driver, monkeypatch):
    driver(DRIVER.format(init=0))
    first = gpu_name("cuda")
    monkeypatch.setattr(environment.subprocess, "run", None)
    assert gpu_name("cuda") == first


def test_an_environment_with_a_gpu_is_captured_without_cuda_in_this_process(gpu_name, driver, monkeypatch):
    torch = pytest.importorskip("torch")
    driver(DRIVER.format(init=0))
    monkeypatch.setattr(torch.cuda, "_lazy_init", None)
    monkeypatch.setattr(torch.cuda, "get_device_name", None)
    found = environment.capture("cuda", deterministic=False, in_child=True)
    assert found.gpu == "NVIDIA A100 MIG 1g.5gb, number 7"
    assert found.device == "cuda"
    assert not torch.cuda.is_initialized()


@pytest.mark.parametrize("error", [RuntimeError("no NVIDIA driver"), AssertionError("not compiled with CUDA enabled")])
def test_a_gpu_that_cannot_be_asked_does_not_end_the_run(monkeypatch, error):
    torch = pytest.importorskip("torch")

    def refuse(device):
        raise error

    monkeypatch.setattr(torch.cuda, "get_device_name", refuse)
    assert environment.capture("cuda", deterministic=False).gpu is None


def test_a_gpu_of_amd_is_captured_with_its_toolkit(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", "6.4.43482")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "AMD Instinct MI300X")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 3004000)
    found = environment.capture("cuda", deterministic=False)
    assert (found.gpu, found.cuda, found.cudnn) == ("AMD Instinct MI300X", "ROCm 6.4.43482", "3004000")


def test_a_gpu_of_apple_is_captured():
    found = environment.capture("mps", deterministic=False)
    assert (found.device, found.gpu, found.cuda, found.cudnn) == ("mps", None, None, None)


@pytest.mark.gpu
def test_a_child_says_what_torch_does(gpu_name):
    torch = pytest.importorskip("torch")
    assert gpu_name("cuda") == torch.cuda.get_device_name()
    found = environment.capture("cuda", deterministic=False)
    assert found == environment.capture("cuda", deterministic=False, in_child=True)
    assert found.cuda
    assert found.cudnn


def test_a_module_in_the_working_directory_does_not_hide_the_gpu(gpu_name, monkeypatch, tmp_path):
    (tmp_path / "json.py").write_text("raise ImportError")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(environment, "_GPU_NAME", "import json; print('NVIDIA H100')")
    assert gpu_name("cuda") == "NVIDIA H100"
