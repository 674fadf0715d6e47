"""torchvision imports whether its compiled part loads or not."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

USE = """
import torch, torchvision
boxes, scores = torch.tensor([[0., 0, 2, 2], [0, 0, 2, 1.9], [5, 5, 6, 6]]), torch.tensor([0.9, 0.8, 0.7])
try:
    print(torchvision.ops.nms(boxes, scores, 0.5).tolist())
except RuntimeError as error:
    print(str(error).split(".")[0])
"""

ADAPT = "from benchmark.backend import vision; print(vision.adapt().done)\n"


def _python(code: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    setup = f"import sys; sys.path.insert(0, {str(path)!r})\n" if path else ""
    return subprocess.run([sys.executable, "-c", setup + code], capture_output=True, text=True)


def test_as_it_is_installed():
    plain, active = _python(USE), _python(ADAPT + USE)
    if plain.returncode and "torchvision::nms does not exist" not in plain.stderr:
        pytest.skip(f"torchvision is not of this PyTorch: {plain.stderr.splitlines()[-1]}")
    assert active.returncode == 0, active.stderr
    adapted, outcome = active.stdout.splitlines()
    if plain.returncode == 0:  # its compiled part loads: untouched
        assert (adapted, outcome) == ("False", "[0, 2]")
    else:
        assert (adapted, outcome) == ("True", "Couldn't load custom C++ ops")


def test_without_the_compiled_part(tmp_path):
    package = tmp_path / "torchvision"
    package.mkdir()
    for path in Path(find_spec("torchvision").origin).parent.iterdir():
        if path.suffix not in (".so", ".pyd"):
            (package / path.name).symlink_to(path)
    assert "torchvision::nms does not exist" in _python(USE, tmp_path).stderr
    active = _python(ADAPT + USE, tmp_path)
    assert active.stdout.splitlines() == ["True", "Couldn't load custom C++ ops"], active.stderr
