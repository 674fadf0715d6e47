"""Who is `mmcv._ext`: the compiled one if it loads, ours otherwise."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
import sysconfig
import warnings
from importlib.util import find_spec
from pathlib import Path

import mmcv.ops
import pytest
import torch

from benchmark.errors import UserError

OURS = find_spec("mmcv._ext").origin == "benchmark.backend.ops"

REPORT = """
from benchmark.backend import adaptations
adaptation = next(a for a in adaptations() if a.name == "mmcv._ext")
print(adaptation.done, adaptation.why)
import mmcv.ops, mmcv._ext
print(mmcv._ext.__spec__.origin)
"""


@pytest.fixture
def mmcv_copy(tmp_path):
    """A folder with mmcv in it, which takes precedence in the subprocess and to which an `_ext` can be added."""
    (tmp_path / "mmcv").mkdir()
    for path in Path(mmcv.__file__).parent.iterdir():
        if not path.name.startswith("_ext"):
            (tmp_path / "mmcv" / path.name).symlink_to(path)
    return tmp_path / "mmcv"


def _report(folder: Path) -> list[str]:
    code = f"import sys; sys.path.insert(0, {str(folder.parent)!r})\n{REPORT}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_compiled_one_that_loads_is_in_charge(mmcv_copy):
    extension = mmcv_copy / "_ext.py"
    extension.write_text("def __getattr__(name):\n    return lambda *args, **kwargs: name\n")
    assert _report(mmcv_copy) == ["False compiled mmcv is installed and used", str(extension)]


def test_a_compiled_one_that_does_not_load_is_replaced_and_it_is_said(mmcv_copy):
    (mmcv_copy / f"_ext{sysconfig.get_config_var('EXT_SUFFIX')}").write_bytes(b"built for another PyTorch")
    said, origin = _report(mmcv_copy)
    assert said.startswith("True compiled mmcv does not load (")
    assert origin == "benchmark.backend.ops"


@pytest.mark.skipif(not OURS, reason="compiled mmcv is installed")
class TestOurs:
    def test_it_is_found_by_the_ways_in_which_openmmlab_looks(self):
        from mmengine.utils.dl_utils.misc import mmcv_full_available

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # pkgutil.find_loader, from Python 3.12 on
            assert mmcv_full_available()
            assert mmcv.utils.ext_loader.check_ops_exist()
            assert pkgutil.find_loader("mmcv._ext") is not None
        assert importlib.import_module("mmcv._ext") is mmcv._ext is sys.modules["mmcv._ext"]
        assert importlib.reload(mmcv._ext) is mmcv._ext

    def test_an_operator_that_is_not_here_says_its_name_and_where_it_is(self):
        boxes = torch.tensor([[0.0, 0, 1, 1]])
        with pytest.raises(UserError, match=r"^mmcv's operator 'nms' is only in compiled mmcv: run `.*pip install"):
            mmcv.ops.nms(boxes, torch.ones(1), 0.5)

    def test_python_does_not_take_it_for_what_it_is_not(self):
        assert not hasattr(mmcv._ext, "__path__")
        assert not hasattr(mmcv._ext, "_private")

    def test_environment_report(self):
        from mmcv.ops import get_compiler_version, get_compiling_cuda_version

        assert "PyTorch" in get_compiler_version()
        assert get_compiling_cuda_version() == "not available"
