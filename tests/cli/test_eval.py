"""`segbench eval` of third-party weights: the normalisation that they were trained with, and names of any kind."""

import json

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import Compose, LoadImageFromFile

import benchmark.registration  # noqa: F401
from benchmark.catalog import catalog
from benchmark.cli import main
from benchmark.configs import compose
from benchmark.confusion import count, scores
from benchmark.datasets.catalog import open_splits
from benchmark.engine import metric
from benchmark.results import weights
from benchmark.results.reading import read
from benchmark.results.validate import validate
from benchmark.weights import checkpoint

from mmseg.datasets.transforms import PackSegInputs  # isort: skip
from mmseg.registry import MODELS  # isort: skip

CGNET = "mmseg:cgnet_fcn_4xb4-60k_cityscapes-680x680"
SIX = "mmseg:swin-tiny-patch4-window7_upernet_1xb8-20k_levir-256x256"
STATED = "mean 72.3924 82.9089 73.1584, std 1 1 1, RGB"
IMAGENET = "mean 123.675 116.28 103.53, std 58.395 57.12 57.375, RGB"


pytestmark = pytest.mark.usefixtures("mmseg_scope")


@pytest.fixture(scope="module")
def zoo():
    """mmsegmentation's own CGNet for 8 classes, whose normalisation layers have seen some images."""
    config = compose.read(catalog.architecture(CGNET).path).model
    config.decode_head.num_classes = 8
    config.backbone.norm_cfg.type = config.decode_head.norm_cfg.type = "BN"
    config.decode_head.loss_decode.pop("class_weight")
    torch.manual_seed(0)
    network = MODELS.build(config)
    network.init_weights()
    torch.nn.init.normal_(network.decode_head.conv_seg.weight)
    for _ in range(3):
        network.train().extract_feat(torch.randn(2, 3, 64, 64) * 60)
    return network.eval()


@pytest.fixture(scope="module")
def file(zoo, tmp_path_factory):
    """A checkpoint as mmengine writes it."""
    path = tmp_path_factory.mktemp("zoo") / "cgnet.pth"
    meta = {"epoch": 0, "iter": 60000, "dataset_meta": {"classes": ["a"] * 8}}
    torch.save({"meta": meta, "state_dict": zoo.state_dict(), "message_hub": {}}, path)
    return path


@pytest.fixture(scope="module")
def theirs(zoo, tmp_path_factory):
    """Scores by mmsegmentation's own network and data preprocessor, from PNG files that its pipeline reads."""
    folder, source = tmp_path_factory.mktemp("images"), open_splits("shapes", None)["test"]
    pipeline = Compose([LoadImageFromFile(), PackSegInputs()])
    found = {}
    for index in range(4):
        path = str(folder / f"{index}.png")
        cv2.imwrite(path, source.image(index)[..., ::-1])
        item = pipeline({"img_path": path, "reduce_zero_label": False, "seg_fields": []})
        with torch.no_grad():
            (sample,) = zoo.test_step({"inputs": [item["inputs"]], "data_samples": [item["data_samples"]]})
        found[source.names[index]] = sample.seg_logits.data
    return found


@pytest.fixture
def seen(monkeypatch):
    """The scores that an evaluation counts, by image."""
    found = {}
    process = metric.ConfusionMetric.process

    def keep(self, data_batch, data_samples):
        found.update({each["img_path"]: each["seg_logits"]["data"].clone() for each in data_samples})
        process(self, data_batch, data_samples)

    monkeypatch.setattr(metric.ConfusionMetric, "process", keep)
    return found


def test_scores_are_those_of_mmsegmentation(segbench, file, theirs, seen):
    code, out, _ = segbench("eval", CGNET, "--weights", file, "--device", "cpu")
    assert code == 0
    assert out.startswith(f"normalisation: {STATED} (of the config of {CGNET})\n")
    assert all(torch.allclose(seen[name], theirs[name], rtol=1e-4, atol=1e-5) for name in theirs)
    code, out, _ = segbench("eval", CGNET, "--weights", file, "--device", "cpu", *_imagenet())
    assert out.startswith(f"normalisation: {IMAGENET} (of --mean, --std, else of the config of {CGNET})\n")
    assert not any(torch.allclose(seen[name], theirs[name], rtol=0.1, atol=0.1) for name in theirs)


def _imagenet():
    return "--mean", "123.675,116.28,103.53", "--std", "58.395", "57.12", "57.375"


def test_that_of_the_protocol_where_the_config_states_none(segbench, tmp_path):
    torch.manual_seed(0)
    checkpoint.write(MODELS.build(compose.model_config("enet", classes=8)).state_dict(), tmp_path / "a.pth")
    words = ("eval", "enet", "--weights", tmp_path / "a.pth", "--device", "cpu")
    plain = segbench(*words)[1]
    assert plain.startswith(f"normalisation: {IMAGENET} (of the protocol shapes_64x64_smoke)\n")
    same = json.loads(segbench(*words, *_imagenet(), "--json")[1])
    assert f"mIoU {same['miou']:.2f} %" in plain
    _, blue, err = segbench(*words, "--bgr", "--json")
    line = (
        "mean 103.53 116.28 123.675, std 57.375 57.12 58.395, BGR (of --bgr, else of the protocol shapes_64x64_smoke)"
    )
    assert f"segbench: normalisation: {line}\n" in err
    assert json.loads(blue)["iou"] != same["iou"]


def test_any_names_give_the_same_predictions(segbench, zoo, file, seen, tmp_path):
    """A map, and the order of tensors: what is imported predicts what the file does, to the bit."""
    state = zoo.state_dict()
    named = {name.replace("backbone.level2.", "stage3.").replace("norm_prelu", "np"): t for name, t in state.items()}
    torch.save({"model": {f"body.{name}": tensor for name, tensor in named.items()}}, tmp_path / "named.pth")
    torch.save({f"x{index}": tensor for index, tensor in enumerate(state.values())}, tmp_path / "numbered.pth")
    (tmp_path / "map.txt").write_text("^body\\. ->\n^stage3\\.(\\d+) -> backbone.level2.\\1\nnp_ -> norm_prelu_\n")
    segbench("eval", CGNET, "--weights", file, "--device", "cpu")
    expected = dict(seen)
    for name, options in (("named", ["--map", tmp_path / "map.txt"]), ("numbered", ["--by-order"])):
        given, out = tmp_path / f"{name}.pth", tmp_path / "out.pth"
        assert segbench("import", CGNET, given, "-o", out)[0] == 2
        code, printed, err = segbench("import", CGNET, given, "-o", out, *options)
        assert (code, err) == (0, "")
        assert f"matched: {len(state)} of {len(state)} tensors, 8 classes" in printed
        assert f"normalisation: {STATED}" in printed
        for words in (["--weights", out], ["--weights", given, *options]):
            seen.clear()
            code, printed, _ = segbench("eval", CGNET, *words, "--device", "cpu")
            assert code == 0
            assert printed.startswith(f"normalisation: {STATED} (of the ")
            assert all(torch.equal(seen[image], expected[image]) for image in expected)


def test_an_import_keeps_the_normalisation_that_was_asked_for(segbench, file, tmp_path):
    out = tmp_path / "out.pth"
    code, printed, _ = segbench("import", CGNET, file, "-o", out, "--mean", "1,2,3", "--bgr")
    assert code == 0
    assert "normalisation: mean 1 2 3, std 1 1 1, BGR" in printed
    found = segbench("eval", CGNET, "--weights", out, "--device", "cpu")[1]
    assert found.startswith("normalisation: mean 1 2 3, std 1 1 1, BGR (of the file of the weights)\n")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--mean", "0.485,0.456,0.406"], "multiply the mean of values in 0..1 by 255"),
        (["--mean", "1,2"], "are needed, not 2"),
        (["--mean", "1,2,300"], "'300' is not a number from 0 to 255"),
        (["--std", "0.2,0.2,0.2"], "'0.2' is not a number from 1 to 65025"),
        (["--mean", "a", "b", "c"], "'a' is not a number"),
        (["--mean", "nan,1,2"], "'nan' is not a number"),
    ],
)
def test_what_is_no_normalisation(capsys, words, why):
    for command in (["eval", CGNET, "--weights", "a.pth"], ["import", CGNET, "a.pth", "-o", "b.pth"]):
        with pytest.raises(SystemExit) as caught:
            main([*command, *words])
        assert caught.value.code == 2
        assert why in capsys.readouterr().err.splitlines()[-1]


def test_a_part_of_a_normalisation_is_not_enough_where_none_is_stated(segbench, tmp_path):
    checkpoint.write(MODELS.build(compose.model_config("enet", classes=8)).state_dict(), tmp_path / "a.pth")
    code, _, err = segbench("import", "enet", tmp_path / "a.pth", "-o", tmp_path / "b.pth", "--mean", "1,2,3")
    assert (code, err) == (2, "segbench: error: enet states no normalisation: give --mean and --std\n")


def test_weights_of_a_run_keep_the_normalisation_of_the_protocol(segbench, tmp_path):
    """All networks are trained with it; the record and the weights say so where the config states another."""
    results, work = tmp_path / "results", tmp_path / "work"
    words = ("--max-iters", 2, "--device", "cpu", "--work-dir", work)
    code, out, err = segbench(
        "run", CGNET, *words, "--no-latency", "--results", results, "--reports", tmp_path / "r", "--keep-weights"
    )
    assert code == 0, err
    (path,) = results.rglob("*/*.json")
    record = read(path).record
    assert record.stated_normalisation["mean"] == [72.39239876, 82.90891754, 73.15835921]
    assert record.protocol.axes["input"]["mean"] == [123.675, 116.28, 103.53]
    assert validate(results) == (1, [])
    last = next(work.rglob("last.pth"))
    out = segbench("eval", CGNET, "--weights", last, "--device", "cpu")[1]
    assert out.startswith(f"normalisation: {IMAGENET} (of the file of the weights)\n")
    measured = record.evaluation("last").miou
    assert f"mIoU {measured:.2f} %" in out


def test_a_recorded_evaluation_keeps_and_shows_it(segbench, file, tmp_path, monkeypatch):
    from dataclasses import replace

    from benchmark.catalog import mmseg_zoo
    from benchmark.results.arrays import file_sha256

    results = tmp_path / "results"
    figure = next(each for each in catalog.references().values() if each.weights_sha256 and each.metric == "miou")
    changes = {"weights_sha256": file_sha256(file), "dataset": "shapes", "architecture": CGNET}
    figure = replace(figure, **changes, protocol=replace(figure.protocol, input_size=None))
    monkeypatch.setattr(catalog, "references", lambda: {figure.name: figure})
    monkeypatch.setattr(mmseg_zoo, "everything", catalog.references)
    words = ("eval", CGNET, "--weights", file, "--device", "cpu", "--results", results, "--record")
    assert segbench(*words)[0] == 0
    assert validate(results) == (1, [])
    ((evaluated,), problems) = weights.scan(results)
    assert problems == []
    assert evaluated.normalisation == f"{STATED} (of the config of {CGNET})"
    assert evaluated.protocol.axes["input"]["std"] == [1, 1, 1]
    out = segbench("verify", "--results", results)[1]
    assert f"normalisation {STATED} (of the config of {CGNET})" in out
    (path,) = results.rglob("*.json")
    data = json.loads(path.read_text())
    data["protocol"]["overrides"]["normalisation"]["mean"][0] = 5.0
    path.write_text(json.dumps(data))
    assert any("the override normalisation is mean 5 82.9089" in problem.why for problem in validate(results)[1])


def test_images_of_six_channels(segbench, tmp_path):
    config = compose.model_config(SIX, classes=8)
    torch.save(MODELS.build(config).state_dict(), tmp_path / "a.pth")
    code, _, err = segbench("eval", SIX, "--weights", tmp_path / "a.pth", "--device", "cpu")
    assert code == 2
    assert err.count("\n") == 1


def test_safetensors(segbench, file, zoo, tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    state = {name: tensor.contiguous() for name, tensor in zoo.state_dict().items()}
    path = tmp_path / "a.safetensors"
    safetensors.save_file(state, path)
    assert segbench("import", CGNET, path, "-o", tmp_path / "b.pth")[0] == 0
    found = checkpoint.read(tmp_path / "b.pth").state
    assert all(torch.equal(found[name], state[name]) for name in state)
    code, _, err = segbench("import", CGNET, path, "-o", tmp_path / "b.pth", "--by-order")
    assert (code, err.count("\n")) == (2, 1)
    assert "safetensors files have no order" in err


def test_counts_are_those_of_an_independent_count(segbench, file, zoo):
    """mIoU of all images from mmsegmentation's network on images that come blue first."""
    source = open_splits("shapes", None)["test"]
    counts = []
    for index in range(len(source)):
        image = torch.from_numpy(np.ascontiguousarray(source.image(index)[..., ::-1].transpose(2, 0, 1)))
        with torch.no_grad():
            data = zoo.data_preprocessor({"inputs": [image], "data_samples": None})
            found = zoo.encode_decode(data["inputs"], [{"img_shape": image.shape[1:]}])[0].argmax(0).numpy()
        counts.append(count(found, source.label(index), 8))
    answer = json.loads(segbench("eval", CGNET, "--weights", file, "--device", "cpu", "--json")[1])
    assert answer["miou"] == pytest.approx(scores(np.stack(counts)).miou, abs=0.01)
