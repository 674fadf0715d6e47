"""`segbench protocol new`, and a protocol of a file in every command that names one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import segbench as sb
from benchmark.catalog import catalog
from benchmark.cli import main
from benchmark.configs import compose
from benchmark.errors import UserError

SMOKE = "shapes_64x64_smoke"


def new(*words: str) -> int:
    return main(["protocol", "new", *words])


def show(capsys, *words: str) -> dict:
    capsys.readouterr()
    assert main(["show", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["protocol"]


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def card(tmp_path):
    """A dataset card of three classes, 8 images of 32x40."""
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for number in range(8):
        label = rng.integers(0, 3, (4, 5), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        Image.fromarray(label).save(f"data/labels/{number}.png")
        Image.fromarray(np.stack([label * 80] * 3, axis=-1)).save(f"data/images/{number}.png")
    words = ["--images", "data/images", "--labels", "data/labels", "--classes", "a,b,c", "--fractions", "50,25,25"]
    assert main(["data", "add", "tiles", *words, "--statistics"]) == 0
    return Path("tiles.yaml")


@pytest.mark.parametrize("like", catalog.protocols())
def test_a_new_file_changes_what_was_asked_for_and_nothing_else(like, capsys):
    assert new("mine", "--like", like, "--size", "65x97", "--max-iters", "40", "--batch-size", "2") == 0
    changed, base = show(capsys, "mine.py"), show(capsys, like)
    assert changed["size"] == changed["crop_size"] == [65, 97]
    assert (changed["iterations"], changed["batch_size"]) == (40, 2)
    share = base["validation_interval"] / base["iterations"]
    assert changed["validation_interval"] == max(1, round(40 * share))
    same = ("dataset", "optimizer", "learning_rate", "precision", "pretraining", "normalisation")
    assert [changed[key] for key in same] == [base[key] for key in same]
    assert max(map(len, Path("mine.py").read_text().splitlines())) <= 120
    if changed["evaluation"]["inference"]["mode"] == "slide":
        assert changed["evaluation"]["inference"]["crop_size"] == [65, 97]


def test_without_options_it_is_the_base(capsys):
    assert new("mine", "--like", SMOKE, "--out", "deep/er") == 0
    assert new("theirs", "--like", "deep/er/mine.py", "--out", "elsewhere") == 0
    assert '_base_ = "../deep/er/mine.py"' in Path("elsewhere/theirs.py").read_text()
    ours, theirs = show(capsys, SMOKE), show(capsys, "elsewhere/theirs.py")
    differing = {key for key in ours if ours[key] != theirs[key]}
    assert differing == {"name", "summary", "file", "fingerprint"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mine", "--like", SMOKE], "mine.py exists"),
        ([SMOKE.upper(), "--like", SMOKE], "is a protocol of segbench"),
        (["weights", "--like", SMOKE], "is a folder of results that is not a protocol's"),
        (["..", "--like", SMOKE], "cannot be the name of a protocol"),
        (["mine_", "--like", SMOKE], "a letter or digit first and last"),
        (["a/b", "--like", SMOKE], "name the folder with --out"),
        (["other", "--like", "nosuch"], "unknown protocol 'nosuch'"),
        (["other", "--like", SMOKE, "--size", "64"], "--size 64: give height and width"),
        (["other", "--like", SMOKE, "--data", "no.yaml"], "no.yaml cannot be read"),
    ],
)
def test_what_cannot_be_written_is_one_line(words, message, capsys):
    Path("mine.py").write_text("mine")
    assert new(*words) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["mine.py"]
    assert Path("mine.py").read_text() == "mine"


@pytest.mark.parametrize("like", ["voc12aug_512x512_20k", "camvid_360x480_espnet", SMOKE])
def test_the_data_of_a_card_replaces_those_of_any_protocol(like, card, capsys):
    assert new("mine", "--like", like, "--data", str(card), "--size", "32x32", "--out", "sub") == 0
    found = show(capsys, "sub/mine.py")
    assert (found["dataset"]["name"], found["dataset"]["images"]) == ("tiles", {"train": 4, "val": 2, "test": 2})
    assert len(found.get("class_weights", [0] * 4)) == 4  # with one for the void output
    assert found["crop_size"] == [32, 32]
    assert found["fingerprint"]


def test_card_protocol_run_report(card, capsys):
    assert new("mine", "--like", SMOKE, "--data", str(card), "--max-iters", "2", "--batch-size", "2") == 0
    fingerprint = show(capsys, "mine.py")["fingerprint"]
    words = ["run", "espnet-c", "-p", "mine.py", "--no-latency", "--device", "cpu", "--executor", "debug"]
    assert main(words) == 0
    assert main(words) == 0
    said = capsys.readouterr()
    assert "mine (fingerprint" in said.out
    assert "skipped" in said.err
    (path,) = Path("results/mine/espnet-c").glob("*.json")
    record = json.loads(path.read_text())
    assert (record["protocol"]["name"], record["protocol"]["fingerprint"]) == ("mine", fingerprint)
    assert record["protocol"]["overrides"] == {}
    assert record["dataset"]["name"] == "tiles"
    assert main(["validate", "--recount"]) == 0
    for name in ("mine", "mine.py"):
        assert main(["leaderboard", "-p", name]) == 0
        assert main(["verify", "-p", name]) == 0
    assert len(sb.load_results().leaderboard("mine.py")) == 1
    assert "mine" in Path("reports/index.html").read_text()

    capsys.readouterr()
    assert main(["rerun", str(path)]) == 2
    assert "name it with -p path/to/mine.py" in capsys.readouterr().err
    assert main(["rerun", str(path), "-p", "mine.py"]) == 0
    assert "reproduced bitwise" in capsys.readouterr().out
    Path("mine.py").write_text(Path("mine.py").read_text().replace("batch_size=2", "batch_size=3"))
    assert main(["rerun", str(path), "-p", "mine.py"]) == 2
    assert "batch" in capsys.readouterr().err


def test_names_of_files():
    ours = catalog.protocol(SMOKE)
    assert catalog.protocol(str(ours.path)) == ours
    Path("mine.py").write_text("")
    with pytest.raises(UserError, match=r"did you mean the file mine\.py"):
        catalog.protocol("mine")
    for stem in (SMOKE, "Weights", "a b", "-a", "a.py", "a" * 101, "ä"):
        Path(f"{stem}.py").write_text("")
        with pytest.raises(UserError, match="rename the file"):
            catalog.protocol(f"{stem}.py")
    with pytest.raises(UserError, match=r"no\.py: there is no such file"):
        catalog.protocol("no.py")


def test_a_base_is_found_from_any_folder(tmp_path, monkeypatch):
    assert new("mine", "--like", SMOKE) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert compose.read_protocol("../mine.py").protocol.dataset == "shapes"
