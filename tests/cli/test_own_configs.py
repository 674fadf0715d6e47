"""A network of the user's that an mmsegmentation-style config defines, with parts of its own."""

import json
import sys

import pytest

from benchmark.cli import main
from benchmark.configs import axes, compose
from benchmark.errors import UserError
from benchmark.results.store import Store

PROTOCOL = "shapes_64x64_smoke"

PARTS = """
from mmseg.registry import MODELS
from torch import nn


@MODELS.register_module(force=True)
class StemOfMine(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, width, 3, 4, 1), nn.BatchNorm2d(width), nn.ReLU())

    def forward(self, images):
        return (self.layers(images),)
"""

BASE = """
norm_cfg = dict(type="SyncBN")
model = dict(
    type="EncoderDecoder",
    backbone=dict(type="StemOfMine", width=8),
    decode_head=dict(
        type="FCNHead", in_channels=8, channels=8, num_convs=0, concat_input=False, num_classes=19, norm_cfg=norm_cfg,
        loss_decode=dict(type="CrossEntropyLoss"),
    ),
)
"""

CONFIG = """
_base_ = ["base/fcn.py"]
custom_imports = dict(imports=["parts_of_mine"], allow_failed_imports=False)
model = dict(decode_head=dict(dropout_ratio=0))
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A config with a base and a module beside it, in a folder that is not the working directory."""
    folder = tmp_path / "mine"
    (folder / "base").mkdir(parents=True)
    (folder / "base" / "fcn.py").write_text(BASE)
    (folder / "parts_of_mine.py").write_text(PARTS)
    (folder / "net.py").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    monkeypatch.delitem(sys.modules, "parts_of_mine", raising=False)
    return folder / "net.py"


def test_it_gets_a_row(config, tmp_path, capsys):
    """A worker imports its modules too: without them the network cannot be built."""
    assert main(["run", "mine/net.py", "enet", "--max-iters", "1", "--no-latency", "--device", "cpu"]) == 0
    assert "net.py" in capsys.readouterr().out
    stored, problems = Store(tmp_path / "results").scan()
    assert {each.record.architecture: each.record.status for each in stored} == {"net.py": "ok", "enet": "ok"}
    assert problems == []
    assert main(["leaderboard", "--format", "latex"]) == 0
    assert "net.py" in capsys.readouterr().out


def test_it_is_profiled(config, capsys):
    assert main(["profile", str(config), "--no-latency", "--json", "--size", "64x64", "--classes", "5"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["params"] == 8 * 27 + 8 + 16 + 5 * 8 + 5


def test_it_is_trained_into_the_work_folder(config, tmp_path):
    """By its absolute path, which joined to the work folder would lead out of it."""
    assert main(["train", str(config), "--max-iters", "1", "--device", "cpu"]) == 0
    assert list((tmp_path / "work_dirs" / PROTOCOL / "net.py" / "seed-0").glob("*.pth"))


def test_its_modules_are_in_the_hash(config):
    before = axes.config_hash(compose.compose(str(config), PROTOCOL))
    assert axes.config_hash(compose.compose(str(config), PROTOCOL)) == before
    (config.parent / "parts_of_mine.py").write_text(PARTS.replace("ReLU", "Sigmoid"))
    assert axes.config_hash(compose.compose(str(config), PROTOCOL)) != before


def test_the_printed_config_names_its_modules(config, capsys):
    assert main(["config", str(config)]) == 0
    assert "parts_of_mine" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("custom_imports = dict(imports=['nobody_has_this'])\nmodel = dict()", "nobody_has_this cannot be imported"),
        ("x = 1", r"does not define `model = dict\(\.\.\.\)`: for a class write \S+/net\.py:NAME"),
        ("model = dict(", r"net\.py:1: SyntaxError"),
        ("model = 3", r"net\.py: model is int, not dict"),
        ("model = dict(backbone=3)", r"net\.py: model.backbone is int, not dict"),
        ("model = dict()\ncustom_imports = 3", r"net\.py: custom_imports is int, not dict"),
        ("model = dict()\ncustom_imports = dict(imports=3)", r"custom_imports: imports is 3, not a list of names"),
        ("model = dict()\ndata_preprocessor = dict(mean=3)", r"net\.py: data_preprocessor: mean and std are not"),
    ],
)
def test_mistakes_are_one_line(text, said, config):
    config.write_text(text)
    with pytest.raises(UserError, match=said) as caught:
        compose.compose(str(config), PROTOCOL)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(capsys):
    assert main(["profile", "absent.py", "--no-latency"]) == 2
    assert "absent.py: there is no such file" in capsys.readouterr().err
