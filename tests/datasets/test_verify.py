import numpy as np
import pytest
from PIL import Image

from benchmark.datasets.camvid import CamVid
from benchmark.datasets.source import SPLITS, AbsentError, Identity
from benchmark.datasets.verify import verify
from benchmark.errors import UserError


@pytest.fixture
def home(camvid_miniature):
    return camvid_miniature / "CamVid"


@pytest.fixture
def published(camvid_miniature, monkeypatch):
    """Makes the miniature the published CamVid."""
    identities = {split: Identity(v.images, v.digest) for split, v in verify("camvid", camvid_miniature).items()}
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
