"""Predictions of another program become a result, with the scores of an independent count."""

import json

import numpy as np
import pytest
from PIL import Image

from benchmark.cli import main
from benchmark.datasets.catalog import open_splits
from benchmark.results.store import Store
from benchmark.results.validate import validate

PROTOCOL = "shapes_64x64_smoke"


@pytest.fixture(scope="module")
def test_split():
    return open_splits("shapes", None)["test"]


@pytest.fixture
def predicted(tmp_path, test_split):
    """Writes label maps that are wrong in a tenth of the pixels: `predicted(form)` returns the folder and the maps."""

    def write(form="index"):
        folder, rng, maps = tmp_path / "predictions", np.random.default_rng(0), []
        folder.mkdir()
        for index, name in enumerate(test_split.names):
            label = test_split.label(index)
            noise = rng.integers(0, len(test_split.classes), label.shape)
            chosen = np.where((rng.random(label.shape) < 0.1) | (label == 255), noise, label).astype(np.uint8)
            maps.append(chosen)
            path = folder / f"{name}.png"
            if form == "npy":
                np.save(path.with_suffix(".npy"), chosen.astype(np.int64))
            elif form == "colour":
                Image.fromarray(np.array(test_split.palette, np.uint8)[chosen]).save(path)
            else:
                image = Image.fromarray(chosen)
                if form == "palette":
                    image.putpalette(np.array(test_split.palette, np.uint8).ravel().tolist())
                image.save(path)
        return folder, maps

    return write


def miou(maps, split):
    """By definition, class by class."""
    labels = [split.label(index) for index in range(len(split))]
    found = []
    for c in range(len(split.classes)):
        hit = sum(int(((m == c) & (t == c)).sum()) for m, t in zip(maps, labels, strict=True))
        union = sum(int((((m == c) & (t != 255)) | (t == c)).sum()) for m, t in zip(maps, labels, strict=True))
        if union:
            found.append(hit / union)
    return 100 * float(np.mean(found))


@pytest.mark.parametrize("form", ["index", "palette", "colour", "npy"])
def test_scores_are_those_of_an_independent_count(form, predicted, test_split, tmp_path, capsys):
    folder, maps = predicted(form)
    results = tmp_path / "results"
    words = ["score", str(folder), "-p", PROTOCOL, "--name", "mynet", "--results", str(results)]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["miou"] == pytest.approx(miou(maps, test_split), abs=1e-9)
    assert validate(results) == (1, [])
    (stored,), problems = Store(results).scan()
    assert (stored.record.method, stored.record.status, problems) == ("external", "ok", [])


def test_it_joins_the_leaderboard_of_the_protocol(predicted, tmp_path, capsys):
    """In the table of the same fingerprint as runs of this suite, and marked there."""
    results = ["--results", str(tmp_path / "results")]
    assert main(["score", str(predicted()[0]), "-p", PROTOCOL, "--name", "mynet", "--seed", "1", *results]) == 0
    assert "mIoU " in capsys.readouterr().out
    for format in ("table", "markdown", "latex", "csv"):
        assert main(["leaderboard", "-p", PROTOCOL, "--format", format, *results]) == 0
        printed = capsys.readouterr().out
        assert ("mynet (external)" in printed) == (format != "csv")
        assert "mynet" in printed
    assert main(["report", *results, "--output", str(tmp_path / "reports")]) == 0
    assert "mynet (external)" in (tmp_path / "reports" / "index.html").read_text()
    (stored,), _ = Store(tmp_path / "results").scan()
    from benchmark.execution.spec import Spec

    assert stored.record.protocol.fingerprint == Spec("enet", PROTOCOL, 1, "cpu").identity.fingerprint


COSTS = ["--params", "360000", "--macs", "4000000", "--latency", "3.5", "--latency-device", "NVIDIA H100"]


def test_stated_costs_are_shown_as_stated(predicted, tmp_path, capsys):
    """They are in the tables and valid, and get no mark and no verdict of speed."""
    results = ["--results", str(tmp_path / "results")]
    assert main(["score", str(predicted()[0]), "-p", PROTOCOL, "--name", "mynet", *COSTS, *results]) == 0
    assert validate(tmp_path / "results") == (1, [])
    capsys.readouterr()
    assert main(["leaderboard", "-p", PROTOCOL, "--format", "json", *results]) == 0
    (row,) = [row for row in json.loads(capsys.readouterr().out)[0]["rows"] if row["architecture"] == "mynet"]
    assert (row["params"], row["macs"], row["latency_ms"], row["latency_ratio"]) == (360000, 4000000, 3.5, None)
    assert (row["latency_unsteady"], row["device"]) == ("stated, not measured", "NVIDIA H100")
    assert "latency_ms" not in row["best"]
    assert main(["report", *results, "--output", str(tmp_path / "reports")]) == 0
    assert "costs, if any, are as stated: mynet" in (tmp_path / "reports" / "index.html").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--macs", "5"], "--macs needs --params"),
        (["--latency", "5"], "--latency and --latency-device are given together"),
        (["--latency-device", "NVIDIA H100"], "--latency and --latency-device are given together"),
        (["--latency", "5", "--latency-device", " "], "--latency-device: the name of a processor"),
    ],
)
def test_costs_are_checked(words, said, tmp_path, capsys):
    assert main(["score", str(tmp_path), "-p", PROTOCOL, "--name", "mynet", *words]) == 2
    assert said in capsys.readouterr().err


def spoil(folder, kind):
    first = sorted(folder.iterdir())[0]
    if kind == "missing":
        first.unlink()
    elif kind == "size":
        Image.fromarray(np.zeros((32, 64), np.uint8)).save(first)
    elif kind == "class":
        Image.fromarray(np.full((64, 64), 77, np.uint8)).save(first)
    elif kind == "colour":
        Image.fromarray(np.full((64, 64, 3), 77, np.uint8)).save(first)
    elif kind == "broken":
        first.write_bytes(b"no image")
    elif kind == "float":
        first.unlink()
        np.save(first.with_suffix(".npy"), np.zeros((64, 64)))
    elif kind == "twice":
        (folder / "more").mkdir()
        (folder / "more" / first.name).write_bytes(first.read_bytes())


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing", "has no prediction of"),
        ("size", "32x64 pixels, but the label of"),
        ("class", "value 77 is not a class; classes are 0 to"),
        ("colour", "the colour (77, 77, 77) is not that of a class of the dataset"),
        ("broken", "cannot be read"),
        ("float", "is float64 of shape [64, 64], not integers of height x width"),
        ("twice", "are predictions of one image"),
    ],
)
def test_mistakes_are_one_line(kind, said, predicted, tmp_path, capsys):
    folder, _ = predicted()
    spoil(folder, kind)
    assert main(["score", str(folder), "-p", PROTOCOL, "--name", "mynet", "--results", str(tmp_path / "r")]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("name", ["enet", "a/b", "", "-x"])
def test_names(name, predicted, tmp_path, capsys):
    assert main(["score", str(tmp_path), "-p", PROTOCOL, f"--name={name}", "--results", str(tmp_path / "r")]) == 2
    assert "--name" in capsys.readouterr().err
