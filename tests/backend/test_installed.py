"""What is missing is said in one line, before anything heavy is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmark.backend import installed
from benchmark.errors import UserError


def _activate(setup: str) -> subprocess.CompletedProcess[str]:
    code = f"{setup}\nfrom benchmark.errors import UserError\nfrom benchmark.backend import activate\n"
    code += "try: activate()\nexcept UserError as error: print(error, 'torch' in sys.modules)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)


def test_missing_packages():
    done = _activate("import sys; sys.modules['ftfy'] = sys.modules['regex'] = None")
    assert done.stdout == "not installed: ftfy, regex; run `python -m pip install ftfy regex` False\n"


def test_opencv_without_a_desktop(tmp_path):
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')\n")
    done = _activate(f"import sys; sys.path.insert(0, {str(tmp_path)!r})")
    assert done.stdout == (
        "OpenCV does not load (libGL.so.1: cannot open shared object file); run "
        "`python -m pip install --force-reinstall --no-deps opencv-python-headless` False\n"
    )


def test_after_the_repair_activation_goes_on(monkeypatch):
    monkeypatch.setitem(sys.modules, "regex", None)
    with pytest.raises(UserError, match="regex"):
        installed.check()
    monkeypatch.undo()
    installed.check()
