"""Labels that are made: against definitions, and never over what is there."""

import shutil

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from benchmark.datasets.catalog import open_split
from benchmark.datasets.prepare import prepare_labels
from benchmark.errors import UserError

# https://github.com/mcordts/cityscapesScripts, helpers/labels.py: id and trainId of what has a trainId below 255.
TRAIN_IDS = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13}
TRAIN_IDS |= {27: 14, 28: 15, 31: 16, 32: 17, 33: 18}


@pytest.fixture
def root(miniatures, tmp_path):
    """Cityscapes and VOC 2012 in miniature as they are published."""
    root = shutil.copytree(miniatures, tmp_path / "miniatures")
    for path in root.rglob("*_labelTrainIds.png"):
        path.unlink()
    shutil.rmtree(root / "VOCdevkit/VOC2012/SegmentationClassAug")
    (root / "VOCdevkit/VOC2012/ImageSets/Segmentation/aug.txt").unlink()
    return root


@pytest.fixture
def sbd(miniatures, tmp_path):
    """SBD in its own layout, of the two images that the miniature of VOC has, and three that VOC lists itself."""
    folder = tmp_path / "benchmark_RELEASE" / "dataset"
    (folder / "cls").mkdir(parents=True)
    (folder / "train.txt").write_text("2008_000008\n2007_000032\n2007_000033\n")
    (folder / "val.txt").write_text("2008_000002\n2007_000061\n")
    for name in ("2008_000002", "2008_000008"):
        label = np.array(Image.open(miniatures / f"VOCdevkit/VOC2012/SegmentationClassAug/{name}.png"))
        content = {"Segmentation": label % 21, "Boundaries": np.zeros(2), "CategoriesPresent": np.array([[1]])}
        savemat(folder / "cls" / f"{name}.mat", {"GTcls": content}, do_compression=True)
    return folder.parent


def test_every_label_of_cityscapes_follows_the_table_of_its_authors(root):
    every = np.arange(34, dtype=np.uint8).reshape(2, 17)
    path = root / "cityscapes/gtFine/train/zurich/zurich_000000_000019_gtFine_labelIds.png"
    Image.fromarray(every).save(path)
    assert prepare_labels("cityscapes", root=root) == 6
    made = np.array(Image.open(str(path).replace("labelIds", "labelTrainIds")))
    assert made.ravel().tolist() == [TRAIN_IDS.get(value, 255) for value in range(34)]
    assert len(open_split("cityscapes", "val", root)) == 3


def test_voc_is_joined_with_what_of_sbd_it_does_not_list_itself(root, sbd):
    assert prepare_labels("voc12aug", str(sbd), root) == 2
    source = open_split("voc12aug", "train", root)
    assert source.names == ["2007_000032", "2007_000039", "2008_000002", "2008_000008"]
    home = root / "VOCdevkit/VOC2012"
    assert sorted(path.name for path in (home / "SegmentationClassAug").iterdir()) == [
        "2008_000002.png",
        "2008_000008.png",
    ]
    assert (home / "ImageSets/Segmentation/aug.txt").read_text() == "2008_000002\n2008_000008\n"


def test_the_labels_of_sbd_are_those_in_its_files(root, sbd, miniatures):
    prepare_labels("voc12aug", str(sbd / "dataset"), root)
    for name in ("2008_000002", "2008_000008"):
        path = f"VOCdevkit/VOC2012/SegmentationClassAug/{name}.png"
        assert np.array_equal(np.array(Image.open(root / path)), np.array(Image.open(miniatures / path)) % 21)


def test_what_is_there_stays(root, sbd):
    prepare_labels("cityscapes", root=root)
    path = next(root.rglob("*_labelTrainIds.png"))
    path.write_bytes(b"mine")
    assert prepare_labels("cityscapes", root=root) == 0
    assert path.read_bytes() == b"mine"


def test_mistakes_are_said(root, sbd, tmp_path):
    for name in ("camvid", "shapes", "voc12"):
        with pytest.raises(UserError, match=f"no labels to prepare for {name}, only for cityscapes and voc12aug"):
            prepare_labels(name, root=root)
    with pytest.raises(UserError, match="give its folder with --from"):
        prepare_labels("voc12aug", root=root)
    with pytest.raises(UserError, match="elsewhere is not SBD, whose folder dataset has"):
        prepare_labels("voc12aug", str(tmp_path / "elsewhere"), root)
    with pytest.raises(UserError, match=r"register at https://www\.cityscapes-dataset\.com"):
        prepare_labels("cityscapes", root=tmp_path / "elsewhere")
    (sbd / "dataset/cls/2008_000002.mat").write_bytes(b"no matrix")
    with pytest.raises(UserError, match=r"2008_000002\.mat is not a label of SBD"):
        prepare_labels("voc12aug", str(sbd), root)
    assert not (root / "VOCdevkit/VOC2012/ImageSets/Segmentation/aug.txt").exists()
