"""The printed config under mmengine's Runner, driven by mmsegmentation's own `tools/train.py` and `tools/test.py`."""

import json
import re
import runpy
import sys
from pathlib import Path
from uuid import uuid4

import mmseg
import numpy as np
import pytest
import torch
from mmengine import Config
from mmengine.runner import Runner
from mmseg.registry import DATASETS
from PIL import Image

from benchmark.cli import main
from benchmark.configs.compose import compose
from benchmark.confusion import count, scores
from benchmark.datasets.catalog import open_splits
from benchmark.errors import UserError
from benchmark.weights import checkpoint

TOOLS = Path(mmseg.__file__).parent / ".mim" / "tools"
LOSS = re.compile(r"Iter\(train\) \[(\d+)/(\d+)\].* loss: \d")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """mmengine runs compilers for a survey of the machine, and names runs by the second, which share state then."""
    monkeypatch.setattr("mmengine.runner.runner.collect_env", dict)
    monkeypatch.setenv("LOCAL_RANK", "0")  # which the tools set


@pytest.fixture
def printed(tmp_path, capsys):
    """The file that `segbench config enet` prints, of sixteen iterations."""
    assert main(["config", "enet"]) == 0
    file = tmp_path / "enet.py"
    file.write_text(capsys.readouterr().out)
    return file


@pytest.fixture
def tool(printed, monkeypatch):
    """mmsegmentation's tools on the printed config: name, arguments, and pairs of `--cfg-options`."""

    def call(name, *arguments, **options):
        pairs = [f"experiment_name={uuid4().hex}", *(f"{key.replace('__', '.')}={options[key]}" for key in options)]
        monkeypatch.setattr("sys.argv", [name, str(printed), *map(str, arguments), "--cfg-options", *pairs])
        return runpy.run_path(str(TOOLS / name), run_name="__main__")

    return call


def _scalars(work_dir):
    """What was written by iteration, in the order of the file; of the latest start."""
    latest = max(work_dir.glob("*/vis_data/scalars.json"), key=lambda path: path.stat().st_mtime_ns)
    return [json.loads(line) for line in latest.read_text().splitlines()]


def _runner(file, work_dir, **options):
    config = Config.fromfile(file)
    config.merge_from_dict({"work_dir": str(work_dir), "experiment_name": uuid4().hex, **options})
    return Runner.from_cfg(config)


def _state(file):
    return checkpoint.read(file).state


def _equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_overridden_iterations_are_obeyed_and_scores_are_written(tool, tmp_path):
    tool("train.py", "--work-dir", tmp_path / "w", train_cfg__max_iters=2)
    train, val = _scalars(tmp_path / "w")
    assert (train["step"], train["iter"]) == (2, 2)
    assert train["loss"] > 0
    assert train["lr"] > 0
    assert val["step"] == 2
    assert 0 <= val["mIoU"] <= 100
    assert {"mAcc", "aAcc"} <= val.keys()
    (log,) = (tmp_path / "w").glob("*/*.log")
    text = log.read_text()
    assert LOSS.findall(text) == [("2", "2")]
    assert re.search(r"Iter\(val\) \[1/1\].* mIoU: \d", text)
    found = {path.name for path in (tmp_path / "w").glob("*.pth")}
    assert found == {"iter_2.pth", "last.pth", "best.pth"}


def test_more_iterations_than_were_printed(printed, tool, tmp_path):
    printed.write_text(compose("enet", "shapes_64x64_smoke", max_iters=1).pretty_text)
    tool("train.py", "--work-dir", tmp_path / "w", train_cfg__max_iters=3)
    assert {line["step"] for line in _scalars(tmp_path / "w") if "loss" in line} == {3}
    assert [line["step"] for line in _scalars(tmp_path / "w") if "mIoU" in line] == [1, 2, 3]


def test_iterations_set_on_the_config(printed, tmp_path):
    config = Config.fromfile(printed)
    config.train_cfg.max_iters = 1
    config.work_dir = str(tmp_path)
    runner = Runner.from_cfg(config)
    runner.train()
    assert runner.iter == 1


def test_options_of_hooks_and_optimizer(tool, tmp_path):
    tool(
        "train.py",
        "--work-dir",
        tmp_path,
        train_cfg__max_iters=3,
        train_cfg__val_interval=2,
        optim_wrapper__optimizer__lr=0.01,
        default_hooks__logger__interval=1,
        default_hooks__checkpoint__interval=1,
        default_hooks__checkpoint__save_best="mIoU",
    )
    lines = _scalars(tmp_path)
    assert [(line["step"], "loss" in line) for line in lines] == [(1, 1), (2, 1), (2, 0), (3, 1), (3, 0)]
    assert lines[0]["lr"] == 0.01
    names = {path.name for path in tmp_path.glob("*.pth")}
    assert {"iter_1.pth", "iter_2.pth", "iter_3.pth"} < names
    best = max((line for line in lines if "mIoU" in line), key=lambda line: line["mIoU"])["step"]
    assert f"best_mIoU_iter_{best}.pth" in names


def test_seed_and_batch_size_are_those_of_the_batches(printed, tmp_path):
    options = {"randomness.seed": 5, "train_dataloader.batch_size": 2}
    found = _runner(printed, tmp_path / "w", **options).train_loop.dataloader
    batches = compose("enet", "shapes_64x64_smoke", seed=5, batch_size=2).train_dataloader.dataset
    plain = _runner(printed, tmp_path / "w").train_loop.dataloader
    one, same, other = next(iter(found))["inputs"], DATASETS.build(batches)[0]["inputs"], next(iter(plain))["inputs"]
    assert len(one) == 2
    assert torch.equal(one, same)
    assert len(other) == 4
    assert not torch.equal(one, other[:2])


def test_a_resumed_training_equals_an_uninterrupted_one(tool, tmp_path):
    tool("train.py", "--work-dir", tmp_path / "whole", train_cfg__max_iters=3)
    tool("train.py", "--work-dir", tmp_path / "parts", train_cfg__max_iters=2)
    tool("train.py", "--work-dir", tmp_path / "parts", "--resume", train_cfg__max_iters=3)
    assert [line["step"] for line in _scalars(tmp_path / "parts")][-2:] == [3, 3]  # a file for both within a second
    assert _equal(*(_state(tmp_path / part / "last.pth") for part in ("whole", "parts")))


def test_initial_weights_start_at_the_first_iteration(tool, tmp_path):
    tool("train.py", "--work-dir", tmp_path / "one", train_cfg__max_iters=2)
    start = tmp_path / "one" / "iter_2.pth"
    tool("train.py", "--work-dir", tmp_path / "two", load_from=start, train_cfg__max_iters=1)
    assert [line["step"] for line in _scalars(tmp_path / "two")] == [1, 1]
    assert not _equal(_state(tmp_path / "two" / "last.pth"), _state(start))
    with pytest.raises(UserError, match="weights and no state to resume"):
        tool("train.py", "--work-dir", tmp_path / "two", "--resume", load_from=tmp_path / "one" / "last.pth")


def test_early_stopping(printed, tmp_path):
    config = Config.fromfile(printed)
    config.work_dir = str(tmp_path)
    config.train_cfg.update(max_iters=5, val_interval=1)
    config.custom_hooks.append(
        {"type": "EarlyStoppingHook", "monitor": "mIoU", "patience": 1, "min_delta": 100}  # never better
    )
    runner = Runner.from_cfg(config)
    runner.train()
    assert runner.iter == 2
    assert (tmp_path / "last.pth").exists()


def test_the_first_validations_can_be_left_out(printed, tmp_path):
    _runner(printed, tmp_path, train_cfg={"max_iters": 3, "val_interval": 1, "val_begin": 3}).train()
    assert [line["step"] for line in _scalars(tmp_path) if "mIoU" in line] == [3]


def test_scores_on_val_and_test(printed, tool, tmp_path, monkeypatch):
    runner = _runner(printed, tmp_path / "w", **{"train_cfg.max_iters": 1})
    runner.train()
    weights, train_loop = tmp_path / "w" / "last.pth", "benchmark.engine.loop.StatelessTrainLoop.__init__"
    on_val, on_test = runner.val(), runner.test()
    assert on_val["mIoU"] == _scalars(tmp_path / "w")[-1]["mIoU"]

    monkeypatch.setattr(train_loop, lambda *_, **__: pytest.fail("an evaluation reads no training data"))
    for file in ("last.pth", "iter_1.pth"):
        assert _runner(printed, tmp_path, load_from=str(tmp_path / "w" / file)).test() == on_test
    tool("test.py", weights, "--work-dir", tmp_path / "t", "--out", tmp_path / "out")
    (report,) = (tmp_path / "t").glob("*/*.json")
    assert json.loads(report.read_text())["mIoU"] == on_test["mIoU"]

    split = open_splits("shapes", None)["test"]
    predictions = [np.array(Image.open(tmp_path / "out" / f"{name}.png")) for name in split.names]
    labels = [split.label(index) for index in range(len(split))]
    counts = np.stack([count(*pair, len(split.classes)) for pair in zip(predictions, labels, strict=True)])
    assert scores(counts).miou == on_test["mIoU"]


def test_drawn_predictions(tool, tmp_path, printed):
    runner = _runner(printed, tmp_path / "w")
    runner.load_or_resume()
    checkpoint.save(runner.model, tmp_path / "weights.pth")
    tool(
        "test.py",
        *(tmp_path / "weights.pth", "--work-dir", tmp_path / "t", "--show-dir", tmp_path / "shown"),
        default_hooks__visualization__interval=30,
    )
    names = sorted(path.name for path in (tmp_path / "shown").rglob("*.png"))
    assert names == ["test_test_0029_0.png", "test_test_0059_0.png"]


def test_own_modules_are_found_from_any_folder(tmp_path, monkeypatch, capsys):
    (tmp_path / "parts_of_a_runner.py").write_text("LOADED = True\n")
    mine = tmp_path / "mine.py"
    mine.write_text(
        '_base_ = "mmseg::_base_/models/fcn_unet_s5-d16.py"\ncustom_imports = dict(imports=["parts_of_a_runner"])\n'
    )
    path = list(sys.path)
    assert main(["config", str(mine)]) == 0
    monkeypatch.setattr(sys, "path", path)  # as in another process
    monkeypatch.delitem(sys.modules, "parts_of_a_runner")
    (tmp_path / "printed.py").write_text(capsys.readouterr().out)
    config = Config.fromfile(tmp_path / "printed.py")
    assert sys.modules["parts_of_a_runner"].LOADED
    assert config.model.type == "EncoderDecoder"
