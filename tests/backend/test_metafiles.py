"""Bases of configs are not looked up in metafiles, which list trained configs; those still are."""

from __future__ import annotations

from mmengine.config import Config, utils


def test_a_base_is_found_without_reading_a_metafile(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(utils, "load", lambda path: read.append(path) or {"Import": []})
    file = tmp_path / "config.py"
    file.write_text("_base_ = 'mmseg::_base_/models/fpn_r50.py'\n")
    assert Config.fromfile(file).model.decode_head.type == "FPNHead"
    assert read == []


def test_a_trained_config_is_found_by_its_name(tmp_path):
    file = tmp_path / "config.py"
    file.write_text("_base_ = 'mmseg::fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py'\n")
    assert Config.fromfile(file).model.decode_head.type == "FCNHead"
