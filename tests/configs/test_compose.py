"""One plain config: what composing sets, what moves a fingerprint, and that mmengine needs nothing else to train."""

import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from benchmark.catalog import catalog
from benchmark.cli import main
from benchmark.configs import compose
from benchmark.configs.axes import axes_of, config_hash
from benchmark.datasets.camvid import CamVid
from benchmark.engine import stages
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
    monkeypatch.setattr("benchmark.configs.compose.os.cpu_count", lambda: 3)
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
    assert axes_of(config, "0" * 64)["precision"] == "bfloat16"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_iters": 0}, "max_iters is 0: give a whole number from 1 to"),
        ({"batch_size": -2}, "batch_size is -2: give a whole number"),
        ({"max_iters": 1.5}, "max_iters is 1.5: give a whole number"),
        ({"val_interval": "x"}, "val_interval is 'x': give a whole number"),
        ({"batch_size": True}, "batch_size is True: give a whole number"),
        ({"precision": "int4"}, "unknown precision 'int4'"),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(UserError, match=message):
        compose.compose("enet", SMOKE, **arguments)


def _axes(**arguments):
    return axes_of(compose.compose("enet", SMOKE, **arguments), "0" * 64)


@pytest.mark.parametrize(
    ("arguments", "axis"),
    [({"max_iters": 5}, "schedule"), ({"batch_size": 5}, "batch"), ({"precision": "bfloat16"}, "precision")],
)
def test_an_override_moves_its_axis_alone(arguments, axis):
    plain, changed = _axes(), _axes(**arguments)
    assert {name for name in plain if plain[name] != changed[name]} == {axis}


def test_seed_and_architecture_move_no_axis():
    other = axes_of(compose.compose("pspnet_r50-d8", SMOKE, seed=5), "0" * 64)
    assert other == _axes()


def test_config_hash_is_of_the_network():
    one, same, other = (compose.compose(a, SMOKE, seed=s) for a, s in (("enet", 0), ("enet", 1), ("fcn_r50-d8", 0)))
    assert config_hash(one) == config_hash(same) != config_hash(other)


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
    assert re.search(r"Iter\(train\) \[2/2\] .* loss: \d", done.stdout + done.stderr)
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
    one, other = axes_of(plain, digest), axes_of(refined, digest)
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
    assert axes_of(config, "0" * 64)["void_output"] is True
    assert "void_output" not in axes_of(plain, "0" * 64)


def test_two_stages(two_stages):
    config = compose.compose("espnet", two_stages, seed=3)
    first = stages.first(config)
    assert (first.train_cfg.max_iters, config.train_cfg.max_iters) == (2, 4)
    assert first.train_dataloader.dataset.length == first.param_scheduler[0].end == 2
    assert (first.train_dataloader.dataset.batch_size, config.train_dataloader.dataset.batch_size) == (6, 4)
    assert first.train_dataloader.dataset.protocol != config.train_dataloader.dataset.protocol  # other draws
    assert first.model.decode_head.type == "EncoderClassifier"
    assert first.model.decode_head.num_classes == 8
    assert first.model.data_preprocessor == config.model.data_preprocessor
    assert first.val_dataloader == config.val_dataloader
    assert first.randomness == config.randomness
    assert "first_stage" not in first


def test_the_printed_config_is_that_of_the_second_stage_and_says_so(two_stages, tmp_path, capsys):
    assert main(["config", "enet", "-p", two_stages]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("# The second of two stages: ")
    (tmp_path / "printed.py").write_text(printed)
    config = compose.compose("enet", two_stages)
    assert compose.read(tmp_path / "printed.py").pretty_text == config.pretty_text


def test_overrides_are_of_both_stages_and_iterations_in_proportion(two_stages):
    config = compose.compose("enet", two_stages, max_iters=2, batch_size=3, precision="bfloat16", val_interval=1)
    first = config.first_stage
    assert (first.train_cfg.max_iters, config.train_cfg.max_iters) == (1, 2)
    assert first.train_dataloader.dataset.batch_size == config.train_dataloader.dataset.batch_size == 3
    assert first.optim_wrapper.type == config.optim_wrapper.type == "BFloat16OptimWrapper"
    assert first.train_cfg.val_interval == config.train_cfg.val_interval == 1
    assert compose.compose("enet", two_stages, max_iters=1).first_stage.train_cfg.max_iters == 1


@pytest.mark.parametrize("iterations", [1, 2, 3, 300])
@pytest.mark.parametrize("architecture", ["enet", "espnet"])
def test_no_step_of_a_schedule_vanishes(architecture, iterations):
    """Those of the papers' protocols come in thirds."""
    config = compose.compose(architecture, f"camvid_360x480_{architecture}", max_iters=iterations)
    for stage in (config, config.first_stage):
        assert all(step.begin < step.end for step in stage.param_scheduler)


def test_the_stages_are_an_axis_and_move_the_fingerprint(two_stages):
    two, one = (axes_of(compose.compose("enet", name), "0" * 64) for name in (two_stages, SMOKE))
    assert set(two) - set(one) == {"first_stage", "class_weights"}
    assert two["first_stage"]["batch"] == 6
    assert two["first_stage"]["schedule"]["iterations"] == 2
    assert axes_of(compose.compose("espnet", two_stages, seed=1), "0" * 64) == two
    assert axes_of(compose.compose("enet", two_stages, max_iters=2), "0" * 64) != two


def test_config_hash_is_of_both_networks(two_stages):
    config = compose.compose("enet", two_stages)
    before = config_hash(config)
    config.first_stage.model.decode_head.bias = False
    assert config_hash(config) != before


def test_a_network_without_a_first_stage_is_refused(two_stages):
    with pytest.raises(UserError, match=r"fcn_r50-d8 cannot be trained in two stages: .*fcn_r50-d8\.py has no `first_"):
        compose.compose("fcn_r50-d8", two_stages)


def _weigh(architecture, weights):
    model = compose.model_config(architecture, classes=3)
    compose._weigh_classes(model, weights, f"{architecture} on a protocol")
    return model


def test_classes_are_weighted_in_every_head():
    model = _weigh("pspnet_r50-d8", [1.0, 2.0, 3.0])
    for head, weight in ((model["decode_head"], 1.0), (model["auxiliary_head"], 0.4)):
        assert head["loss_decode"] == {
            "type": "WeightedCrossEntropyLoss",
            "class_weight": [1.0, 2.0, 3.0],
            "loss_weight": weight,
        }
    assert [h["loss_decode"]["type"] for h in _weigh("pointrend_fpn_r50", [1, 2, 3])["decode_head"]] == [
        "WeightedCrossEntropyLoss"
    ] * 2


def test_a_loss_whose_classes_have_no_weights_is_refused():
    zoo = "mmseg:mask2former_r50_8xb2-90k_cityscapes-512x1024"
    with pytest.raises(UserError, match="on a protocol: the loss of Mask2FormerHead is no plain cross-entropy"):
        _weigh(zoo, [1.0, 2.0, 3.0])
    with pytest.raises(UserError, match="on a protocol: 2 class weights for 3 outputs"):
        _weigh("enet", [1.0, 2.0])


@pytest.mark.parametrize(("name", "constant"), [("enet", 1.02), ("espnet", 1.10)])
def test_class_weights_are_those_of_camvid(camvid, name, constant):
    """1 / ln(c + p), p the share of the class among all pixels, void among them."""
    source = CamVid(camvid, "train")
    counts = sum(np.bincount(source.label(index).ravel(), minlength=256) for index in range(len(source)))
    shares = np.append(counts[:11], counts[255]) / counts.sum()
    weights = compose.read(catalog.protocol(f"camvid_360x480_{name}").path).protocol.class_weights
    assert weights == pytest.approx((1 / np.log(constant + shares))[: len(weights)], abs=5e-5)
    assert len(weights) == (11 if name == "enet" else 12)


@pytest.fixture
def multiplied(tmp_path, monkeypatch):
    """Makes a protocol like shapes_64x64_smoke with multipliers of the learning rate, and returns its name."""

    def make(multipliers):
        path = tmp_path / "shapes_64x64_multiplied.py"
        base = catalog.config_root() / "_base_" / "protocols" / f"{SMOKE}.py"
        path.write_text(f"_base_ = {str(base)!r}\nprotocol = dict(learning_rate_multipliers={multipliers!r})\n")
        found = {**catalog.protocols(), path.stem: catalog.ProtocolEntry(path.stem, "Multiplied.", path)}
        monkeypatch.setattr(catalog, "protocols", lambda: found)
        return path.stem

    return make


def test_new_layers_learn_faster(multiplied):
    """PSPNet's and DeepLab's: the heads at ten times the rate, here with the biases of the classifier at twenty."""
    from mmengine.optim import build_optim_wrapper
    from mmengine.registry import DefaultScope
    from mmseg.registry import MODELS

    import benchmark.registration  # noqa: F401 (our optimizer wrappers)

    name = multiplied({"decode_head": 10, "auxiliary_head": 10, "decode_head.conv_seg.bias": 20.0})
    config = compose.compose("pspnet_r50-d8", name)
    with DefaultScope.overwrite_default_scope("mmseg"):
        network = MODELS.build(config.model)
    optimizer = build_optim_wrapper(network, config.optim_wrapper).optimizer
    rates = {id(group["params"][0]): group["lr"] for group in optimizer.param_groups}
    base = config.optim_wrapper.optimizer.lr
    for parameter, tensor in network.named_parameters():
        factor = 20 if parameter == "decode_head.conv_seg.bias" else 1 if parameter.startswith("backbone.") else 10
        assert rates[id(tensor)] == pytest.approx(factor * base), parameter


def test_multipliers_enter_the_fingerprint_only_where_there_are_some(multiplied):
    plain = axes_of(compose.compose("enet", SMOKE), "0" * 64)
    assert "paramwise_cfg" not in plain["schedule"]["optimizer"]
    axes = [axes_of(compose.compose("enet", multiplied({"decode_head": each})), "0" * 64) for each in (2, 3)]
    assert axes[0] != axes[1]
    for each in axes:
        del each["schedule"]["optimizer"]["paramwise_cfg"]
        assert each == plain


@pytest.mark.parametrize("multipliers", [{}, 10, ["decode_head"], {"a": 0}, {"a": -1.0}, {"a": True}, {"a": "10"}])
def test_what_is_no_multiplier_is_refused(multiplied, multipliers):
    with pytest.raises(UserError, match=r"shapes_64x64_multiplied: .*learning.rate.multiplier"):
        compose.compose("enet", multiplied(multipliers))


@pytest.mark.parametrize(
    ("architecture", "protocol", "starts"),
    [("segnet-basic", "camvid_360x480_segnet", None), ("segnet_vgg16", "camvid_360x480_segnet_imagenet", "imagenet")],
)
def test_segnets_schedule_is_the_papers(architecture, protocol, starts):
    """Arxiv 1511.00561, section 3.2: SGD, 0.1, 0.9, batches of 12; median frequency weights as in the prototxt."""
    config = compose.compose(architecture, protocol, root=None)
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.momentum) == ("SGD", 0.1, 0.9)
    assert config.train_dataloader.dataset.batch_size == 12
    assert config.protocol.pretraining == starts
    weights = dict(zip(CamVid.classes, config.model.decode_head.loss_decode.class_weight, strict=True))
    assert (weights["Sky"], weights["SignSymbol"], weights["Bicyclist"]) == (0.2595, 9.6446, 7.3614)
    assert [(each.type, each.factor) for each in config.param_scheduler] == [("ConstantLR", 1.0)]
