"""Runs mmsegmentation's own tests of its models on our backend: `python tests/mmseg_suite.py [ARGUMENTS OF PYTEST]`.

Its source distribution, which carries the tests, is fetched with pip. They expect a checkout, so one is made around the
installed package. What needs a package that is not installed is skipped, what needs the network may fail; nothing else.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from benchmark.backend import activate

# part of a test's name: the modules that it needs
NEEDS = {
    "test_config_data_pipeline": ("mmpretrain", "albumentations"),
    "test_depth_estimator.py": ("ldm",),
    "test_mask2former_head.py": ("mmdet",),
    "test_maskformer_head.py": ("mmdet",),
    "test_timm_backbone.py": ("timm",),
    "test_vpd.py": ("ldm",),
}

DOWNLOADS = ("test_resnet_backbone", "test_timm_backbone")


class Expectations:
    """A pytest plugin that says beforehand what cannot pass here, and why."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Mark those tests."""
        for item in items:
            modules = [module for part, modules in NEEDS.items() if part in item.nodeid for module in modules]
            if missing := [module for module in modules if find_spec(module) is None]:
                item.add_marker(pytest.mark.skip(reason=f"needs {', '.join(missing)}"))
            if item.name in DOWNLOADS:
                item.add_marker(pytest.mark.xfail(raises=OSError, reason="downloads weights"))


def checkout(folder: Path) -> None:
    """Lay out tests, package and configs in `folder` as mmsegmentation's repository has them."""
    release = f"mmsegmentation-{version('mmsegmentation')}"
    download = ["download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    pip = [sys.executable, "-m", "pip", *download, release.replace("-", "=="), "--dest", str(folder)]
    subprocess.run(pip, check=True)
    with tarfile.open(folder / f"{release}.tar.gz") as archive:
        members = [member for member in archive if member.name.startswith(f"{release}/tests/")]
        archive.extractall(folder, members, filter="data")
    package = Path(find_spec("mmseg").origin).parent
    (folder / release / "tests").rename(folder / "tests")
    (folder / "mmseg").symlink_to(package)
    (folder / "configs").symlink_to(package / ".mim" / "configs")


def main() -> int:
    """Run them; pytest's exit code."""
    activate()
    with TemporaryDirectory() as folder:
        checkout(Path(folder))
        os.chdir(folder)
        arguments = ["tests", "-q", "-rsxX", "-p", "no:cacheprovider", "-W", "ignore", *sys.argv[1:]]
        return pytest.main(arguments, plugins=[Expectations()])


if __name__ == "__main__":
    sys.exit(main())
