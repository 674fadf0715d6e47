"""What cannot work is said before a run starts, and nothing else is."""

import pytest

from benchmark.catalog import catalog
from benchmark.cli import main
from benchmark.configs import compose
from benchmark.errors import UserError
from benchmark.execution import feasibility

PROTOCOL = "shapes_64x64_smoke"


def test_every_representative_is_feasible():
    for name in catalog.representatives():
        feasibility.check(compose.compose(name, PROTOCOL), name)


@pytest.mark.parametrize(
    "name", ["pspnet_r50-d8", "deeplabv3_r50-d8", "liteseg_mobilenetv2", "pointrend_deeplabv3_r50"]
)
def test_batch_normalization_of_a_single_value(name):
    with pytest.raises(
        UserError, match=f"{name}: cannot be trained with a batch of one image of 64x64: .* --batch-size 2"
    ):
        feasibility.check(compose.compose(name, PROTOCOL, batch_size=1), name)
    feasibility.check(compose.compose(name, PROTOCOL, batch_size=2), name)


@pytest.mark.parametrize("name", ["enet", "fcn_r50-d8", "context-pointrend_r50-d8"])
def test_one_image_is_enough_without_it(name):
    feasibility.check(compose.compose(name, PROTOCOL, batch_size=1), name)


def test_both_stages_are_checked():
    config = compose.compose("espnet", "camvid_360x480_espnet")
    feasibility.check(config, "espnet")
    config.first_stage.model.decode_head.type = "Absent"
    with pytest.raises(UserError, match="espnet: cannot be built"):
        feasibility.check(config, "espnet")


def test_a_run_and_a_training_are_refused(tmp_path, monkeypatch, capsys):
    """With exit code 2, in one line, and before any file is written."""
    monkeypatch.chdir(tmp_path)
    for command in ("run", "train", "plan"):
        assert main([command, "pspnet_r50-d8", "--batch-size", "1", "--device", "cpu"]) == 2
        printed = capsys.readouterr()
        assert printed.err.startswith("segbench: error: pspnet_r50-d8: cannot be trained with a batch of one image")
        assert printed.err.count("\n") == 1
    assert not list(tmp_path.rglob("*.json"))


def test_the_others_are_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["--batch-size", "1", "--max-iters", "1", "--no-latency", "--device", "cpu", "--executor", "debug"]
    assert main(["run", "enet", "pspnet_r50-d8", *words]) == 2
    printed = capsys.readouterr()
    assert "pspnet_r50-d8 seed 0 is skipped: " in printed.err
    assert "enet" in printed.out


def test_too_few_classes(capsys):
    assert main(["profile", "espnet", "--classes", "4", "--no-latency"]) == 1
    said = "ESP module at least 5 output channels, not 4; espnet-a, espnet-b and espnet-c take fewer classes"
    assert said in capsys.readouterr().err
    assert main(["profile", "espnet", "espnet-c", "--classes", "5", "--no-latency"]) == 0
