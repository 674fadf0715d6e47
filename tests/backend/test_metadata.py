"""mmengine's look-ups of installed packages without pkg_resources."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import mmseg
import pytest
from mmengine.config import Config

from benchmark.backend import metadata


def test_a_package_is_found_by_its_module_and_by_its_distribution():
    folder = str(Path(mmseg.__file__).parent)
    assert metadata.get_installed_path("mmseg") == folder
    assert metadata.get_installed_path("mmsegmentation") == folder
    assert metadata.is_installed("mmseg")
    assert metadata.is_installed("mmsegmentation")


def test_an_absent_package_is_not_found():
    assert not metadata.is_installed("no-such-package")
    with pytest.raises(PackageNotFoundError, match="no-such-package"):
        metadata.get_installed_path("no-such-package")


def test_a_namespace_package_has_no_folder(tmp_path, monkeypatch):
    (tmp_path / "bare_folder_of_a_test").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert not metadata.is_installed("bare_folder_of_a_test")
    with pytest.raises(PackageNotFoundError):
        metadata.get_installed_path("bare_folder_of_a_test")


def test_configs_with_a_base_in_mmseg_load(tmp_path):
    file = tmp_path / "config.py"
    file.write_text(
        "_base_ = ['mmseg::_base_/models/pspnet_r50-d8.py']\nmodel = dict(decode_head=dict(num_classes=7))\n"
    )
    config = Config.fromfile(file)
    assert config.model.decode_head.type == "PSPHead"
    assert config.model.decode_head.num_classes == 7
