"""Trackers show the curves of a training, which neither depends on them nor fails with them."""

import json
import sys
import time
from importlib.util import find_spec
from types import SimpleNamespace

import pytest

from benchmark.cli import main
from benchmark.configs.compose import compose
from benchmark.engine import tracking
from benchmark.engine.hooks import DeadlineHook, Interrupted
from benchmark.engine.session import Session
from benchmark.engine.tracking import Tracking

RUN = ["run", "enet", "--max-iters", "2", "--val-interval", "1", "--no-latency", "--executor", "debug"]


@pytest.fixture
def wandb(monkeypatch):
    """A module in place of wandb's, and what it was told."""
    told = []
    module = SimpleNamespace(
        init=lambda **arguments: told.append(("init", arguments)),
        define_metric=lambda **arguments: told.append(("define_metric", arguments)),
        log=lambda scalars, commit: told.append(("log", scalars)),
        finish=lambda: told.append(("finish", None)),
        told=told,
    )
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    return module


def _session(folder, tracker=None, **settings):
    config = compose("enet", "shapes_64x64_smoke", max_iters=3, val_interval=1, deterministic=True)
    to = Tracking.of(tracker, folder, "shapes_64x64_smoke", "enet", 0, "id")
    return Session(config, folder / "run", tracking=to, **settings)


def _curves(folder):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    return {name: [(each.step, each.value) for each in events.Scalars(name)] for name in events.Tags()["scalars"]}


def test_a_run_in_tensorboard(tmp_path, monkeypatch, capsys):
    pytest.importorskip("tensorboard")
    monkeypatch.chdir(tmp_path)
    command = [each for each in RUN if each not in ("--executor", "debug")]
    assert main([*command, "--track", "tensorboard"]) == 0
    assert "tensorboard --logdir work_dirs/tensorboard" in capsys.readouterr().err
    (path,) = (tmp_path / "results").glob("*/enet/*.json")
    record = json.loads(path.read_text())
    (folder,) = (tmp_path / "work_dirs" / "tensorboard").iterdir()
    assert folder.name == f"shapes_64x64_smoke-enet-seed-0-{record['run_id']}"
    curves = _curves(folder)
    training = record["training"]
    assert [step for step, _ in curves["lr"]] == [2]
    assert curves["loss"] == [(step, pytest.approx(loss)) for step, loss in training["loss"]]
    assert curves["mIoU"] == [(step, pytest.approx(miou)) for step, miou in training["val_miou"]]

    before = path.read_bytes()
    assert main(command) == 0  # it is the same run
    assert path.read_bytes() == before


def test_an_interrupted_training_continues_its_curves_and_keeps_its_bits(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    whole = _session(tmp_path / "whole").train()
    late = iter([False, False, True])
    monkeypatch.setattr(DeadlineHook, "_is_over", lambda hook: next(late))
    with pytest.raises(Interrupted):
        _session(tmp_path / "parts", "tensorboard", deadline=time.monotonic()).train()
    monkeypatch.undo()
    trained = _session(tmp_path / "parts", "tensorboard", resume=True).train()
    assert trained.last.read_bytes() == whole.last.read_bytes()
    (folder,) = (tmp_path / "parts" / "tensorboard").iterdir()
    assert [step for step, _ in _curves(folder)["mIoU"]] == [1, 2, 3]
    restarted = _session(tmp_path / "parts", "tensorboard")
    restarted.train()
    assert [step for step, _ in _curves(folder)["mIoU"]] == [1, 2, 3]  # those of the earlier training are gone


def test_wandb_is_offline_and_has_iterations(wandb, tmp_path):
    session = _session(tmp_path, "wandb")
    trained = session.train()
    val_miou = list(trained.val_miou)
    session.evaluate("val")  # no point of the curve
    kinds = [kind for kind, _ in wandb.told]
    assert kinds == ["init", "define_metric", *["log"] * 4, "finish"]
    assert wandb.told[0][1]["mode"] == "offline"
    assert wandb.told[0][1]["dir"] == str(tmp_path / "wandb")
    logged = [scalars for kind, scalars in wandb.told if kind == "log"]
    assert [(each["iteration"], each["mIoU"]) for each in logged if "mIoU" in each] == val_miou
    assert [(each["iteration"], each["loss"]) for each in logged if "loss" in each] == trained.loss


@pytest.mark.parametrize("broken", ["init", "log", "finish"])
def test_a_training_does_not_fail_with_its_tracker(wandb, tmp_path, capsys, broken):
    def fails(*_, **__):
        raise OSError("no space left")

    setattr(wandb, broken, fails)
    trained = _session(tmp_path, "wandb").train()
    assert [iteration for iteration, _ in trained.val_miou] == [1, 2, 3]
    assert capsys.readouterr().err.count("segbench: warning: wandb stopped tracking: no space left") == 1


@pytest.mark.parametrize("command", [RUN, ["train", "enet"]])
def test_a_tracker_that_is_not_installed_is_told_at_once(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tracking, "find_spec", lambda name: None if name == "mlflow" else find_spec(name))
    assert main([*command, "--track", "mlflow"]) == 2
    error = capsys.readouterr().err
    assert error.splitlines() == [
        'segbench: error: --track mlflow needs mlflow: run `python -m pip install "segbench[mlflow]"`'
    ]
    assert not list(tmp_path.rglob("*.pth"))


def test_the_folder_of_the_work_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://there")
    assert "http://there" in tracking.viewer("mlflow", tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert f"sqlite:///{tmp_path}/mlflow/mlflow.db" in tracking.viewer("mlflow", tmp_path)
    to = Tracking.of("wandb", tmp_path, "p", "smp:Unet/resnet34", 1, "id")
    assert to.run == "p-smp+Unet+resnet34-seed-1-id"
    assert to.first_stage.run == "p-smp+Unet+resnet34-seed-1-id-first_stage"
    assert Tracking.of(None, tmp_path, "p", "enet", 0) is None
