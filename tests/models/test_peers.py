"""Networks of other libraries: with stand-ins for the libraries, and with those that are installed."""

import json
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from benchmark.catalog import catalog, own
from benchmark.cli import main
from benchmark.configs import compose
from benchmark.engine import segmentor
from benchmark.errors import UserError


def built(name, size=64):
    """Return the number of parameters of a network, which has been asked for scores."""
    network = segmentor.build(compose.model_config(name, classes=5)).eval()
    with torch.no_grad():
        scores = network.encode_decode(torch.zeros(1, 3, size, size), [{"img_shape": (size, size)}])
    assert scores.shape == (1, 5, size, size)
    return sum(weight.numel() for weight in network.parameters())


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Put a module in the place of a library."""

    def put(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, name, raising=False)
        names.append(name)

    names = []
    yield put
    for name in names:
        sys.modules.pop(name, None)


SMP = """
from torch import nn


class Unet(nn.Module):
    def __init__(self, encoder_name="resnet34", encoder_weights="imagenet", classes=1, depth=1):
        super().__init__()
        assert encoder_weights is None
        self.layers = nn.Conv2d(3, classes, {"resnet34": 1, "mit_b0": 3}[encoder_name], padding="same")

    def forward(self, images):
        return self.layers(images)
"""


def test_smp(stand_in):
    stand_in("segmentation_models_pytorch", SMP)
    assert built("smp:Unet") == built("smp:Unet/resnet34") == 5 * 3 + 5
    assert built("smp:Unet/mit_b0") == 5 * 3 * 9 + 5
    assert built("smp:Unet/mit_b0(depth=3)") == 5 * 3 * 9 + 5
    entry = catalog.architecture("smp:Unet/mit_b0")
    assert (entry.name, entry.kind) == ("smp:Unet/mit_b0", "smp")
    with pytest.raises(UserError, match="smp:Foo: segmentation_models_pytorch has Unet"):
        built("smp:Foo/resnet34")
    with pytest.raises(UserError, match="encoder is in the name already"):
        catalog.architecture("smp:Unet/mit_b0(encoder='x')")


def test_smp_gets_a_row(stand_in, tmp_path, monkeypatch, capsys):
    stand_in("segmentation_models_pytorch", SMP)
    monkeypatch.chdir(tmp_path)
    words = ["--max-iters", "1", "--no-latency", "--device", "cpu", "--executor", "debug"]
    assert main(["run", "smp:Unet/mit_b0", *words]) == 0
    assert "smp:Unet/mit_b0" in capsys.readouterr().out
    (path,) = tmp_path.glob("results/*/smp+Unet+mit_b0/*.json")
    assert json.loads(path.read_text())["source"]["kind"] == "smp"
    assert main(["validate"]) == 0
    assert main(["results", "pack", "out.tar"]) == 0
    assert main(["results", "add", "out.tar", "--results", "other"]) == 0
    assert (tmp_path / "other" / path.relative_to(tmp_path / "results")).is_file()
    assert "smp:Unet/mit_b0" in (tmp_path / "reports" / "index.html").read_text()


class Backbone(nn.Module):
    """A backbone of four maps, the last of which has its channels last."""

    def __init__(self, width=8):
        super().__init__()
        channels = [width, 2 * width, 3 * width, 4 * width]
        self.stages = nn.ModuleList(
            nn.Conv2d(before, after, 3, 4 if before == 3 else 2, 1)
            for before, after in zip([3, *channels], channels, strict=False)
        )
        self.feature_info = SimpleNamespace(channels=lambda: channels, reduction=lambda: [4, 8, 16, 32])

    def forward(self, images):
        maps = []
        for stage in self.stages:
            images = stage(images)
            maps.append(images)
        return [*maps[:-1], maps[-1].movedim(1, -1)]


@pytest.mark.parametrize("head", own.HEADS)
def test_timm(head, monkeypatch):
    library = ModuleType("timm")
    library.is_model = lambda name: name == "tiny"
    library.list_models = lambda: ["tiny"]
    library.create_model = lambda name, pretrained, features_only, **arguments: Backbone(**arguments)
    monkeypatch.setitem(sys.modules, "timm", library)
    assert built(f"timm:tiny+{head}") < built(f"timm:tiny+{head}(width=16)")
    with pytest.raises(UserError, match=r"timm:tinny: timm has no such model; did you mean tiny\?"):
        built(f"timm:tinny+{head}")


def test_the_heads_are_those_of_the_names():
    from benchmark.models.peers import HEADS

    assert tuple(HEADS) == own.HEADS


@pytest.mark.parametrize(
    ("name", "extra"), [("smp:Unet/resnet34", "smp"), ("hf:segformer", "hf"), ("timm:a+fcn", "timm")]
)
def test_what_is_not_installed_is_named(name, extra, monkeypatch, capsys):
    monkeypatch.setattr(own, "find_spec", lambda module: None)
    monkeypatch.delitem(sys.modules, own.PEERS[extra].module, raising=False)
    assert main(["profile", name]) == 2
    assert f'pip install "segbench[{extra}]"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "form"),
    [("smp:", "smp:ARCHITECTURE/ENCODER"), ("timm:resnet18", "timm:BACKBONE"), ("hf:a/b", "hf:MODEL_TYPE")],
)
def test_names_of_another_form(name, form, monkeypatch, capsys):
    monkeypatch.setattr(own, "find_spec", lambda module: module)
    assert main(["profile", name]) == 2
    assert f"the form is {form}" in capsys.readouterr().err


def test_of_the_libraries():
    pytest.importorskip("segmentation_models_pytorch")
    pytest.importorskip("timm")
    built("smp:Unet/resnet18")
    for head in own.HEADS:
        built(f"timm:resnet18+{head}")


def test_of_transformers():
    pytest.importorskip("transformers")
    built("hf:segformer(depths=[1, 1, 1, 1])")
    with pytest.raises(UserError, match="no semantic segmentation of that type; "):
        built("hf:bert")
