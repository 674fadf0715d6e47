import platform
import shutil
import subprocess
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
