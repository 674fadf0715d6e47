import shutil

import numpy as np
import pytest
from PIL import Image

from benchmark.datasets.camvid import CamVid
from benchmark.datasets.catalog import open_split
from benchmark.datasets.cityscapes import Cityscapes
from benchmark.datasets.digest import split_digest
from benchmark.datasets.source import SPLITS, AbsentError, PublishedSplit
from benchmark.datasets.verify import verify
from benchmark.errors import UserError


@pytest.fixture
def home(camvid_miniature):
    return camvid_miniature / "CamVid"


@pytest.fixture
def published(camvid_miniature, monkeypatch):
    """Makes the miniature the published CamVid."""
    identities = {split: PublishedSplit(v.images, v.digest) for split, v in verify("camvid", camvid_miniature).items()}
    monkeypatch.setattr(CamVid, "published", identities)


def test_counts_what_is_there(camvid_miniature, home, published):
    found = verify("camvid", camvid_miniature)
    assert [found[split].images for split in SPLITS] == [4, 2, 3]
    for split in SPLITS:
        labels = [np.array(Image.open(path)) for path in (home / f"{split}annot").iterdir()]
        assert found[split].pixels.tolist() == [sum((label == c).sum() for label in labels) for c in range(12)]
        assert found[split].sizes == {(36, 48): found[split].images}
        assert found[split].problems == ()


def test_other_images_than_published_are_said(camvid_miniature):
    found = verify("camvid", camvid_miniature)
    assert found["train"].problems == ("train is not as published: 4 images instead of 367",)
    assert found["train"].digest


def test_other_pixels_than_published_are_said_of_the_split_that_has_them(camvid_miniature, home, published):
    path = home / "val" / "val_0.png"
    image = np.array(Image.open(path))
    image[0, 0, 0] ^= 1
    Image.fromarray(image).save(path)
    found = verify("camvid", camvid_miniature)
    assert [len(found[split].problems) for split in SPLITS] == [0, 1, 0]
    assert found["val"].problems[0] == f"val is not as published: other pixels (SHA-256 {found['val'].digest})"


def test_every_broken_file_is_a_problem_and_the_rest_is_counted(camvid_miniature, home, published):
    whole = verify("camvid", camvid_miniature)["train"]
    (home / "train" / "train_0.png").unlink()
    (home / "trainannot" / "train_1.png").write_bytes((home / "trainannot" / "train_1.png").read_bytes()[:50])
    Image.fromarray(np.full((36, 48), 99, np.uint8)).save(home / "trainannot" / "train_2.png")
    found = verify("camvid", camvid_miniature)["train"]
    assert [problem.split(" ")[0].removeprefix(str(home)) for problem in found.problems] == [
        "/train/train_0.png",
        "/trainannot/train_1.png",
        "/trainannot/train_2.png:",
    ]
    assert found.digest is None
    assert found.sizes == {(36, 48): 3}
    assert found.pixels.sum() == whole.pixels.sum() / 4


def test_split_without_files_is_a_problem_of_that_split(camvid_miniature, home, published):
    (home / "val.txt").unlink()
    for folder in ("val", "valannot"):
        for path in (home / folder).iterdir():
            path.unlink()
    found = verify("camvid", camvid_miniature)
    assert found["val"].problems == (f"{home / 'val'} is missing or empty",)
    assert found["train"].problems == found["test"].problems == ()


def test_absent_and_unknown_datasets_are_mistakes_not_findings(tmp_path):
    with pytest.raises(AbsentError):
        verify("camvid", tmp_path)
    with pytest.raises(UserError, match="unknown dataset"):
        verify("camvit", tmp_path)


def test_shapes_is_as_published():
    found = verify("shapes")
    assert [v.problems for v in found.values()] == [(), (), ()]
    assert found["train"].sizes == {(64, 64): 256}


def test_real_camvid_is_as_published(camvid):
    """The pinned digests, made elsewhere by another program, are those of the real data."""
    found = verify("camvid", camvid)
    assert [v.problems for v in found.values()] == [(), (), ()]
    assert [v.images for v in found.values()] == [367, 101, 233]
    assert all(v.sizes == {(360, 480): v.images} for v in found.values())
    road = {split: v.pixels[CamVid.classes.index("Road")] / v.pixels.sum() for split, v in found.items()}
    assert 0.2 < min(road.values()) < max(road.values()) < 0.4


COUNTS = {"voc12": (2, 1464), "voc12aug": (4, 10582), "cityscapes": (3, 2975), "ade20k": (4, 20210)}
"""Training images of each standard dataset: in the miniature, and as published."""


@pytest.mark.parametrize("name", COUNTS)
def test_standard_datasets_are_counted(name, miniatures):
    found = verify(name, miniatures)
    here, published = COUNTS[name]
    assert list(found) == ["train", "val"]
    assert found["train"].problems == (f"train is not as published: {here} images instead of {published}",)
    assert found["val"].images == 3
    for split, each in found.items():
        source = open_split(name, split, miniatures)
        assert each.pixels.sum() == sum(source.label(index).size for index in range(len(source)))
        assert len(each.pixels) == len(source.classes) + 1
        assert each.digest == split_digest(source)


def test_a_standard_dataset_with_what_is_missing_and_wrong(miniatures, tmp_path, monkeypatch):
    """Every file is a line; of labels that have to be made there is one for them all."""
    monkeypatch.setattr(Cityscapes, "published", {"train": PublishedSplit(3, None), "val": PublishedSplit(3, None)})
    root = shutil.copytree(miniatures, tmp_path / "miniatures")
    assert [each.problems for each in verify("cityscapes", root).values()] == [(), ()]
    city = root / "cityscapes/leftImg8bit/val/frankfurt/frankfurt_000000_000019_leftImg8bit.png"
    city.write_bytes(city.read_bytes()[:100])
    for path in (root / "cityscapes/gtFine/train").rglob("*_labelTrainIds.png"):
        path.unlink()
    found = verify("cityscapes", root)
    assert len(found["train"].problems) == 1
    assert "segbench data make cityscapes" in found["train"].problems[0]
    assert found["val"].problems == (f"{city} is truncated",)
    assert found["val"].digest is None
