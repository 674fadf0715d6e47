"""`segbench import` and `segbench eval` on weights from elsewhere."""

import pytest
import torch

import benchmark.registration  # noqa: F401
from benchmark.catalog import catalog
from benchmark.configs import compose
from benchmark.configs.axes import axes_of, config_hash
from benchmark.profiling.inference import Inference
from benchmark.weights import checkpoint

from mmseg.registry import MODELS  # isort: skip


pytestmark = pytest.mark.usefixtures("mmseg_scope")


@pytest.fixture(scope="module")
def enet():
    torch.manual_seed(0)
    return MODELS.build(compose.model_config("enet", classes=8)).state_dict()


def test_import(segbench, tmp_path, enet):
    old = {f"module.{name}": tensor for name, tensor in enet.items() if not name.endswith("num_batches_tracked")}
    torch.save({"epoch": 3, "state_dict": old}, tmp_path / "a.pth.tar", _use_new_zipfile_serialization=False)
    code, out, err = segbench("import", "enet", tmp_path / "a.pth.tar", "-o", tmp_path / "b.pth")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "names: mmsegmentation's names",
        f"matched: {len(enet)} of {len(enet)} tensors, 8 classes",
        str(tmp_path / "b.pth"),
    ]
    found = checkpoint.read(tmp_path / "b.pth")
    assert all(torch.equal(found.state[name], enet[name]) for name in enet if not name.endswith("tracked"))
    assert (found.meta["architecture"], found.meta["classes"]) == ("enet", 8)


def test_import_of_a_backbone(segbench, tmp_path):
    import torchvision

    torch.save(torchvision.models.resnet50().state_dict(), tmp_path / "resnet50.pth")
    code, out, _ = segbench("import", "fcn_r50-d8", tmp_path / "resnet50.pth", "-o", tmp_path / "b.pth")
    assert code == 0
    assert "missing, not in the file: backbone.stem" in out
    assert "unexpected, not in the network: backbone.conv1.weight" in out
    assert "train --init" in out
    code, out, err = segbench("eval", "fcn_r50-d8", "--weights", tmp_path / "b.pth")
    assert (code, out) == (2, "")
    assert "holds weights of the backbone alone" in err
    stem, init = tmp_path / "b.pth", ["--init", tmp_path / "resnet50.pth"]
    assert "no weights by our names" in segbench("config", "fcn_r50-d8", *init)[2]
    code, out, _ = segbench("config", "fcn_r50-d8", "--init", stem)
    assert code == 0
    assert f"'{stem}'" in out


def test_training_from_imported_weights(tmp_path, enet):
    checkpoint.write({n: t for n, t in enet.items() if n.startswith("backbone.")}, tmp_path / "a.pth")
    config = compose.compose("enet", "shapes_64x64_smoke", init=tmp_path / "a.pth")
    network = MODELS.build(config.model)
    network.init_weights()
    state = network.state_dict()
    assert all(torch.equal(state[name], enet[name]) == name.startswith("backbone.") for name in state if "conv" in name)
    elsewhere = tmp_path / "elsewhere.pth"
    elsewhere.write_bytes((tmp_path / "a.pth").read_bytes())
    moved = compose.compose("enet", "shapes_64x64_smoke", init=elsewhere)
    plain = compose.compose("enet", "shapes_64x64_smoke")
    digest = "0" * 64
    assert config_hash(moved) == config_hash(config) != config_hash(plain)
    assert axes_of(moved, digest) == axes_of(config, digest) != axes_of(plain, digest)


@pytest.mark.parametrize("command", [("import", "-o", "out.pth"), ("eval",)])
def test_weights_of_another_architecture(segbench, tmp_path, enet, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoint.write(enet, tmp_path / "a.pth")
    name, *rest = command
    given = [tmp_path / "a.pth"] if name == "import" else ["--weights", tmp_path / "a.pth"]
    code, out, err = segbench(name, "unet-s5-d16", *given, *rest)
    assert (code, out) == (2, "")
    assert err.startswith(f"segbench: error: {tmp_path / 'a.pth'} is not a checkpoint of unet-s5-d16: ")
    assert err.count("\n") == 1
    assert not (tmp_path / "out.pth").exists()


def test_weights_for_another_number_of_classes(segbench, tmp_path):
    other = MODELS.build(compose.model_config("enet", classes=19)).state_dict()
    checkpoint.write(other, tmp_path / "a.pth")
    code, _, err = segbench("eval", "enet", "--weights", tmp_path / "a.pth")
    assert code == 2
    assert err == (
        f"segbench: error: {tmp_path / 'a.pth'} is of 19 classes, the networks of shapes_64x64_smoke have 8\n"
    )


def test_weights_imported_for_another_architecture(segbench, tmp_path, enet):
    checkpoint.write(enet, tmp_path / "a.pth", {"architecture": "enet", "classes": 8, "options": {}})
    code, _, err = segbench("eval", "fcn_r50-d8", "--weights", tmp_path / "a.pth")
    assert (code, err) == (2, f"segbench: error: {tmp_path / 'a.pth'} was imported for enet, not fcn_r50-d8\n")


def test_both_rules_for_void_are_reported(segbench, tmp_path, enet):
    import json

    checkpoint.write(enet, tmp_path / "a.pth")
    code, out, _ = segbench("eval", "enet", "--weights", tmp_path / "a.pth", "--device", "cpu", "--json")
    assert code == 0
    answer = json.loads(out)
    assert answer["void"] == "ignore"
    assert answer["miou"] == answer["by_void_rule"]["ignore"]["miou"]
    assert answer["verdicts"] == []  # these weights were never published
    code, out, _ = segbench("eval", "enet", "--weights", tmp_path / "a.pth", "--device", "cpu")
    assert "void ignore, the protocol's rule" in out
    assert "void false_positive" in out


def test_an_evaluation_of_published_weights_is_recorded_where_that_is_asked_for(segbench, tmp_path, enet, monkeypatch):
    from dataclasses import replace

    from benchmark.catalog import catalog
    from benchmark.results.arrays import file_sha256
    from benchmark.results.validate import validate

    path, results = tmp_path / "a.pth", tmp_path / "results"
    checkpoint.write(enet, path)
    words = ("eval", "enet", "--weights", path, "--device", "cpu", "--results", results)
    code, _, err = segbench(*words, "--record")
    assert (code, err.count("\n")) == (2, 1)
    assert "--record is for published weights" in err
    figure = next(each for each in catalog.references().values() if each.weights_sha256)
    figure = replace(figure, weights_sha256=file_sha256(path), dataset="shapes", architecture="enet")
    monkeypatch.setattr(catalog, "references", lambda: {figure.name: figure})
    assert segbench(*words)[0] == 0
    assert not results.exists()
    code, _, err = segbench(*words, "--record")
    assert code == 0
    assert f"recorded in {results}/weights/shapes_64x64_smoke/enet/" in err
    assert validate(results) == (1, [])


SEGFORMER = "mmseg:segformer_mit-b0_8xb2-160k_ade20k-512x512"


def test_weights_of_a_transformer_of_the_zoo(segbench, tmp_path):
    """They come from mmsegmentation's own network, match to the last, and predict what it predicts."""
    zoo = compose.read(catalog.architecture(SEGFORMER).path).model
    zoo.decode_head.num_classes = 8
    zoo.decode_head.norm_cfg.type = "BN"
    zoo.backbone.init_cfg = None
    torch.manual_seed(0)
    network = MODELS.build(zoo).eval()
    torch.save({"state_dict": network.state_dict()}, tmp_path / "a.pth")
    code, out, _ = segbench("import", SEGFORMER, tmp_path / "a.pth", "-o", tmp_path / "b.pth")
    assert code == 0
    total = len(network.state_dict())
    assert f"matched: {total} of {total} tensors, 8 classes" in out
    ours = Inference(compose.model_config(SEGFORMER, classes=8), (64, 64))
    ours.segmentor.load_state_dict(checkpoint.read(tmp_path / "b.pth").state)
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        metas = [{"img_shape": (64, 64), "ori_shape": (64, 64), "pad_shape": (64, 64)}]
        assert torch.equal(ours(image), network.encode_decode(image, metas))
    code, out, _ = segbench("eval", SEGFORMER, "--weights", tmp_path / "b.pth", "--device", "cpu")
    assert code == 0
    assert "mIoU" in out


def test_names_on_both_sides_where_nothing_matches(segbench, tmp_path):
    torch.save({f"what.{i}": torch.zeros(3) for i in range(5)}, tmp_path / "a.pth")
    for words in (
        ["import", "enet", tmp_path / "a.pth", "-o", tmp_path / "b"],
        ["eval", "enet", "--weights", tmp_path / "a.pth"],
    ):
        code, _, err = segbench(*words)
        assert code == 2
        assert "none of its names is known; the file has what.0, what.1, what.2, ..., the network backbone." in err


def test_one_of_two_sets_of_weights(segbench, tmp_path, enet):
    half = {name: value * 0.5 if value.is_floating_point() else value for name, value in enet.items()}
    torch.save({"state_dict": half, "state_dict_ema": enet}, tmp_path / "a.pth")
    code, _, err = segbench("import", "enet", tmp_path / "a.pth", "-o", tmp_path / "b.pth")
    assert code == 0
    assert err.endswith("took those under 'state_dict'; --weights-key takes state_dict_ema\n")
    name = "decode_head.conv_seg.weight"
    assert torch.equal(checkpoint.read(tmp_path / "b.pth").state[name], half[name])
    words = ("import", "enet", tmp_path / "a.pth", "--weights-key", "state_dict_ema", "-o", tmp_path / "c.pth")
    assert segbench(*words)[0] == 0
    assert torch.equal(checkpoint.read(tmp_path / "c.pth").state[name], enet[name])
