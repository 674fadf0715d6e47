"""Networks that folders and installed packages add to the catalog."""

import os
import sys

import pytest

from benchmark.catalog import catalog, plugins
from benchmark.cli import main
from benchmark.results.store import Store

CONFIG = '''"""A small FCN."""
model = dict(
    type="EncoderDecoder",
    backbone=dict(type="ENetEncoder", norm_cfg=dict(type="SyncBN"))
)
'''

NET = """
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes, width=8):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, width, 3, 4, 1), nn.ReLU(), nn.Conv2d(width, num_classes, 1))

    def forward(self, images):
        return self.layers(images)
"""


@pytest.fixture
def fresh(monkeypatch):
    """A catalog that is read anew."""
    catalog.forget()
    plugins._warn.cache_clear()
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv(plugins.FOLDERS, raising=False)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0].startswith("pack_y"):
            del sys.modules[name]
    monkeypatch.undo()
    catalog.forget()


@pytest.fixture
def folder(tmp_path, fresh):
    """A folder of one method with one architecture: ENet by another name."""
    path = tmp_path / "models"
    enet = catalog.architectures()["enet"].path
    (path / "ours").mkdir(parents=True)
    (path / "ours" / "ours-s.py").write_text(enet.read_text())
    return path


@pytest.fixture
def install(tmp_path, fresh):
    """Install a package with entry points: as a folder of the path."""

    def installed(points, **files):
        site = tmp_path / "site"
        info = site / "pack_y-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pack_y\nVersion: 1.2\n")
        (info / "top_level.txt").write_text("pack_y\n")
        lines = [f"{name} = {value}" for name, value in points.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{plugins.GROUP}]", *lines, ""]))
        for name, text in {"__init__": "", **files}.items():
            path = site / "pack_y" / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        sys.path.insert(0, str(site))
        return site

    return installed


def test_a_folder(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["list", "--models", "models"]) == 0
    assert "ours-s" in capsys.readouterr().out
    assert plugins.FOLDERS not in os.environ
    assert "ours-s" not in catalog.architectures()
    words = ["--max-iters", "1", "--no-latency", "--device", "cpu"]
    assert main(["run", "ours-s", "enet", *words, "--models", "models"]) == 0
    stored, problems = Store(tmp_path / "results").scan()
    found = {each.record.architecture: each.record for each in stored}
    assert problems == []
    assert (found["ours-s"].method, found["ours-s"].source.kind, found["enet"].source) == ("ours", "folder", None)
    assert found["ours-s"].evaluations == found["enet"].evaluations


def test_its_published_figures_get_verdicts(folder, monkeypatch, capsys):
    enet = (catalog.config_root() / "enet" / "metafile.yaml").read_text()
    figure = next(
        each for each in catalog.references().values() if each.architecture == "enet" and each.metric == "params"
    )
    text = enet.replace("enet", "ours").replace("representative: ours", "representative: ours-s")
    text = text.replace("architecture: ours", "architecture: ours-s").replace("architectures: [ours]", "")
    (folder / "ours" / "metafile.yaml").write_text(text)
    monkeypatch.setenv(plugins.FOLDERS, str(folder))
    catalog.forget()
    assert "ours-s" in catalog.representatives()
    assert main(["list", "references", "--method", "ours"]) == 0
    assert figure.name.replace("enet", "ours") in capsys.readouterr().out
    main(["verify", "ours-s", "--cost"])
    assert "4 explained" in capsys.readouterr().out
    assert main(["show", "ours-s"]) == 0


@pytest.mark.parametrize("command", [["list"], ["show", "ours-s"], ["plan", "ours-s", "--device", "cpu"]])
def test_a_broken_metafile_is_said_once(command, folder, capsys):
    """Whatever the command reads; a named network is not concerned."""
    (folder / "ours" / "metafile.yaml").write_text("title: [")
    code = main([*command, "--models", str(folder)])
    printed = capsys.readouterr().err
    assert printed.count("metafile.yaml") == 1
    assert printed.startswith("segbench: warning: ")
    assert code == (2 if command == ["list"] else 0)


def test_names_that_are_taken(folder, capsys):
    (folder / "ours" / "enet.py").write_text(CONFIG)
    assert main(["list", "--models", str(folder)]) == 2
    printed = capsys.readouterr().err
    assert "the name enet is taken by" in printed
    assert printed.count("\n") == 1
    (folder / "ours" / "enet.py").unlink()
    (folder / "enet").mkdir()
    (folder / "enet" / "mine.py").write_text(CONFIG)
    assert main(["list", "--models", str(folder)]) == 2
    assert "enet: the name enet is taken by" in capsys.readouterr().err


def test_no_folder(tmp_path, fresh, capsys):
    for path, said in ((tmp_path / "absent", "is not a folder"), (tmp_path, "has no METHOD/ARCHITECTURE.py")):
        assert main(["list", "--models", str(path)]) == 2
        assert said in capsys.readouterr().err


def test_entry_points(install, tmp_path, monkeypatch, capsys):
    """A class, a function, an object, a config and a package of configs; only the object and the path are imported."""
    made = "from functools import partial\nfrom pathlib import Path\nfrom pack_y.net import Net\n"
    made += "small = partial(Net, width=4)\nCONFIG = Path(__file__).parent / 'zoo' / 'm' / 'fcn.py'\n"
    points = {"cls": "pack_y.net:Net", "small": "pack_y.made:small", "conf": "pack_y.made:CONFIG", "all": "pack_y.zoo"}
    install(points, net=NET, made=made, **{"zoo/__init__": "", "zoo/m/fcn": CONFIG})
    monkeypatch.chdir(tmp_path)
    found = {name: each for name, each in catalog.architectures().items() if each.kind}
    assert found.keys() == {"cls", "small", "conf", "fcn"}
    words = ["--max-iters", "1", "--no-latency", "--device", "cpu"]
    assert main(["run", "cls", "small", *words, "--model-args", "width=2"]) == 0
    assert "cls(width=2)" in capsys.readouterr().out
    stored, _ = Store(tmp_path / "results").scan()
    assert {each.record.source.kind for each in stored} == {"entry point"}
    assert main(["list"]) == 0
    assert "entry point pack_y.net:Net" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("pack_y.absent:Net", "there is no module pack_y.absent"),
        ("pack_y.broken:made", "ZeroDivisionError"),
        ("pack_y.net", "is not a package of configs: write pack_y.net:NAME"),
        ("pack_y.number:made", "is int, not a class, a function or a path"),
    ],
)
def test_an_entry_point_that_breaks_costs_one_line(value, said, install, capsys):
    install({"bad": value}, broken="made = 1 / 0", net=NET, number="made = 3")
    assert main(["list"]) == 0
    printed = capsys.readouterr()
    assert "enet" in printed.out
    assert printed.err.startswith("segbench: warning: entry point bad of pack_y is left out: ")
    assert said in printed.err
    assert printed.err.count("\n") == 1


def test_an_entry_point_of_a_name_that_is_taken(install, capsys):
    install({"enet": "pack_y.net:Net"}, net=NET)
    assert main(["show", "enet", "--json"]) == 0
    assert "the name enet is taken by" in capsys.readouterr().err
    assert catalog.architecture("enet").kind is None
