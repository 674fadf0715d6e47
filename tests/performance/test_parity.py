"""Parity with mmsegmentation's own training: what both train on, what is kept, and how it is compared."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import benchmark.registration  # noqa: F401
from benchmark.configs.compose import compose
from benchmark.datasets.shapes import Shapes
from benchmark.engine.session import Session
from benchmark.engine.step import prepared
from benchmark.errors import UserError
from benchmark.inputs.batches import sample

from mmseg.registry import MODELS  # isort: skip

SMOKE = "shapes_64x64_smoke"


@pytest.fixture
def parity(script):
    return script("parity")


@pytest.fixture
def call(parity, tmp_path, monkeypatch):
    """Calls the script for the embedded dataset; its exit code."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # as the script does, but not for the tests that follow

    def called(*words):
        return parity.main([*words, "-p", SMOKE, "--device", "cpu", "-o", str(tmp_path / "out.json")])

    return called


@pytest.fixture
def children(parity, monkeypatch):
    """Trainings in this process that take no time: theirs have 50, 51, ... % mIoU by seed, ours 0.1 more."""
    begun = []

    def run(command, seconds):
        (architecture, _, training, seed), place = command[2:6], command[command.index("-o") + 1]
        begun.append((architecture, training, int(seed)))
        args = parser_arguments(parity, place)
        kept = parity.load(args)
        cell = parity.ParityRun(architecture, training, int(seed))
        miou = 50 + 0.1 * int(seed) + 0.1 * (training == parity.OURS)
        parity.save(
            parity.Experiment(kept.settings, ["a machine"], {**kept.trainings, cell: parity.TrainedScore(miou, 1.0)}),
            args.output,
        )
        return 0

    monkeypatch.setattr(parity, "run", run)
    return begun


def parser_arguments(parity, place, **changed):
    settings = dict.fromkeys(parity.SETTINGS) | {"protocol": SMOKE, "split": "val", "device": "cpu"}
    settings |= {"deterministic": False, "resident": "auto", "compile": "auto"} | changed
    return SimpleNamespace(**settings, output=Path(place), root=None)


def test_the_peer_gets_the_same_pixels(script, tmp_path):
    """Without augmentation: images, labels and normalisation to the last bit, whatever the order of colours."""
    peer = script("peer")
    config = compose("enet", SMOKE, batch_size=2, max_iters=2)
    config.train_dataloader.dataset.augmentation.update(scale=(1.0, 1.0), flip=0.0, photometric=False)
    peer.write_split(config, tmp_path / "split")
    runner = peer.runner(config, tmp_path / "split", tmp_path / "work", workers=0)
    runner.model.data_preprocessor.eval()
    source = Shapes("train")
    dataset = runner.train_loop.dataloader.dataset
    assert len(dataset) == len(source) == 256
    for index in (0, 77):
        theirs = dataset[index]
        assert theirs["data_samples"].img_path.endswith(f"/{source.names[index]}.png")
        theirs = runner.model.data_preprocessor({name: [value] for name, value in theirs.items()}, training=True)
        images = torch.from_numpy(source.image(index).transpose(2, 0, 1).copy())[None]
        labels = torch.from_numpy(source.label(index))[None]
        ours = prepared({"inputs": images, "labels": labels}, MODELS.build(config.data_preprocessor))
        assert torch.equal(theirs["inputs"], ours["inputs"])
        assert np.array_equal(theirs["data_samples"][0].gt_sem_seg.data[0], labels[0])


def test_the_same_batches_train_to_the_same_weights(script, tmp_path):
    """Both loops, from the same weights: losses, gradients, optimizer and schedule leave nothing but rounding."""
    peer = script("peer")
    config = compose("espnet-c", SMOKE, max_iters=6, deterministic=True)
    peer.write_split(config, tmp_path / "split")
    runner = peer.runner(config, tmp_path / "split", tmp_path / "theirs", workers=0)
    session = Session(config, tmp_path / "ours")
    session.runner._val_loop = None
    runner.model.load_state_dict(session.runner.model.state_dict())
    before = {name: value.clone() for name, value in runner.model.state_dict().items()}
    batches = session.runner.train_loop.dataloader.dataset

    def blue_first():
        for i in range(6):
            images, labels = (batches[i][name] for name in ("inputs", "labels"))
            yield {"inputs": list(images.flip(1)), "data_samples": [sample(label.long()) for label in labels]}

    runner.train_loop.dataloader_iterator = blue_first()
    for each in (runner, session.runner):
        each.model.init_weights = lambda: None  # they have theirs
    runner.train()
    session.runner.train()
    ours = session.runner.model.state_dict()
    moved = [name for name, value in runner.model.state_dict().items() if value.is_floating_point()]
    assert len(moved) > 100
    assert not any(torch.allclose(before[name], ours[name], rtol=1e-3, atol=1e-5) for name in moved)
    for name in moved:
        torch.testing.assert_close(runner.model.state_dict()[name], ours[name], rtol=1e-3, atol=1e-5, msg=name)


def test_the_peer_gets_the_same_optimizer_schedule_and_augmentation(script, tmp_path):
    peer = script("peer")
    config = compose("enet", SMOKE, seed=3, max_iters=8)
    peer.write_split(config, tmp_path / "split")
    runner = peer.runner(config, tmp_path / "split", tmp_path / "work", workers=0)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    (group,) = runner.optim_wrapper.optimizer.param_groups
    assert type(runner.optim_wrapper.optimizer).__name__ == "AdamW"
    assert (group["lr"], group["weight_decay"], group["betas"]) == (3e-3, 1e-4, (0.9, 0.999))
    assert runner.optim_wrapper.clip_grad_kwargs == {"max_norm": 5.0}
    assert (runner.max_iters, runner.train_dataloader.batch_size, runner.seed) == (8, 4, 3)
    (schedule,) = runner.build_param_scheduler(runner.param_schedulers)
    assert (type(schedule).__name__, schedule.total_iters, schedule.power) == (
        "PolyLR",
        7,
        0.9,
    )  # steps after the first
    steps = {type(step).__name__: step for step in runner.train_dataloader.dataset.pipeline.transforms}
    assert list(steps) == [
        "LoadImageFromFile",
        "LoadAnnotations",
        "RandomResize",
        "RandomCrop",
        "RandomFlip",
        "PackSegInputs",
    ]
    assert (steps["RandomResize"].scale, steps["RandomResize"].ratio_range) == ((64, 64), (0.75, 1.5))
    assert (steps["RandomCrop"].crop_size, steps["RandomCrop"].cat_max_ratio) == ((64, 64), 1.0)
    assert steps["RandomFlip"].prob == 0.5


def test_what_has_no_peer_is_refused(script, two_stages, tmp_path):
    with pytest.raises(UserError, match="cannot be compared: it needs one stage"):
        script("peer").write_split(compose("enet", two_stages), tmp_path)


def test_both_are_trained_and_evaluated(parity, call, tmp_path):
    for training in (parity.THEIRS, parity.OURS):
        assert call("enet", "--max-iters", "2", "--cell", training, "0") == 0
    kept = json.loads((tmp_path / "out.json").read_text())
    assert [row["training"] for row in kept["trainings"]] == ["mmsegmentation", "segbench"]
    assert all(0 < row["miou"] < 30 and row["seconds"] > 0 for row in kept["trainings"])
    assert kept["settings"]["protocol"] == SMOKE


def test_an_experiment_goes_on_where_it_was_stopped(parity, call, children, capsys, monkeypatch):
    assert call("enet", "--seeds", "1") == 0
    assert children == [("enet", "mmsegmentation", 0), ("enet", "segbench", 0)]
    assert "the variance between seeds is unknown" in capsys.readouterr().out
    children.clear()
    assert call("enet", "espnet", "--seeds", "2", "--seconds", "0") == 3
    assert children == []
    assert "time limit reached before mmsegmentation had trained espnet with seed 0" in capsys.readouterr().out
    assert call("enet", "espnet", "--seeds", "2") == 0
    assert len(children) == 6
    assert ("enet", "segbench", 0) not in children
    table = capsys.readouterr().out.splitlines()[-2:]
    assert table[0].startswith("| `enet` | 50.00, 50.10 | 50.10, 50.20 | +0.10, ")
    assert all(row.endswith(" |") and "| yes, p = 0.0" in row for row in table)


def test_a_training_that_fails_is_named_and_the_others_go_on(parity, call, children, capsys, monkeypatch):
    run = parity.run
    monkeypatch.setattr(
        parity, "run", lambda command, seconds: 1 if "mmsegmentation" in command else run(command, seconds)
    )
    assert call("enet", "--seeds", "2") == 1
    assert "enet, mmsegmentation, 0, failed with exit code 1" in capsys.readouterr().out
    assert children == [("enet", "segbench", 0), ("enet", "segbench", 1)]


def test_a_child_trains_what_it_is_told_to(parity, call, monkeypatch):
    commands = []
    monkeypatch.setattr(parity, "run", lambda command, seconds: commands.append(command) or 1)
    words = [
        "--max-iters",
        "4",
        "--precision",
        "bfloat16",
        "--peer-precision",
        "float32",
        "--compile",
        "on",
        "--deterministic",
    ]
    assert call("enet", "--seeds", "1", *words) == 1
    monkeypatch.setattr(parity, "train", lambda cell, args: commands.append((cell, args)))
    theirs, ours = commands[:2]
    assert parity.main(theirs[2:]) == parity.main(ours[2:]) == 0
    (first, args), (second, _) = commands[2:]
    assert (first, second) == (parity.ParityRun("enet", parity.THEIRS, 0), parity.ParityRun("enet", parity.OURS, 0))
    assert (args.protocol, args.max_iters, args.compile, args.deterministic) == (SMOKE, 4, "on", True)
    assert (args.precision, args.peer_precision) == ("bfloat16", "float32")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("not JSON", "is not an experiment of this script"),
        ('{"settings": {}}', "is not an experiment of this script"),
        (
            '{"settings": {"protocol": "camvid"}, "hardware": [], "trainings": []}',
            "have other settings (protocol is camvid",
        ),
    ],
)
def test_a_file_that_is_not_of_this_experiment(call, tmp_path, capsys, content, line):
    (tmp_path / "out.json").write_text(content)
    assert call("enet") == 2
    error = capsys.readouterr().err
    assert error.startswith("parity: error: ")
    assert line in error
    assert error.count("\n") == 1
    assert (tmp_path / "out.json").read_text() == content


def test_mistakes_are_told_before_anything_is_trained(parity, call, children, capsys):
    for words, line in (
        (["ennet"], "unknown architecture 'ennet'"),
        (["enet", "--seeds", "0"], "--seeds must be at least 1"),
        (["enet", "--margin", "0"], "--margin must be above 0"),
        (["enet", "--precision", "float64"], "unknown precision 'float64'"),
        (["enet", "--precision", "bfloat16"], "mmsegmentation computes on a CPU in float32 only"),
    ):
        assert call(*words) == 2
        assert line in capsys.readouterr().err
    assert children == []


def test_the_difference_is_tested_with_the_variance_of_both_and_of_all(parity):
    def trainings(**scores):
        return {
            parity.ParityRun(name, training, seed): parity.TrainedScore(miou, 1.0)
            for name, sides in scores.items()
            for training, side in zip((parity.THEIRS, parity.OURS), sides, strict=True)
            for seed, miou in enumerate(side)
        }

    alike = trainings(enet=([21.2, 21.8], [21.4, 21.7, 20.5]), espnet=([28.55, 26.98, 28.27], [29.57, 27.56, 27.03]))
    found = parity.compared(alike, margin=3.0)
    assert {name: each.finding for name, each in found.items()} == {"enet": "reproduced", "espnet": "reproduced"}
    assert found["espnet"].difference == pytest.approx(0.12)
    # Two architectures are too few to tell each other's noise: the interval is that of an architecture's own seeds.
    assert np.ptp(found["enet"].interval) < np.ptp(found["espnet"].interval)
    apart = parity.compared(trainings(enet=([20.0, 20.1, 20.2], [23.0, 23.1, 23.2])), margin=1.0)
    assert apart["enet"].finding == "differs above"
    assert "| no |" in parity.table(trainings(enet=([20.0, 20.1, 20.2], [23.0, 23.1, 23.2])), 1.0)
    assert parity.compared(trainings(enet=([20.0], [])), margin=1.0) == {}
