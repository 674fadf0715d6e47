"""`segbench doctor` on an installation that is whole, and on ones that are broken in the ways that happen."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from importlib import metadata

import pytest
import torch

from benchmark.cli import doctor, main
from benchmark.results import code
from benchmark.selftest import gpu, worker
from benchmark.selftest.worker import CheckOutcome


def test_an_installation_that_is_whole(capsys):
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["problems"] == []
    assert found["versions"]["torch"] == metadata.version("torch")
    assert found["versions"]["mmsegmentation"] == "1.2.2"
    assert found["versions"]["code"] == code.digest()[:12]
    assert {"torchvision", "mmcv._ext", "checkpoints", "package metadata", "metafiles"} == {
        a["name"] for a in found["adaptations"]
    }
    cpu, *others = found["devices"]
    assert cpu["name"] == "cpu"
    assert cpu["memory"] > 2**20
    assert cpu["threads"] == torch.get_num_threads()
    assert sum(device["name"].startswith("cuda") for device in others) == torch.cuda.device_count()


def test_text_says_the_same(capsys):
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[-1] == "no problems"
    for wanted in (f"torch           {metadata.version('torch')}", "mmcv._ext", "cores", "GiB"):
        assert wanted in text
    assert not any(line != line.rstrip() for line in text.splitlines())


def _doctor(setup: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys\n{setup}\nfrom benchmark.cli import main\nsys.exit(main(['doctor', *{arguments!r}]))"
    # Python warns of the syntax of packages that were not compiled when they were installed.
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.stderr == ""
    return done


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        (
            "cv2.py",
            "raise ImportError('libGL.so.1: cannot open shared object file')",
            "OpenCV does not load (libGL.so.1: cannot open shared object file); run "
            "`python -m pip install --force-reinstall --no-deps opencv-python-headless`",
        ),
        (
            "torch.py",
            "raise OSError('libcudart.so.13: cannot open shared object file')",
            "torch does not load (libcudart.so.13: cannot open shared object file): run "
            "`python -m pip install --force-reinstall torch`",
        ),
        (
            "pandas.py",
            "raise ValueError('numpy.dtype size changed, may indicate binary incompatibility\\nand more')",
            "pandas does not load (numpy.dtype size changed, may indicate binary incompatibility): run "
            "`python -m pip install --force-reinstall pandas`",
        ),
    ],
)
def test_a_package_that_does_not_load_is_named_with_what_to_do(tmp_path, file, content, problem):
    (tmp_path / file).write_text(content)
    setup = f"sys.path.insert(0, {str(tmp_path)!r})"
    done = _doctor(setup)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-2:] == ["problems", f"  {problem}"]


def test_without_torch():
    done = _doctor("sys.modules['torch'] = None", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["problems"] == ["not installed: torch; run `python -m pip install torch`"]


def test_a_broken_mmseg(tmp_path):
    (tmp_path / "mmseg").mkdir()
    (tmp_path / "mmseg" / "__init__.py").write_text("raise AssertionError('MMCV==3.0.0 is used but incompatible')")
    done = _doctor(f"sys.path.insert(0, {str(tmp_path)!r})", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["problems"] == [
        "mmseg does not import (AssertionError: MMCV==3.0.0 is used but incompatible)"
    ]


def test_declared_dependencies_are_held_against_what_is_installed(monkeypatch):
    declared = ["numpy>=99", "no-such-thing>=1.5", "another; extra == 'tests'", "third; python_version < '3'", "pandas"]
    monkeypatch.setattr(metadata, "requires", lambda name: declared)
    assert list(doctor._unmet()) == [
        f"numpy {metadata.version('numpy')} is installed: run `python -m pip install 'numpy>=99'`",
        "no-such-thing is not installed: run `python -m pip install 'no-such-thing>=1.5'`",
    ]


def test_a_substitute_will_do(monkeypatch):
    real = metadata.version

    def version(name):
        if name in ("mmcv-lite", "opencv-python"):
            raise metadata.PackageNotFoundError(name)
        return {"mmcv": "2.1.0", "opencv-python-headless": "4.12.0.88"}.get(name) or real(name)

    monkeypatch.setattr(metadata, "version", version)
    assert list(doctor._unmet()) == []
    assert doctor._version("mmcv-lite") == "2.1.0 (mmcv)"
    assert doctor._version("opencv-python") == "4.12.0.88 (opencv-python-headless)"


def test_a_checkout_that_is_not_installed_declares_nothing(monkeypatch):
    def requires(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", requires)
    assert list(doctor._unmet()) == []


CHECK = CheckOutcome("device", "pass", "some GPU", 1.25)


@pytest.mark.parametrize(("status", "code"), [("pass", 0), ("skipped", 0), ("fail", 1)])
def test_checks_of_a_device(monkeypatch, capsys, status, code):
    outcomes = [CHECK, CheckOutcome("graphed training", status, "it waits", 0.5)]
    monkeypatch.setattr(worker, "run", lambda device: iter(outcomes))
    assert main(["doctor", "--gpu", "--device", "cpu"]) == code
    assert capsys.readouterr().out.splitlines() == [
        "device                pass       1.2 s  some GPU",
        f"graphed training      {status:7}    0.5 s  it waits",
    ]
    assert main(["doctor", "--gpu", "--device", "cpu", "--json"]) == code
    found = json.loads(capsys.readouterr().out)
    assert found == {"problem": None, "checks": [asdict(outcome) for outcome in outcomes]}


def test_without_a_gpu_json_says_why(monkeypatch, capsys):
    monkeypatch.setattr(gpu, "absent", lambda: "no driver")
    assert main(["doctor", "--gpu", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"problem": "no driver", "checks": []}


def test_a_device_alone_is_a_mistake(capsys):
    assert main(["doctor", "--device", "cpu"]) == 2
    assert "add --gpu" in capsys.readouterr().err
