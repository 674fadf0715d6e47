"""A network of the user's gets a row beside those of the suite, with no file of ours touched."""

import json

import pytest

from benchmark.catalog import catalog
from benchmark.cli import main
from benchmark.configs import compose
from benchmark.configs.axes import config_hash
from benchmark.engine import segmentor
from benchmark.errors import UserError
from benchmark.reporting.anchor import anchor
from benchmark.results.store import Store
from benchmark.results.validate import validate

PROTOCOL = "shapes_64x64_smoke"

SOURCE = '''
import sys
from dataclasses import dataclass
from functools import partial

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


def needs_width(num_classes, width):
    return Net(num_classes, width)


def other_name(nc, width=8):
    return Net(nc, width)


class Passes(Net):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)


class Reads(nn.Module):
    def __init__(self, **settings):
        super().__init__()
        self.net = Net(settings["num_classes"])

    def forward(self, images):
        return {"scores": self.net(images)}


class Labels(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.net = Net(classes)

    def forward(self, images):
        scores = self.net(images)
        return [scores, None, scores] if self.training else scores


@dataclass
class Logits:
    logits: torch.Tensor
    hidden: object = None


class Dataclass(Net):
    def forward(self, images):
        return Logits(super().forward(images))


class ReadsValues(Net):
    """Which the meta device does not have."""

    def forward(self, images):
        return super().forward(images) * torch.arange(3).float().mean().item()


class Synchronised(Net):
    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.stem = nn.SyncBatchNorm.convert_sync_batchnorm(self.stem)


class Fixed(Net):
    def __init__(self, num_classes):
        super().__init__(21)


class Multiple(Net):
    def forward(self, images):
        assert images.shape[-1] % 100 == 0, "needs a multiple of 100"
        return super().forward(images)


class Pooled(Net):
    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(8))

    def forward(self, images):
        maps = self.stem(images)
        return self.scores(maps + self.pool(maps))


partly = partial(Net, width=4)
instance = Net(3)


class Raises(nn.Module):
    def __init__(self, num_classes):
        raise ValueError("nothing works")


class Wrong(Net):
    def forward(self, images):
        return "scores"


class Empty(Net):
    def forward(self, images):
        return []


class Exits(Net):
    def forward(self, images):
        sys.exit(3)


class ExitsLate(Net):
    def forward(self, images):
        return super().forward(images) if images.is_meta else sys.exit(3)


class ExitsAtOnce(Net):
    def __init__(self, num_classes):
        sys.exit("bye")


class Integers(Net):
    def forward(self, images):
        return super().forward(images).long()


class OneImage(Net):
    def forward(self, images):
        return super().forward(images)[:1]


class Detached(Net):
    def forward(self, images):
        return super().forward(images).detach()


class Frozen(Net):
    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.requires_grad_(False)


class Lazy(Net):
    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.scores = nn.LazyConv2d(num_classes, 1)


class Keyed(Net):
    def forward(self, images):
        return {}["absent"]


class NoParameters(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.classes = num_classes

    def forward(self, images):
        return images.mean(1, keepdim=True).expand(-1, self.classes, -1, -1)
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


def test_its_stages_are_counted(source, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["--max-iters", "1", "--no-latency", "--device", "cpu", "--executor", "debug"]
    assert main(["run", "mine/net.py:Net", "enet", *words]) == 0
    records = {each.record.architecture: each.record for each in Store(tmp_path / "results").scan()[0]}
    assert records["enet"].complexity.stages is None  # they come with the suite
    counted = records["net.py:Net"].complexity
    first, last = counted.stages[0], counted.stages[-1]
    assert (first.name, last.name, last.output) == ("stem", "scores", (8, 16, 16)), counted.stages
    assert sum(stage.params for stage in counted.stages) == counted.params
    page = (tmp_path / "reports" / "index.html").read_text()
    section = page[page.index(f'id="{anchor("net.py:Net")}"') :]
    assert '<th scope="row">scores</th>' in section
    assert "At inference, for one image of 64\u00d764 pixels and 8 classes" in section
    forged = next((tmp_path / "results").glob("*/net.py+Net/*.json"))
    data = json.loads(forged.read_text())
    data["complexity"]["stages"][0]["macs"] += 1
    forged.write_text(json.dumps(data))
    capsys.readouterr()
    assert main(["validate"]) == 1
    assert (
        f"complexity.stages have {counted.macs_torch + 1} macs, the network has {counted.macs_torch}"
        in capsys.readouterr().out
    )


def test_workers_make_it_too(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["mine/net.py:Listed", "enet", "--max-iters", "1", "--no-latency", "--device", "cpu"]
    assert main(["run", *words]) == 0
    stored, _ = Store(tmp_path / "results").scan()
    assert {each.record.architecture: each.record.status for each in stored} == {"net.py:Listed": "ok", "enet": "ok"}


def test_an_exit_of_a_network_is_the_failure_of_its_run(source, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["--max-iters", "1", "--no-latency", "--device", "cpu", "--executor", "debug"]
    assert main(["run", "mine/net.py:ExitsLate", *words]) == 1
    (stored,), _ = Store(tmp_path / "results").scan()
    # As where the run has a process of its own.
    assert (stored.record.status, stored.record.error) == ("failed", "the process died with exit code 3")


def test_where_the_file_is_does_not_matter(source, tmp_path):
    moved = tmp_path / "elsewhere" / "net.py"
    moved.parent.mkdir()
    moved.write_text(SOURCE)
    hashes = {config_hash(compose.compose(f"{path}:Net", PROTOCOL)) for path in (source, moved)}
    assert len(hashes) == 1


def test_two_files_of_one_name_are_refused(source, tmp_path, capsys):
    """In tables one would replace the other, as an edited file does."""
    other = tmp_path / "other" / "net.py"
    other.parent.mkdir()
    other.write_text(SOURCE)
    for command in ("run", "plan"):
        assert main([command, f"{source}:Net", f"{other}:Net"]) == 2
        assert "are both net.py:Net in results: rename one of them, or its file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name",
    [
        *("Net", "Listed", "Torchvision", "Transformers", "made", "partly", "Passes", "Reads", "Labels", "Dataclass"),
        *("ReadsValues", "Synchronised", "Net(width=3)", "other_name(nc=num_classes)", "needs_width(width=2)"),
    ],
)
def test_forms_of_outputs(name, source):
    import torch

    network = segmentor.build(compose.model_config(f"{source}:{name}", classes=5))
    maps = network.extract_feat(torch.zeros(2, 3, 32, 32))
    assert len(maps) == (2 if name in ("Listed", "Torchvision", "Labels") else 1)
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


def test_one_without_parameters_is_profiled(source, capsys):
    assert main(["profile", f"{source}:NoParameters", "--json", "--size", "64x64", "--device", "cpu"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["params"] == 0


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
        (
            "no_classes",
            "takes no number of classes: give it an argument num_classes or classes or num_labels, or tell the name of "
            "the one it has by --model-args NAME=num_classes",
        ),
        ("no_module", r"net\.py:no_module made int, which is not an nn\.Module"),
        ("instance", "is a network; name the class or a function that makes one"),
        ("needs_width", "needs width: give --model-args width=VALUE"),
        ("Net(depth=3)", r"net\.py:Net\(depth=3\) takes no argument depth; it takes num_classes, width"),
        ("Net(num_classes=3)", "num_classes is the number of classes, which the protocol sets"),
        ("Raises", "cannot be made: ValueError: nothing works"),
        ("Absent", r"has no class or function Absent: it has Dataclass, Detached,"),
        ("Nett", r"has no class or function Nett: did you mean Net"),
        ("Net(width=num_classes)", r"takes the number of classes as num_classes: leave out width=num_classes, or give"),
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


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("Fixed", (), "net.py:Fixed returned 21 channels of scores for 8 classes"),
        ("Multiple", (), "net.py:Multiple: cannot process an input of 64x64: needs a multiple of 100"),
        ("Pooled", ("--batch-size", "1"), "over a map of 1x1 pixel, which needs at least two images: --batch-size 2"),
        ("Wrong", (), "the network returned str: a tensor of scores"),
        ("Empty", (), "the network returned an empty list: a tensor of scores"),
        ("Exits", (), "cannot process an input of 64x64: SystemExit: 3"),
        ("ExitsAtOnce", (), "cannot be made: SystemExit: bye"),
        ("Keyed", (), "cannot process an input of 64x64: KeyError: absent"),
        ("Integers", (), "net.py:Integers returned torch.int64, as of labels: floating-point scores are needed"),
        ("OneImage", (), "net.py:OneImage returned scores of 1 images for 2 images"),
        ("Detached", (), "net.py:Detached: cannot be trained: its scores are detached from its parameters"),
        ("Frozen", (), "net.py:Frozen: cannot be trained: it has no parameters that require gradients"),
        ("NoParameters", (), "net.py:NoParameters: cannot be trained: it has no parameters that require gradients"),
        ("Lazy", (), "backbone.network.scores (LazyConv2d) has no shape before its first input"),
        ("made", ("--model-args", "width=3"), "net.py:made(width=3) takes no argument width; it takes classes"),
        ("Net", ("--model-args", "width"), "--model-args width: is not NAME=VALUE"),
        ("Net", ("--model-args", "pretrained=True"), "networks start from random weights"),
    ],
)
def test_what_cannot_work_is_said_before_it_starts(name, options, said, source, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for command in ("run", "train"):
        assert main([command, f"mine/net.py:{name}", "--max-iters", "1", "--device", "cpu", *options]) == 2
        printed = capsys.readouterr().err
        assert said in printed
        assert printed.count("\n") == 1
    assert not list(tmp_path.rglob("*.json"))


def test_arguments_are_in_title_and_hash_and_record(source, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["--max-iters", "1", "--no-latency", "--device", "cpu", "--executor", "debug"]
    assert main(["run", "mine/net.py:Net", "enet", *words, "--model-args", "width=4"]) == 0
    capsys.readouterr()
    stored, _ = Store(tmp_path / "results").scan()
    enet, net = sorted((each.record for each in stored), key=lambda record: record.architecture)
    assert enet.source is None
    assert [path.parent.name for path in tmp_path.glob("results/*/*/*.json") if '"source"' in path.read_text()] == [
        "net.py+Net+width+4+"
    ]
    assert (net.architecture, net.source.name, net.source.kind) == ("net.py:Net(width=4)",) * 2 + ("file",)
    assert net.source.sha256 == catalog.architecture(f"{source}:Net").factory.sources.sha256
    assert net.complexity.params == 4 * 27 + 4 + 8 + 8 * 4 + 8
    assert main(["leaderboard", "--format", "latex"]) == 0
    assert "net.py:Net(width=4)" in capsys.readouterr().out
    assert validate(tmp_path / "results") == (2, [])
    again = next(str(each.path) for each in stored if each.record is net)
    assert main(["rerun", again]) == 2
    assert "net.py is not in the working directory: name it with --network path/to/net.py" in capsys.readouterr().err
    assert main(["rerun", again, "--network", "mine/net.py"]) == 0
    assert "reproduced bitwise" in capsys.readouterr().out


def test_arguments_are_for_networks_that_take_any(capsys):
    assert main(["profile", "enet", "--no-latency", "--model-args", "width=4"]) == 2
    assert "--model-args is for a class or function" in capsys.readouterr().err


def test_config_checks_it(source, capsys):
    assert main(["config", f"{source}:Absent"]) == 2
    printed = capsys.readouterr()
    assert "has no class or function Absent" in printed.err
    assert printed.out == ""
    assert main(["config", f"{source}:Net"]) == 0


def test_an_installed_one_is_suggested(capsys):
    with pytest.raises(UserError, match="no class or function nope: it has LRASPP, deeplabv3_mobilenet_v3_large, deep"):
        segmentor.build(compose.model_config("torchvision:nope", classes=5))


def test_show(source, capsys):
    assert main(["show", f"{source}:Net", "--model-args", "width=4"]) == 0
    assert "name: net.py:Net(width=4)" in capsys.readouterr().out
