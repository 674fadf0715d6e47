"""Batches through mmsegmentation's pipeline obey the rule of all batches: a function of (data, protocol, seed, i)."""

import random
import shutil
from itertools import pairwise

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS
from PIL import Image
from scipy import stats
from torch.utils.data import DataLoader

import benchmark.registration  # noqa: F401  (datasets and transforms are built by name)
from benchmark.configs import compose
from benchmark.confusion import VOID
from benchmark.engine.session import Session
from benchmark.errors import UserError
from benchmark.inputs.augmentation import FILL
from benchmark.inputs.batches import IterationSampler, whole_batch
from benchmark.inputs.mmseg_pipeline import Pipeline, PipelineBatches, PipelineImages

CROP = (32, 48)
CITYSCAPES = 19


def _train(scale=(64, 64)):
    return [
        {"type": "LoadImageFromFile"},
        {"type": "LoadAnnotations"},
        {"type": "RandomResize", "scale": scale, "ratio_range": (0.5, 2.0), "keep_ratio": True},
        {"type": "RandomCrop", "crop_size": CROP, "cat_max_ratio": 0.75},
        {"type": "RandomFlip", "prob": 0.5},
        {"type": "PhotoMetricDistortion"},
        {"type": "PackSegInputs"},
    ]


TEST = [
    {"type": "LoadImageFromFile"},
    {"type": "Resize", "scale": (96, 64), "keep_ratio": True},
    {"type": "LoadAnnotations"},
    {"type": "PackSegInputs"},
]


def _save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """A folder as `BaseSegDataset` reads it: images of 20 to 80 pixels a side, three classes and void."""
    root, rng = tmp_path_factory.mktemp("uneven"), np.random.default_rng(0)
    for index in range(7):
        shape = tuple(rng.integers(20, 80, 2))
        _save(root / "images" / f"{index}.png", rng.integers(0, 256, (*shape, 3), dtype=np.uint8))
        _save(root / "labels" / f"{index}.png", rng.choice(np.array([0, 1, 2, VOID], np.uint8), shape))
    return {
        "type": "BaseSegDataset",
        "data_root": str(root),
        "data_prefix": {"img_path": "images", "seg_map_path": "labels"},
        "img_suffix": ".png",
        "metainfo": {"classes": ("a", "b", "c"), "palette": [[1, 2, 3], [4, 5, 6], [7, 8, 9]]},
    }


@pytest.fixture(scope="module")
def cityscapes(tmp_path_factory):
    """Cityscapes in its own layout, an eighth as large; a function of the split gives its config."""
    root, rng = tmp_path_factory.mktemp("cityscapes"), np.random.default_rng(1)
    for split, city, images in (("train", "aachen", 2), ("train", "ulm", 2), ("val", "munster", 2)):
        for index in range(images):
            name = f"{split}/{city}/{city}_{index:06}_000019"
            label = rng.choice(np.array([*range(CITYSCAPES), VOID], np.uint8), (16, 32)).repeat(8, 0).repeat(8, 1)
            _save(root / f"leftImg8bit/{name}_leftImg8bit.png", rng.integers(0, 256, (128, 256, 3), dtype=np.uint8))
            _save(root / f"gtFine/{name}_gtFine_labelTrainIds.png", label)
            _save(root / f"gtFine/{name}_gtFine_labelIds.png", label // 2 + 15)  # lies there, too
    return lambda split: {
        "type": "CityscapesDataset",
        "data_root": str(root),
        "data_prefix": {"img_path": f"leftImg8bit/{split}", "seg_map_path": f"gtFine/{split}"},
    }


def _batches(dataset, *, pipeline=None, batch_size=4, seed=0, protocol="p", length=6, void=VOID, crop=CROP):
    return PipelineBatches(
        {**dataset, "pipeline": pipeline or _train()}, batch_size, crop, protocol, seed, length, void
    )


def _loaded(batches, workers=0, start=0):
    sampler = IterationSampler(batches)
    sampler.start = start
    return list(DataLoader(batches, batch_size=None, sampler=sampler, collate_fn=whole_batch, num_workers=workers))


def _equal(one, other):
    return all(torch.equal(one[name], other[name]) for name in ("inputs", "labels"))


def test_shapes_and_types(uneven):
    batch = _batches(uneven)[0]
    assert batch["inputs"].shape == (4, 3, *CROP)
    assert batch["labels"].shape == (4, *CROP)
    assert batch["inputs"].dtype == batch["labels"].dtype == torch.uint8
    assert set(batch["labels"].unique().tolist()) == {0, 1, 2, VOID}


def test_batches_are_the_same_for_any_number_of_workers_in_any_order_and_after_a_resume(uneven):
    batches = _batches(uneven)
    in_order = _loaded(batches)
    assert not any(_equal(one, other) for one, other in pairwise(in_order))
    assert all(map(_equal, _loaded(batches, workers=2), in_order))
    again = _batches(uneven)
    assert all(_equal(again[i], in_order[i]) for i in (5, 0, 3))
    assert all(map(_equal, _loaded(_batches(uneven), workers=2, start=4), in_order[4:]))


@pytest.mark.parametrize("change", [{"seed": 1}, {"protocol": "other"}])
def test_a_batch_depends_on(uneven, change):
    assert not _equal(_batches(uneven)[3], _batches(uneven, **change)[3])


def test_a_batch_depends_on_what_the_dataset_is_and_not_on_where_it_lies(uneven, tmp_path):
    batch = _batches(uneven)[3]
    (tmp_path / "elsewhere").symlink_to(uneven["data_root"])
    assert _equal(_batches({**uneven, "data_root": str(tmp_path / "elsewhere")})[3], batch)
    fewer = _batches({**uneven, "indices": 6})
    assert fewer.pipeline.digest != _batches(uneven).pipeline.digest


def test_every_epoch_is_a_permutation(uneven):
    order = _batches(uneven).order
    seen = np.concatenate([order.indices(i) for i in range(7)])
    assert all(sorted(epoch) == list(range(7)) for epoch in seen.reshape(4, 7).tolist())


def test_processes_split_the_global_batch(uneven, monkeypatch):
    whole = _batches(uneven)[2]
    parts = []
    for rank in range(2):
        monkeypatch.setattr("benchmark.inputs.mmseg_pipeline.get_dist_info", lambda rank=rank: (rank, 2))
        parts.append(_batches(uneven)[2])
    for name in ("inputs", "labels"):
        assert torch.equal(torch.stack([parts[i % 2][name][i // 2] for i in range(4)]), whole[name])


def test_global_generators_are_left_as_they_were(uneven):
    batches = _batches(uneven)

    def drawn():
        return random.random(), np.random.random(), torch.rand(1).item()

    def seed():
        random.seed(1), np.random.seed(1), torch.manual_seed(1)

    seed()
    expected = drawn()
    seed()
    batch = batches[0]
    assert drawn() == expected
    assert _equal(batches[0], batch)


def test_an_image_is_what_mmsegmentation_makes_of_it(uneven):
    """Red first; smaller ones at the top left, the rest as it pads them; void as the networks learn it."""
    pipeline = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}, {"type": "PackSegInputs"}]
    batches = _batches(uneven, pipeline=pipeline, batch_size=7, crop=(80, 90), void=3)
    batch = batches[0]
    for index, image, label in zip(batches.order.indices(0), batch["inputs"], batch["labels"], strict=True):
        picture, classes = (
            np.array(Image.open(f"{uneven['data_root']}/{kind}/{index}.png")) for kind in ("images", "labels")
        )
        height, width = classes.shape
        expected = np.full((80, 90, 3), FILL, np.uint8)
        expected[:height, :width] = picture
        assert np.array_equal(image.permute(1, 2, 0).numpy(), expected)
        expected = np.full((80, 90), 3)
        expected[:height, :width] = np.where(classes == VOID, 3, classes)
        assert np.array_equal(label.numpy(), expected)


def test_the_filled_part_is_nought_once_it_is_normalised_as_in_mmsegmentation():
    preprocessor = compose.compose("enet", "shapes_64x64_smoke").data_preprocessor
    filled = (np.array(FILL) - preprocessor.mean) / preprocessor.std
    assert np.abs(filled - preprocessor.pad_val).max() < 0.01


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """One image of 40x40, class 0 on the left and 1 on the right, and 300 draws: its scale and whether it is flipped.

    An image that is resized lies at the top left of a batch that holds the largest, so that both can be seen.
    """
    root = tmp_path_factory.mktemp("halves")
    label = np.zeros((40, 40), np.uint8)
    label[:, 20:] = 1
    _save(root / "images" / "one.png", np.zeros((40, 40, 3), np.uint8))
    _save(root / "labels" / "one.png", label)
    pipeline = [step for step in _train(scale=(40, 40)) if step["type"] not in ("RandomCrop", "PhotoMetricDistortion")]
    config = {
        "type": "BaseSegDataset",
        "data_root": str(root),
        "data_prefix": {"img_path": "images", "seg_map_path": "labels"},
        "img_suffix": ".png",
        "metainfo": {"classes": ("left", "right")},
        "pipeline": pipeline,
    }
    batches = PipelineBatches(config, 6, (80, 80), "p", 0, 50)
    labels = torch.cat([batches[i]["labels"] for i in range(50)])
    ours = (labels != VOID).sum(1)[:, 0].numpy(), labels[:, 0, 0].numpy()
    with DefaultScope.overwrite_default_scope("mmseg"):
        peer = DATASETS.build(config)
    np.random.seed(0)
    made = [peer[0]["data_samples"].gt_sem_seg.data[0] for _ in range(300)]
    return ours, (np.array([len(label) for label in made]), np.array([label[0, 0].item() for label in made]))


def test_scales_are_distributed_as_mmsegmentation_draws_them(halves):
    (ours, _), (theirs, _) = halves
    assert stats.ks_2samp(ours, theirs).pvalue > 0.001
    assert stats.kstest(ours, stats.uniform(20, 60).cdf).pvalue > 0.001
    assert abs(stats.pearsonr(ours[:-1], ours[1:]).statistic) < 0.2  # neighbours, within a batch and between two


def test_flips_are_distributed_as_mmsegmentation_draws_them(halves):
    (scales, ours), (_, theirs) = halves
    assert stats.chi2_contingency([np.bincount(ours), np.bincount(theirs)]).pvalue > 0.001
    assert abs(stats.pearsonr(scales, ours).statistic) < 0.2


def test_concatenated_datasets_are_one(uneven):
    """As VOC is joined with the labels of SBD."""
    part = {**uneven, "pipeline": _train()}
    batches = PipelineBatches({"type": "ConcatDataset", "datasets": [part, part]}, 4, CROP, "p", 0, 2)
    assert len(batches.pipeline) == 14
    assert batches.metainfo["classes"] == ("a", "b", "c")
    assert batches[1]["inputs"].shape == (4, 3, *CROP)


def test_names_are_paths_below_the_folder_of_the_images(cityscapes):
    pipeline = PipelineImages({**cityscapes("train"), "pipeline": TEST}).pipeline
    assert pipeline.names[0] == "aachen/aachen_000000_000019_leftImg8bit"
    assert len(set(pipeline.names)) == len(pipeline) == 4


def test_evaluation_resizes_the_image_and_not_the_label(cityscapes):
    item = PipelineImages({**cityscapes("val"), "pipeline": TEST})[1]
    made = item["data_samples"]
    assert item["inputs"].shape == (3, 48, 96)
    assert made.gt_sem_seg.data.shape == (1, 128, 256)
    assert made.gt_sem_seg.data.dtype == item["inputs"].dtype == torch.uint8
    assert made.ori_shape == (128, 256)
    assert made.img_shape == made.pad_shape == (48, 96)


def test_a_session_trains_and_evaluates(cityscapes, tmp_path):
    config = compose.compose("enet", "shapes_64x64_smoke", max_iters=2, deterministic=True)
    train, images = (
        config.train_dataloader,
        {"type": "PipelineImages", "dataset": {**cityscapes("val"), "pipeline": TEST}},
    )
    train.dataset = {
        "type": "PipelineBatches",
        "dataset": {**cityscapes("train"), "pipeline": _train(scale=(256, 128))},
        "batch_size": 2,
        "crop_size": CROP,
        "protocol": "p",
        "seed": 0,
        "length": 2,
    }
    config.val_dataloader.dataset = config.test_dataloader.dataset = images
    config.data_preprocessor.size = CROP
    config.model = compose.model_config("enet", classes=CITYSCAPES)
    config.model.data_preprocessor = config.data_preprocessor
    session = Session(config, tmp_path)
    trained = session.train()
    assert trained.iterations == 2
    assert np.isfinite([loss for _, loss in trained.loss]).all()
    counted = session.evaluate("test")
    assert counted.names == session.runner.test_dataloader.dataset.pipeline.names
    assert (counted.counts.sum((1, 2)) == 128 * 256).all()


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        (_train()[:3] + _train()[-1:], "image of .* pixels, but a batch has 32x48"),
        ([step for step in _train() if step["type"] != "LoadAnnotations"][:1] + _train()[-1:], "load the labels"),
        (_train()[:-1], "PackSegInputs"),
        ([{"type": "LoadImageFromFile", "to_float32": True}, *_train()[1:2], *_train()[3:4], *_train()[-1:]], "8 bits"),
        ([*_train()[:1], {"type": "Resize", "scale": (9, 9)}, *_train()[1:2], *_train()[-1:]], "9x9 and a label of"),
    ],
)
def test_an_unfit_pipeline_is_refused_before_the_training(uneven, pipeline, message):
    with pytest.raises(UserError, match=message) as caught:
        _batches(uneven, pipeline=pipeline)
    assert "\n" not in str(caught.value)


def test_a_label_that_is_resized_is_not_evaluated(uneven):
    resized = [TEST[0], TEST[2], TEST[1], TEST[3]]
    with pytest.raises(UserError, match="load labels after the resize"):
        PipelineImages({**uneven, "pipeline": resized})[0]


def test_labels_of_other_classes_are_refused(cityscapes):
    ids = {**cityscapes("val"), "seg_map_suffix": "_gtFine_labelIds.png", "pipeline": TEST}
    with pytest.raises(
        UserError, match=r"_gtFine_labelIds\.png: label value \d+ at row \d+, .*classes are 0 to 18, and"
    ):
        PipelineImages(ids)[0]


def test_a_dataset_that_is_not_there(uneven, tmp_path):
    with pytest.raises(UserError, match="BaseSegDataset has no images"):
        _batches({**uneven, "data_root": str(tmp_path)})
    (tmp_path / "images").mkdir()
    with pytest.raises(UserError, match="BaseSegDataset has no images"):
        _batches({**uneven, "data_root": str(tmp_path)})
    _save(tmp_path / "images" / "one.png", np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(UserError, match=r"labels.one\.png is missing"):
        _batches({**uneven, "data_root": str(tmp_path)})


def test_a_damaged_file_is_named(uneven, tmp_path):
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "one.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"images.one\.png.* cannot be decoded"):
        _batches({**uneven, "data_root": str(tmp_path)})


def test_a_damaged_file_in_a_worker_is_named_in_one_line(uneven, tmp_path):
    shutil.copytree(uneven["data_root"], tmp_path / "copy")
    batches = _batches({**uneven, "data_root": str(tmp_path / "copy")})
    (tmp_path / "copy/labels/3.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"^[^\n]*labels.3\.png cannot be decoded: [^\n]*$"):
        _loaded(batches, workers=1)


def test_classes_are_chosen_and_checked_as_mmsegmentation_maps_them(cityscapes):
    """`label_map` of a dataset of which some classes are left out."""
    classes = ("car", "road")
    config = {**cityscapes("val"), "metainfo": {"classes": classes}, "pipeline": [TEST[0], *TEST[2:]]}
    ours = PipelineImages(config)
    with DefaultScope.overwrite_default_scope("mmseg"):
        theirs = DATASETS.build(config)
    assert {0, 1, VOID} == set(np.unique(theirs[0]["data_samples"].gt_sem_seg.data))
    for index in range(len(ours)):
        expected = theirs[index]["data_samples"].gt_sem_seg.data
        assert torch.equal(ours[index]["data_samples"].gt_sem_seg.data, expected)


def test_two_answers_to_whether_0_is_void_are_refused(uneven):
    pipeline = [TEST[0], {"type": "LoadAnnotations", "reduce_zero_label": True}, TEST[3]]
    with pytest.raises(UserError, match="reduce_zero_label is False of BaseSegDataset and True of LoadAnnotations"):
        _batches(uneven, pipeline=pipeline)


def test_a_loader_of_another_kind_stays(uneven):
    """What is no plain `LoadImageFromFile` knows better what it reads."""
    pipeline = Pipeline({**uneven, "pipeline": [{"type": "InferencerLoader"}, *TEST[2:]]})
    built = pipeline._dataset.pipeline.transforms
    assert [type(step).__name__ for step in built] == ["InferencerLoader", "LoadLabel", "PackSegInputs"]


def test_a_split_to_evaluate_without_a_labelled_pixel_is_refused(uneven, tmp_path):
    shutil.copytree(uneven["data_root"], tmp_path / "copy")
    for path in (tmp_path / "copy/labels").iterdir():
        _save(path, np.full_like(np.array(Image.open(path)), VOID))
    with pytest.raises(UserError, match="the split to evaluate has no labelled pixel: all of its 7 labels are void"):
        PipelineImages({**uneven, "data_root": str(tmp_path / "copy"), "pipeline": TEST})


def test_a_label_of_another_loader_does_not_wrap(uneven, monkeypatch):
    pipeline = Pipeline({**uneven, "pipeline": [TEST[0], *TEST[2:]]})
    loader = pipeline._dataset.pipeline.transforms[1]
    read = loader.transform
    monkeypatch.setattr(loader, "transform", lambda results: _with_wide_labels(read(results)))
    with pytest.raises(UserError, match=r"0\.png: its label has the value 259, but there are 3 classes"):
        pipeline[0]


def _with_wide_labels(results):
    results["gt_seg_map"] = np.full(results["gt_seg_map"].shape, 259)
    return results
