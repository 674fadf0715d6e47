from pathlib import Path

import pytest
from PIL import Image

import benchmark.registration  # noqa: F401  (mmsegmentation can be imported)
from benchmark.datasets.camvid import CamVid
from benchmark.datasets.catalog import dataset, locate, open_split, open_splits
from benchmark.datasets.shapes import Shapes
from benchmark.datasets.source import SPLITS, AbsentError
from benchmark.errors import UserError
from benchmark.inputs.batches import EvaluationImages


def test_root_is_what_the_user_says_then_the_environment_then_data(monkeypatch):
    monkeypatch.setenv("SEGBENCH_DATA", "/there")
    assert locate("camvid", "/here") == Path("/here")
    assert locate("camvid") == Path("/there")
    monkeypatch.delenv("SEGBENCH_DATA")
    assert locate("camvid") == Path("data")
    assert locate("camvid", "~/sets") == Path.home() / "sets"


def test_embedded_dataset_needs_no_root():
    assert locate("shapes", "/here") is None
    assert isinstance(open_split("shapes", "val"), Shapes)


def test_splits_by_name(camvid_miniature):
    splits = open_splits("camvid", camvid_miniature)
    assert {split: len(source) for split, source in splits.items()} == {"train": 4, "val": 2, "test": 3}
    assert dataset("camvid") is CamVid


def test_mistakes_are_said(tmp_path):
    with pytest.raises(
        UserError,
        match="unknown dataset 'camvit': there are ade20k, camvid, camvid_180x240, cityscapes, shapes, voc12, voc12aug",
    ):
        locate("camvit")
    with pytest.raises(AbsentError, match=str(tmp_path)):
        open_splits("camvid", tmp_path)


@pytest.mark.parametrize("split", SPLITS)
def test_a_split_without_a_labelled_pixel_is_refused(camvid_miniature, split):
    labels = sorted((camvid_miniature / "CamVid" / f"{split}annot").iterdir())
    for path in labels:
        Image.new("L", (48, 36), 11).save(path)
    with pytest.raises(
        UserError, match=f"{split} of camvid has no labelled pixel: all of its {len(labels)} labels are"
    ):
        open_splits("camvid", camvid_miniature)
    with pytest.raises(UserError, match="the split to evaluate has no labelled pixel"):
        EvaluationImages({"type": "CamVid", "split": split, "root": str(camvid_miniature)})
    image = Image.new("L", (48, 36), 11)
    image.putpixel((47, 35), 3)
    image.save(labels[-1])
    assert list(open_splits("camvid", camvid_miniature)) == list(SPLITS)
