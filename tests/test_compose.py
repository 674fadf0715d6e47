"""One plain config: what composing sets, what moves a fingerprint, and that mmengine needs nothing else to train."""

import re
import subprocess
import sys
import textwrap

import pytest

from benchmark import catalog, compose
from benchmark.errors import UserError

SMOKE = "shapes_64x64_smoke"


def _dicts(node):
    if isinstance(node, dict):
        yield node
        node = node.values()
    if isinstance(node, (list, tuple, type({}.values()))):
        for child in node:
            yield from _dicts(child)


@pytest.mark.parametrize("name", [*catalog.architectures(), "mmseg:segformer_mit-b0_8xb1-160k_cityscapes-1024x1024"])
def test_model(name):
    model = compose.model_config(name, classes=7)
    found = list(_dicts(model))
    assert {node["num_classes"] for node in found if "num_classes" in node} == {7}
    assert "SyncBN" not in {node.get("type") for node in found}
    assert not any(node.get("pretrained") for node in found)
    assert "Pretrained" not in {node.get("type") for node in found}


def test_model_of_a_distributed_pretrained_run():
    model = compose.model_config("pspnet_r50-d8", classes=7, pretrained=True, distributed=True)
    assert model["pretrained"] == "open-mmlab://resnet50_v1c"
    assert "SyncBN" in {node.get("type") for node in _dicts(model)}


def test_what_both_sides_must_agree_on():
    config = compose.compose("pspnet_r50-d8", SMOKE, seed=3)
    assert config.model.data_preprocessor.size == (64, 64)
    assert config.model.decode_head.num_classes == config.model.auxiliary_head.num_classes == 8
    assert config.train_dataloader.dataset.seed == config.randomness.seed == 3
    assert config.train_dataloader.dataset.length == config.train_cfg.max_iters
    assert config.param_scheduler[0].end == config.train_cfg.max_iters


def test_no_more_workers_than_cores(monkeypatch):
    monkeypatch.setattr("benchmark.compose.os.cpu_count", lambda: 3)
    config = compose.compose("enet", "voc12aug_512x512_40k")
    assert config.train_dataloader.num_workers == config.val_dataloader.num_workers == 3
    assert compose.compose("enet", SMOKE).train_dataloader.num_workers == 0


def test_max_iters_scales_the_schedule():
    config = compose.compose("enet", SMOKE, max_iters=7)
    assert config.train_cfg.max_iters == config.param_scheduler[0].end == config.train_dataloader.dataset.length == 7
    assert config.train_cfg.val_interval <= 7
    assert config.protocol.overrides == {"max_iters": 7}


def test_an_override_with_the_protocols_own_value_is_none():
    plain = compose.compose("enet", SMOKE)
    same = compose.compose(
        "enet", SMOKE, max_iters=plain.train_cfg.max_iters, batch_size=plain.train_dataloader.dataset.batch_size
    )
    assert same.protocol.overrides == {}


def test_precision():
    config = compose.compose("enet", SMOKE, precision="bfloat16")
    assert config.optim_wrapper.type == "BFloat16OptimWrapper"
    assert compose.axes(config, "0" * 64)["precision"] == "bfloat16"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_iters": 0}, "--max-iters must be at least 1"),
        ({"batch_size": -2}, "--batch-size must be at least 1"),
        ({"precision": "int4"}, "unknown precision 'int4'"),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(UserError, match=message):
        compose.compose("enet", SMOKE, **arguments)


def _axes(**arguments):
    return compose.axes(compose.compose("enet", SMOKE, **arguments), "0" * 64)


@pytest.mark.parametrize(
    ("arguments", "axis"),
    [({"max_iters": 5}, "schedule"), ({"batch_size": 5}, "batch"), ({"precision": "bfloat16"}, "precision")],
)
def test_an_override_moves_its_axis_alone(arguments, axis):
    plain, changed = _axes(), _axes(**arguments)
    assert {name for name in plain if plain[name] != changed[name]} == {axis}


def test_seed_and_architecture_move_no_axis():
    other = compose.axes(compose.compose("pspnet_r50-d8", SMOKE, seed=5), "0" * 64)
    assert other == _axes()


def test_config_hash_is_of_the_network():
    one, same, other = (compose.compose(a, SMOKE, seed=s) for a, s in (("enet", 0), ("enet", 1), ("fcn_r50-d8", 0)))
    assert compose.config_hash(one) == compose.config_hash(same) != compose.config_hash(other)


def test_mmengine_trains_the_printed_config_alone(tmp_path):
    """`segbench config` > file; Config.fromfile; Runner.from_cfg; train. Nothing of the command line is imported."""
    printed = subprocess.run(
        [sys.executable, "-m", "benchmark", "config", "enet", "-p", SMOKE, "--max-iters", "2"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    (tmp_path / "enet.py").write_text(printed)
    code = f"""
        import sys
        from mmengine.config import Config
        from mmengine.runner import Runner
        config = Config.fromfile({str(tmp_path / "enet.py")!r})
        config.work_dir = {str(tmp_path / "work")!r}
        Runner.from_cfg(config).train()
        assert not any(name.startswith("benchmark.cli") for name in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "iteration 2/2  loss" in done.stdout + done.stderr
    assert (tmp_path / "work" / "last.pth").exists()
    assert (tmp_path / "work" / "best.pth").exists()


def test_a_crf_is_part_of_the_evaluation_and_of_the_fingerprint(monkeypatch):
    monkeypatch.setattr("benchmark.postprocessing.crf.library", lambda: None)
    plain, refined = (compose.compose("enet", "shapes_64x64_smoke", crf=crf) for crf in (None, "deeplabv2"))
    assert "crf" not in plain.test_evaluator
    assert "crf" not in refined.val_evaluator  # the best on val is chosen without
    assert refined.test_evaluator.crf["w1"] == 4
    assert refined.protocol.overrides == {"crf": "deeplabv2"}
    digest = "0" * 64
    one, other = compose.axes(plain, digest), compose.axes(refined, digest)
    assert [axis for axis in one if one[axis] != other[axis]] == ["evaluation"]


def test_a_crf_that_is_not_installed_is_told_before_anything_is_run(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr("benchmark.postprocessing.crf.import_module", missing)
    with pytest.raises(UserError, match=re.escape('pip install "segbench[crf]"')):
        compose.compose("enet", "shapes_64x64_smoke", crf="deeplabv1")


def test_void_learned_like_a_class():
    """ESPNet's protocol: one output more than classes, and void labels are its."""
    config = compose.compose("espnet", "camvid_360x480_espnet")
    assert config.model.decode_head.num_classes == 12
    assert config.train_dataloader.dataset.void == 11
    assert config.val_evaluator.void == config.test_evaluator.void == "false_positive"
    plain = compose.compose("espnet", "camvid_360x480_scratch")
    assert plain.model.decode_head.num_classes == 11
    assert "void" not in plain.train_dataloader.dataset
    assert compose.axes(config, "0" * 64)["void_output"] is True
    assert "void_output" not in compose.axes(plain, "0" * 64)
