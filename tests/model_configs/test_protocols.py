"""The CamVid leaderboards as composed; every standard protocol on its dataset in miniature, trained and evaluated."""

import re

import cv2
import numpy as np
import pytest
import torch

from benchmark.catalog import catalog
from benchmark.configs import compose
from benchmark.configs.axes import axes_of
from benchmark.datasets.catalog import open_splits
from benchmark.datasets.digest import digest
from benchmark.engine.session import Session
from benchmark.execution import run
from benchmark.results.arrays import read_arrays
from benchmark.results.reading import read
from benchmark.results.record import fingerprint
from benchmark.results.store import Store

STANDARD = [name for name in catalog.protocols() if re.fullmatch(r"(voc12aug|cityscapes|ade20k)_.*_\d+k", name)]
MAIN = ["voc12aug_512x512_40k", "cityscapes_512x1024_80k", "ade20k_512x512_80k"]
SIX = ["fcn_r50-d8", "pspnet_r50-d8", "deeplabv3_r50-d8", "psanet_r50-d8", "pointrend_fpn_r50", "unet-s5-d16"]
QUICK = [("fcn_r50-d8", MAIN[0]), ("pointrend_fpn_r50", MAIN[1]), ("unet-s5-d16", MAIN[2])]
"""Every dataset in the quick suite; the rest of the product is slow."""


def _in_one_process(config):
    """Workers take longer to come up than the whole of such a test."""
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False, pin_memory=False)
        loader.pop("prefetch_factor", None)


def _shrink(config, size=(64, 64)):
    """Let a composed config work on crops and images of that size, whatever the protocol says."""
    settings = {"RandomCrop": "crop_size", "Pad": "size", "PipelineBatches": "crop_size"}
    settings |= {"RandomResize": "scale", "Resize": "scale", "SegDataPreProcessor": "size"}

    def visit(node):
        if isinstance(node, dict):
            if node.get("type") in settings:
                node[settings[node["type"]]] = size
            node = list(node.values())
        if isinstance(node, list):
            for child in node:
                visit(child)

    for part in (config.model, config.train_dataloader, config.val_dataloader, config.test_dataloader):
        visit(part)


def test_there_are_those_that_the_zoo_has():
    assert set(STANDARD) == {
        *(f"voc12aug_512x512_{n}k" for n in (20, 40)),
        *(f"cityscapes_512x1024_{n}k" for n in (40, 80, 160)),
        *(f"cityscapes_769x769_{n}k" for n in (40, 80)),
        *(f"ade20k_512x512_{n}k" for n in (80, 160)),
    }


@pytest.mark.parametrize("name", STANDARD)
def test_composed(name, miniatures):
    config = compose.compose("pspnet_r50-d8", name, root=miniatures)
    thousand = int(name.rpartition("_")[2].removesuffix("k"))
    assert config.train_cfg.max_iters == config.param_scheduler[-1].end == 1000 * thousand
    assert config.train_cfg.val_interval == 100 * thousand
    assert "x".join(map(str, config.data_preprocessor.size)) == name.split("_")[1]
    assert config.train_dataloader.dataset.batch_size == (8 if name.startswith("cityscapes") else 16)
    assert config.model.pretrained == "open-mmlab://resnet50_v1c"
    assert config.model.decode_head.align_corners is ("769x769" in name)
    assert config.model.test_cfg.mode == ("slide" if "769x769" in name else "whole")


@pytest.mark.parametrize(
    ("name", "iterations", "interval", "pretrained"),
    [
        ("camvid_360x480_scratch", 1500, 500, False),
        ("camvid_360x480_imagenet", 1500, 500, True),
        ("camvid_360x480_long", 6000, 2000, False),
    ],
)
def test_the_camvid_leaderboards_share_all_but_length_and_initial_weights(name, iterations, interval, pretrained):
    scratch, config = (compose.compose("pspnet_r50-d8", each) for each in ("camvid_360x480_scratch", name))
    assert config.train_cfg.max_iters == config.param_scheduler[0].end == iterations
    assert config.train_cfg.val_interval == interval
    assert ("pretrained" in config.model) is pretrained
    axes = axes_of(config, "0" * 64)
    assert (axes["precision"], axes["batch"], axes["input"]["size"]) == ("bfloat16", 16, [360, 480])
    assert axes["schedule"]["optimizer"]["optimizer"]["lr"] == 1e-3
    shared = axes_of(scratch, "0" * 64)
    assert {axis for axis in axes if axes[axis] != shared[axis]} <= {"schedule", "pretraining"}


def test_their_fingerprints_differ_and_name_what_differs(miniatures):
    axes = {}
    for name in STANDARD:
        config = compose.compose("enet", name, root=miniatures)
        axes[name] = axes_of(config, digest(open_splits(config.protocol.dataset, miniatures)))
        assert axes[name]["splits"]["test"]["split"] == "val"
        assert str(miniatures) not in str(axes[name])
    assert len({fingerprint(found) for found in axes.values()}) == len(STANDARD)
    one, other = axes["voc12aug_512x512_20k"], axes["voc12aug_512x512_40k"]
    assert [axis for axis in one if one[axis] != other[axis]] == ["schedule"]


def test_settings_that_follow_from_the_crop_are_an_axis(miniatures):
    plain, fitted = (
        axes_of(compose.compose("enet", name, root=miniatures), "0" * 64)
        for name in ("voc12aug_512x512_40k", "ade20k_512x512_80k")
    )
    assert "fitted" not in plain
    assert fitted["fitted"] == {"mask_size": [66, 66]}
    config = compose.compose("enet", "ade20k_512x512_80k", root=miniatures)
    config.protocol["fitted"] = config.protocol.pop("crop_dependent")  # as protocols named it until 0.1
    assert axes_of(config, "0" * 64) == fitted
    assert compose.compose("psanet_r50-d8", "ade20k_512x512_80k").model.decode_head.mask_size == (66, 66)
    assert compose.compose("psanet_r50-d8", "voc12aug_512x512_40k").model.decode_head.mask_size == (97, 97)


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in MAIN[:1] else pytest.mark.slow) for n in STANDARD])
def test_a_run(name, miniatures, tmp_path):
    """As the protocol has it but for iterations and images a batch, down to the record and the pictures in it."""
    spec = run.Spec(
        architecture="enet",
        protocol=name,
        seed=0,
        device="cpu",
        deterministic=True,
        latency=False,
        overrides={"max_iters": 2, "batch_size": 2},
        root=miniatures,
        results=tmp_path / "results",
        work_dir=tmp_path / "work",
        keep_weights=False,
    )
    _in_one_process(spec.config)
    if name == MAIN[0]:  # for the sake of time; the slow ones are as they are
        _shrink(spec.config)
    stored = read(run.run_one(spec, lambda *event: None))
    record, arrays = stored.record, read_arrays(stored)
    assert (record.status, record.error) == ("ok", None)
    sources = open_splits(spec.config.protocol.dataset, miniatures)
    assert record.dataset.images == {split: len(source) for split, source in sources.items()}
    assert arrays["names_test"].tolist() == sources["val"].names
    pixels = [np.bincount(sources["val"].label(i).ravel(), minlength=256) for i in range(3)]
    classes = len(sources["val"].classes)
    assert np.array_equal(arrays["last_test"].sum(2)[:, :classes], np.array(pixels)[:, :classes])
    samples = Store(spec.results).samples(name, record.dataset.digest)
    assert samples.labels.shape == arrays["predictions"].shape
    assert samples.names.tolist() == arrays["prediction_names"].tolist() == sources["val"].names
    height, width = sources["val"].label(1).shape
    assert np.array_equal(samples.images[1, :height, :width], sources["val"].image(1))
    assert (samples.labels[1, height:] == 255).all()


@pytest.mark.parametrize(
    ("architecture", "protocol"),
    [pytest.param(a, p, marks=() if (a, p) in QUICK else pytest.mark.slow) for a in SIX for p in MAIN],
)
def test_each_of_the_six_trains_and_evaluates(architecture, protocol, miniatures, tmp_path):
    config = compose.compose(architecture, protocol, root=miniatures, max_iters=2, batch_size=2)
    _in_one_process(config)
    _shrink(config)
    config.model.pop("pretrained", None)  # its weights would be downloaded
    session = Session(config, tmp_path)
    trained = session.train()
    assert trained.iterations == 2
    assert np.isfinite([loss for _, loss in trained.loss]).all()
    counted = session.evaluate("test")
    source = open_splits(config.protocol.dataset, miniatures)["test"]
    assert counted.names == source.names
    assert counted.counts.sum((1, 2)).tolist() == [source.label(i).size for i in range(len(source))]


HALF = [("espnet", "cityscapes_512x1024_espnet"), ("espnet-c", "cityscapes_512x1024_espnet-c")]
"""Networks and protocols of the ESPNet authors on Cityscapes."""


@pytest.mark.parametrize(("architecture", "name"), HALF)
def test_cityscapes_at_half_its_size_with_a_void_output(architecture, name):
    config = compose.compose(architecture, name)
    assert config.model.decode_head.num_classes == 20
    assert len(config.protocol.class_weights) == 20
    assert config.train_dataloader.dataset.void == 19
    assert config.val_evaluator.void == config.test_evaluator.void == "ignore"
    assert compose.protocol_input(name) == ((512, 1024), 20)
    assert tuple(config.data_preprocessor.size) == (512, 1024)
    assert config.data_preprocessor.rgb_to_bgr
    assert config.test_dataloader.dataset.dataset.pipeline[1].scale == (1024, 512)
    axes = axes_of(config, "0" * 64)
    assert axes["void_output"] is True
    assert axes["evaluation"]["inference"] == {"mode": "whole", "resized": "labels"}
    assert ("first_stage" in config) is (architecture == "espnet")
    first = config.first_stage if architecture == "espnet" else config
    assert (first.train_cfg.max_iters, first.train_dataloader.dataset.batch_size) == (371875, 12)
    if architecture == "espnet":
        assert (config.train_cfg.max_iters, config.train_dataloader.dataset.batch_size) == (743750, 6)
        assert [round(3 * step.begin / 743750) for step in config.param_scheduler] == [1, 2]


@pytest.mark.parametrize(("architecture", "name"), HALF)
def test_labels_are_predicted_at_half_size_and_enlarged(architecture, name, miniatures, tmp_path):
    """As the authors' script does, written with OpenCV: normalised, reduced, the highest score, enlarged by two."""
    config = compose.compose(architecture, name, root=miniatures)
    _in_one_process(config)
    session = Session(config, tmp_path)
    network = session.runner.model.eval()
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # random weights predict one class, unless their statistics are of such images
    source = open_splits("cityscapes", miniatures)["test"]
    mean = np.array([72.3923111, 82.90893555, 73.15840149], np.float32)
    std = np.array([45.3192215, 46.15289307, 44.91483307], np.float32)
    images = []
    for index in range(len(source)):
        blue_first = (source.image(index)[..., ::-1].astype(np.float32) - mean) / std
        reduced = cv2.resize(blue_first, (1024, 512)) / 255
        images.append(torch.from_numpy(reduced.transpose(2, 0, 1))[None])
    with torch.no_grad():
        network.train()
        for image in images:
            network.decode_head(network.extract_feat(image))
        network.eval()
        torch.nn.init.normal_(network.decode_head.conv_seg.weight, generator=generator)
        counted = session.evaluate("test", keep=source.names)
        for index, image in enumerate(images):
            scores = network.decode_head(network.extract_feat(image))
            scores = torch.nn.functional.interpolate(scores, (512, 1024), mode="bilinear", align_corners=True)
            expected = scores[0].argmax(0).numpy().astype(np.uint8)
            expected = np.where(expected == 19, 255, expected).astype(np.uint8)
            height, width = source.label(index).shape
            expected = cv2.resize(expected, (width, height), interpolation=cv2.INTER_NEAREST)
            found = counted.predictions[source.names[index]]
            assert (found == expected).mean() > 0.97  # images are reduced before they are normalised, in 8 bits
            assert len(np.unique(found)) > 2
