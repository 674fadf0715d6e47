"""A network of the user's gets a row beside those of the suite, with no file of ours touched."""

import json

import pytest

from benchmark.catalog import catalog
from benchmark.cli import main
from benchmark.configs import compose
from benchmark.configs.axes import config_hash
from benchmark.engine import segmentor
from benchmark.errors import UserError
from benchmark.results.store import Store
from benchmark.results.validate import validate

PROTOCOL = "shapes_64x64_smoke"

SOURCE = '''
import torch
from torch import nn


class Net(nn.Module):
    """Two convolutions at stride 4."""

    def __init__(self, num_classes, width=8):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 4, 1), nn.BatchNorm2d(width), nn.ReLU())
        self.scores, self.aux = nn.Conv2d(width, num_classes, 1), nn.Conv2d(width, num_classes, 1)

    def forward(self, images):
        maps = self.stem(images)
        return self.scores(maps)


class Listed(Net):
    def forward(self, images):
        maps = self.stem(images)
        return [self.scores(maps), self.aux(maps)]


class Torchvision(Net):
    def forward(self, images):
        maps = self.stem(images)
        return {"out": self.scores(maps), "aux": self.aux(maps)}


class Output:
    def __init__(self, logits):
        self.logits = logits


class Transformers(Net):
    def __init__(self, num_labels):
        super().__init__(num_labels)

    def forward(self, images):
        return Output(super().forward(images))


def made(classes):
    return Net(classes, width=4)


def no_classes(width):
    return Net(3)


def no_module(num_classes):
    return 3


class Raises(nn.Module):
    def __init__(self, num_classes):
        raise ValueError("nothing works")


class Wrong(Net):
    def forward(self, images):
        return "scores"
'''


@pytest.fixture
def source(tmp_path):
    """A file of networks, in a folder of its own."""
    path = tmp_path / "mine" / "net.py"
    path.parent.mkdir()
    path.write_text(SOURCE)
    return path


def test_it_gets_a_row(source, tmp_path, capsys, monkeypatch):
    """From `run` to tables and back: skipped the second time, run again when it was edited."""
    monkeypatch.chdir(tmp_path)
    words = ["run", "mine/net.py:Net", "--max-iters", "2", "--no-latency", "--device", "cpu", "--executor", "debug"]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert "net.py:Net" in printed.out
    (stored,), problems = Store(tmp_path / "results").scan()
    assert (stored.record.architecture, stored.record.method, stored.record.status) == ("net.py:Net", "own", "ok")
    assert problems == []
    assert validate(tmp_path / "results") == (1, [])
    assert "net.py:Net" in (tmp_path / "reports" / "index.html").read_text()
    assert main(["leaderboard", "--format", "latex"]) == 0
    assert "net.py:Net" in capsys.readouterr().out
    main(words)
    assert "skipped" in capsys.readouterr().err
    source.write_text(SOURCE.replace("width=8", "width=6"))
    edited = compose.compose(str(source) + ":Net", PROTOCOL)
    assert config_hash(edited) != stored.record.config_sha256


def test_workers_make_it_too(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["mine/net.py:Listed", "enet", "--max-iters", "1", "--no-latency", "--device", "cpu"]
    assert main(["run", *words]) == 0
    stored, _ = Store(tmp_path / "results").scan()
    assert {each.record.architecture: each.record.status for each in stored} == {"net.py:Listed": "ok", "enet": "ok"}


def test_where_the_file_is_does_not_matter(source, tmp_path):
    moved = tmp_path / "elsewhere" / "net.py"
    moved.parent.mkdir()
    moved.write_text(SOURCE)
    hashes = {config_hash(compose.compose(f"{path}:Net", PROTOCOL)) for path in (source, moved)}
    assert len(hashes) == 1


@pytest.mark.parametrize("name", ["Net", "Listed", "Torchvision", "Transformers", "made"])
def test_forms_of_outputs(name, source):
    import torch

    network = segmentor.build(compose.model_config(f"{source}:{name}", classes=5))
    maps = network.extract_feat(torch.zeros(2, 3, 32, 32))
    assert len(maps) == (2 if name in ("Listed", "Torchvision") else 1)
    scores = network.encode_decode(torch.zeros(2, 3, 32, 32), [{"img_shape": (32, 32)}] * 2)
    assert scores.shape == (2, 5, 32, 32)


def test_auxiliary_outputs_weigh_less(source):
    import torch
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    network = segmentor.build(compose.model_config(f"{source}:Listed", classes=5))
    network.backbone.network.aux.load_state_dict(network.backbone.network.scores.state_dict())
    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.zeros(1, 32, 32, dtype=torch.long)))
    losses = network.loss(torch.rand(1, 3, 32, 32), [sample])
    assert losses["decode.aux_0.loss_ce"].item() == pytest.approx(0.4 * losses["decode.loss_ce"].item())


def test_it_is_profiled(source, capsys):
    assert main(["profile", f"{source}:Net", "--no-latency", "--json", "--size", "64x64", "--classes", "5"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["params"] == 8 * 27 + 8 + 16 + 5 * 8 + 5
    assert found["macs"] == 16 * 16 * (8 * 27 + 5 * 8)


def test_an_installed_one(capsys):
    """torchvision's networks take num_classes, and return `out` and `aux`."""
    name = "torchvision:lraspp_mobilenet_v3_large"
    assert catalog.architecture(name).name == name
    long = compose.model_config("torchvision.models.segmentation:lraspp_mobilenet_v3_large", classes=5)
    assert long == compose.model_config(name, classes=5)
    assert main(["profile", name, "--no-latency", "--json", "--size", "64x64", "--classes", "5"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["params"] > 3_000_000


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no_classes", "takes no number of classes: give it an argument num_classes or classes or num_labels"),
        ("no_module", "made int, which is no nn.Module"),
        ("Raises", "cannot be made: ValueError: nothing works"),
        ("Absent", "has no class or function Absent: it has"),
    ],
)
def test_mistakes_are_one_line(name, said, source):
    with pytest.raises(UserError, match=said) as caught:
        segmentor.build(compose.model_config(f"{source}:{name}", classes=5))
    assert "\n" not in str(caught.value)


def test_what_is_not_there(tmp_path, capsys):
    for name, said in (("absent.py:Net", "there is no file absent.py"), ("absent.module:Net", "there is no module")):
        assert main(["profile", name, "--no-latency"]) == 2
        assert said in capsys.readouterr().err


def test_a_file_that_cannot_be_imported(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("import a_package_that_nobody_has\n")
    with pytest.raises(UserError, match=r"broken\.py cannot be imported: ModuleNotFoundError: No module named"):
        segmentor.build(compose.model_config(f"{path}:Net", classes=5))


def test_outputs_that_are_no_scores(source):
    import torch

    network = segmentor.build(compose.model_config(f"{source}:Wrong", classes=5))
    with pytest.raises(UserError, match="the network returned str: a tensor of scores"):
        network.extract_feat(torch.zeros(1, 3, 32, 32))
