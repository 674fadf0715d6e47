"""The commands of docs/add-a-method.md work as they stand there."""

import shutil

from benchmark.catalog import catalog


def test_every_command_of_the_page(page, tmp_path, monkeypatch, capsys):
    shutil.copytree(catalog.config_root(), tmp_path / "here" / "model_configs")
    monkeypatch.setattr(catalog, "config_root", lambda: tmp_path / "here" / "model_configs")
    catalog.forget()
    try:
        assert page.files() == {"model_configs/pspnet/pspnet_r18-d8.py"}
        assert len(page.commands) == 7
        for command in page.commands:
            page.run(command)
    finally:
        monkeypatch.undo()
        catalog.forget()
    printed = capsys.readouterr().out
    assert "PSPNet: pyramid pooling on a dilated ResNet-18" in printed
    assert "pspnet_r50-d8" in printed
