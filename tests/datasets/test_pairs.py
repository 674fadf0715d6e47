"""Datasets in their authors' layouts: read as mmsegmentation's dataset classes read them."""

import shutil
from pathlib import PurePosixPath

import numpy as np
import pytest
from mmseg.registry import DATASETS
from PIL import Image

import benchmark.registration  # noqa: F401
from benchmark.configs import compose
from benchmark.datasets.ade20k import ADE20K
from benchmark.datasets.catalog import open_split, open_splits
from benchmark.datasets.cityscapes import Cityscapes
from benchmark.datasets.digest import digest, split_digest
from benchmark.datasets.source import AbsentError, FileSplit, LargeSplit
from benchmark.datasets.voc import VOC12, VOC12Aug
from benchmark.errors import UserError
from benchmark.inputs.mmseg_pipeline import PipelineImages

PROTOCOLS = {
    "voc12aug": "voc12aug_512x512_40k",
    "cityscapes": "cityscapes_512x1024_80k",
    "ade20k": "ade20k_512x512_80k",
}
PEERS = {
    VOC12: "PascalVOCDataset",
    VOC12Aug: "PascalVOCDataset",
    Cityscapes: "CityscapesDataset",
    ADE20K: "ADE20KDataset",
}


@pytest.fixture
def root(miniatures, tmp_path):
    """A copy of the miniatures to change."""
    return shutil.copytree(miniatures, tmp_path / "miniatures")


@pytest.mark.parametrize("kind", PEERS)
def test_classes_and_colours_are_those_of_mmsegmentation(kind):
    known = DATASETS.get(f"mmseg.{PEERS[kind]}").METAINFO
    assert list(kind.classes) == [name.strip() for name in known["classes"]]
    assert [list(colour) for colour in kind.palette] == known["palette"]


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_split_is_what_the_protocol_reads(name, split, miniatures):
    """Names, order, labels, and the pixels of images, which two decoders of JPEG may round differently."""
    reads = compose.compose("enet", PROTOCOLS[name], root=miniatures)[f"{split}_dataloader"].dataset.dataset
    as_they_are = [
        {"type": "LoadImageFromFile"},
        {"type": "LoadAnnotations", **({"reduce_zero_label": True} if name == "ade20k" else {})},
        {"type": "PackSegInputs"},
    ]
    for each in reads.get("datasets", [reads]):
        each.pipeline = as_they_are
    peer, source = PipelineImages(reads), open_split(name, split, miniatures)
    assert isinstance(source, FileSplit)
    assert isinstance(source, LargeSplit)
    assert peer.pipeline.names == source.names
    assert peer.pipeline.digest == split_digest(source)
    for index in range(len(source)):
        item = peer[index]
        assert np.array_equal(item["data_samples"].gt_sem_seg.data[0].numpy(), source.label(index))
        difference = item["inputs"].permute(1, 2, 0).numpy().astype(int) - source.image(index)
        assert np.abs(difference).max() <= (0 if name == "cityscapes" else 3)


def test_the_splits_of_voc_with_sbd(miniatures):
    plain, joined = open_splits("voc12", miniatures), open_splits("voc12aug", miniatures)
    assert plain["train"].names == ["2007_000032", "2007_000039"]
    assert joined["train"].names == ["2007_000032", "2007_000039", "2008_000002", "2008_000008"]
    assert plain["val"].names == joined["val"].names == joined["test"].names


def test_the_digest_does_not_depend_on_the_order_of_lists_nor_on_the_place(root, miniatures):
    before = digest(open_splits("voc12aug", miniatures))
    listed = root / "VOCdevkit/VOC2012/ImageSets/Segmentation/aug.txt"
    listed.write_text("".join(reversed(listed.read_text().splitlines(keepends=True))))
    assert digest(open_splits("voc12aug", root)) == before
    image = root / "VOCdevkit/VOC2012/JPEGImages/2008_000002.jpg"
    image.write_bytes(image.read_bytes() + b"\0")
    assert digest(open_splits("voc12aug", root)) != before


@pytest.mark.parametrize("name", ["voc12", "cityscapes", "ade20k"])
def test_the_folder_of_the_dataset_is_found_from_any_folder_above(name, miniatures):
    kind = type(open_split(name, "val", miniatures))
    home = miniatures / kind.folder
    for place in (home, *home.parents[: len(PurePosixPath(kind.folder).parts)]):
        assert kind.home(place) == home


@pytest.mark.parametrize("name", ["voc12", "voc12aug", "cityscapes", "ade20k"])
def test_an_absent_dataset_says_how_to_come_by_it(name, tmp_path):
    with pytest.raises(AbsentError, match=r"no .* in .*: .*segbench data get") as caught:
        open_split(name, "train", tmp_path)
    assert "\n" not in str(caught.value)


def test_labels_that_have_to_be_made(root):
    for path in root.rglob("*_labelTrainIds.png"):
        path.unlink()
    with pytest.raises(UserError, match=r"the 3 labels of train .*segbench data make cityscapes"):
        open_split("cityscapes", "train", root)
    (root / "VOCdevkit/VOC2012/ImageSets/Segmentation/aug.txt").unlink()
    with pytest.raises(UserError, match=r"aug\.txt cannot be read: .*segbench data make voc12aug --from"):
        open_split("voc12aug", "train", root)


def test_wrong_files_are_named(root):
    source = open_split("ade20k", "val", root)
    label = root / "ade/ADEChallengeData2016/annotations/validation/ADE_val_00000002.png"
    pixels = np.array(Image.open(label))
    pixels[3, 4] = 151
    Image.fromarray(pixels).save(label)
    with pytest.raises(UserError, match=r"00002\.png: label value 151 at row 3, column 4; classes are 1 to 150"):
        source.label(1)
    Image.fromarray(pixels[1:]).save(label)
    with pytest.raises(UserError, match=r"00002\.png: .* pixels, but its image has"):
        source.label(1)
    label.unlink()
    with pytest.raises(UserError, match=r"00002\.png is missing"):
        source.label(1)


@pytest.mark.parametrize(
    ("kind", "member", "place"),
    [
        (VOC12, "VOCdevkit/VOC2012/JPEGImages/2007_000027.jpg", "JPEGImages/2007_000027.jpg"),
        (VOC12, "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt", "ImageSets/Segmentation/val.txt"),
        (VOC12, "VOCdevkit/VOC2012/ImageSets/Main/val.txt", None),
        (VOC12, "VOCdevkit/VOC2012/SegmentationObject/2007_000027.png", None),
        (ADE20K, "ADEChallengeData2016/annotations/training/ADE_train_1.png", "annotations/training/ADE_train_1.png"),
        (ADE20K, "ADEChallengeData2016/objectInfo150.txt", None),
        (Cityscapes, "gtFine/val/ulm/ulm_1_gtFine_labelIds.png", "gtFine/val/ulm/ulm_1_gtFine_labelIds.png"),
        (Cityscapes, "gtFine/val/ulm/ulm_1_gtFine_color.png", None),
        (Cityscapes, "leftImg8bit/test/bonn/bonn_1_leftImg8bit.png", None),
    ],
)
def test_what_of_an_archive_belongs_to_the_dataset(kind, member, place):
    assert kind.place(PurePosixPath(member)) == (place and PurePosixPath(place))
