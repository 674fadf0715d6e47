"""What verification reads and what a training reads are the same, or both refuse it in the same words."""

import copy
import shutil
import unicodedata
from functools import cache
from pathlib import PurePosixPath

import numpy as np
import pytest
from PIL import Image

import benchmark.registration  # noqa: F401  (datasets and transforms are built by name)
from benchmark.cli import main
from benchmark.configs import compose
from benchmark.confusion import VOID
from benchmark.datasets.catalog import ON_DISK, open_split, open_splits
from benchmark.datasets.digest import split_digest
from benchmark.datasets.verify import verify
from benchmark.errors import UserError
from benchmark.inputs.mmseg_pipeline import PipelineImages

PROTOCOLS = {
    "ade20k": "ade20k_512x512_80k",
    "voc12aug": "voc12aug_512x512_40k",
    "cityscapes": "cityscapes_512x1024_80k",
}

VOC = "VOCdevkit/VOC2012"
ADE = "ade/ADEChallengeData2016"
CITY = "cityscapes"

LABEL = f"{VOC}/SegmentationClass/2007_000032.png"
SBD_LABEL = f"{VOC}/SegmentationClassAug/2008_000002.png"
TRAIN, AUG = (f"{VOC}/ImageSets/Segmentation/{part}.txt" for part in ("train", "aug"))
PICTURE = f"{VOC}/JPEGImages/2007_000032.jpg"
ADE_LABEL, ADE_PICTURE = (
    f"{ADE}/annotations/training/ADE_train_00000001.png",
    f"{ADE}/images/training/ADE_train_00000001.jpg",
)


def _pixels(path):
    with Image.open(path) as image:
        return np.array(image)


def _turn(tag, *paths):
    """Give images an EXIF orientation, their pixels as they are."""

    def change(root):
        for path in paths:
            exif = Image.Exif()
            exif[0x0112] = tag
            with Image.open(root / path) as image:
                image.load()
                image.save(root / path, exif=exif)

    return change


def _resave(path, convert, **options):
    """Write a label or image in another way."""
    return lambda root: Image.fromarray(convert(_pixels(root / path))).save(root / path, **options)


def _rename(path, other):
    return lambda root: (root / path).rename((root / path).with_name(other))


def _rewrite(path, change):
    return lambda root: (root / path).write_bytes(change((root / path).read_bytes()))


def _rename_everywhere(old, new):
    """Another name for an image of VOC: of both of its files, and in the list."""

    def change(root):
        for path in (PICTURE, LABEL):
            (root / path).rename((root / path).with_name(f"{new}{(root / path).suffix}"))
        (root / TRAIN).write_text((root / TRAIN).read_text("utf-8").replace(old, new), "utf-8")

    return change


def _add(*paths):
    """Put files of macOS and Windows beside those of the dataset."""

    def change(root):
        for path in paths:
            (root / path).parent.mkdir(exist_ok=True)
            (root / path).write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        ")

    return change


def _with(value):
    def change(label):
        label = label.copy()
        label[3, 4] = value
        return label

    return change


def _outcome(read):
    try:
        return read()
    except UserError as error:
        return str(error)


def _verified(name, root):
    source = open_split(name, "train", root)
    return [(each, source.image(i).tobytes(), source.label(i).tobytes()) for i, each in enumerate(source.names)]


@cache
def _reads(name):
    return compose.compose("enet", PROTOCOLS[name]).train_dataloader.dataset.dataset


def _trained(name, root):
    """What the protocol's training reads, before it augments anything."""
    reads = copy.deepcopy(_reads(name))
    for each in reads.get("datasets", [reads]):
        each.data_root = str(ON_DISK[name].home(root))
        each.pipeline = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}, {"type": "PackSegInputs"}]
    items = PipelineImages(reads)
    read = [(items.pipeline.names[i], items[i]) for i in range(len(items))]
    return [
        (
            each,
            item["inputs"].permute(1, 2, 0).numpy().tobytes(),
            item["data_samples"].gt_sem_seg.data.numpy().tobytes(),
        )
        for each, item in read
    ]


ACCEPTED = {
    "exif": ("ade20k", _turn(3, ADE_PICTURE)),
    "exif of a quarter turn": ("voc12aug", _turn(6, PICTURE)),
    "exif of a label": ("voc12aug", _turn(3, SBD_LABEL)),
    "one bit": ("voc12aug", _resave(LABEL, lambda label: label % 2 == 1)),
    "255 in ADE20K": ("ade20k", _resave(ADE_LABEL, _with(255))),
    "AppleDouble": ("ade20k", _add(*(path.replace("ADE_", "._ADE_") for path in (ADE_PICTURE, ADE_LABEL)))),
    "hidden": (
        "cityscapes",
        _add(
            *(f"{CITY}/leftImg8bit/train/{name}" for name in (".DS_Store", "zurich/Thumbs.db")),
            f"{CITY}/leftImg8bit/train/zurich/._zurich_000000_000019_leftImg8bit.png",
            f"{CITY}/leftImg8bit/train/.trash/zurich_000009_000019_leftImg8bit.png",
        ),
    ),
    "PNG by the name of JPEG": ("voc12aug", _resave(PICTURE, lambda image: image, format="PNG")),
    "grey image": ("ade20k", _resave(ADE_PICTURE, lambda image: image[..., 0])),
    "image with alpha": (
        "ade20k",
        _resave(ADE_PICTURE, lambda image: np.dstack([image, image[..., :1]]), format="PNG"),
    ),
    "list of Windows": ("voc12aug", _rewrite(TRAIN, lambda text: b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"))),
    "empty lines in a list": ("voc12aug", _rewrite(TRAIN, lambda text: b"\n" + text.replace(b"\n", b" \n\n"))),
    "spaces in a name": ("voc12aug", _rename_everywhere("2007_000032", "2007 000032")),
    "unicode in a name": ("voc12aug", _rename_everywhere("2007_000032", "zürich_図")),
    "one of two lists empty": ("voc12aug", _rewrite(AUG, lambda text: b"")),
    "something behind a JPEG": ("ade20k", _rewrite(ADE_PICTURE, lambda data: data + bytes(300))),
}

REFUSED = {
    "16 bits": (
        "voc12aug",
        _resave(LABEL, lambda label: _with(259)(label.astype(np.uint16))),
        r"2007_000032\.png: .*I;16, with the value 259 at row 3, column 4",
    ),
    "lossy label": ("voc12aug", _resave(LABEL, lambda label: label, format="JPEG"), r"2007_000032\.png: .* lossy"),
    "colours for classes": ("voc12aug", _resave(LABEL, lambda label: np.dstack([label] * 3)), r"032\.png: .*is RGB"),
    "value of no class": (
        "voc12aug",
        _resave(LABEL, _with(21)),
        r"2007_000032\.png: label value 21 at row 3, column 4",
    ),
    "label of another size": ("ade20k", _resave(ADE_LABEL, lambda label: label[1:]), r"00001\.png: .* its image has"),
    "image cut": (
        "ade20k",
        _rewrite(ADE_PICTURE, lambda data: data[: len(data) // 2]),
        r"00001\.jpg cannot be decoded",
    ),
    "label cut": ("ade20k", _rewrite(ADE_LABEL, lambda data: data[: len(data) // 2]), r"00001\.png is truncated"),
    "image in capitals": (
        "ade20k",
        _rename(ADE_PICTURE, "ADE_train_00000001.JPG"),
        r"00001\.JPG would be ignored, .* \.jpg: rename it",
    ),
    "label in capitals": (
        "voc12aug",
        _rename(LABEL, "2007_000032.PNG"),
        r"032\.png is missing, but 2007_000032\.PNG exists: rename it",
    ),
    "listed image in capitals": (
        "voc12aug",
        _rename(PICTURE, "2007_000032.JPG"),
        r"032\.jpg is missing, but 2007_000032\.JPG exists: rename it",
    ),
    "accents in another form": (
        "voc12aug",
        lambda root: (
            _rename_everywhere("2007_000032", unicodedata.normalize("NFC", "zü"))(root),
            _rewrite(TRAIN, lambda text: unicodedata.normalize("NFD", text.decode()).encode())(root),
        ),
        r"\.(jpg|png) is missing, but .* exists: rename it",
    ),
    "packed label": (
        "voc12aug",
        _rename(LABEL, "2007_000032.png.gz"),
        r"is missing, but .*\.png\.gz exists: unpack it",
    ),
    "a name twice": ("voc12aug", _rewrite(TRAIN, lambda text: text * 2), r"train\.txt lists 2007_000032 2 times"),
    "a list in UTF-16": (
        "voc12aug",
        _rewrite(TRAIN, lambda text: text.decode().encode("utf-16")),
        r"train\.txt cannot be read: it is not text in UTF-8",
    ),
}


@pytest.fixture
def root(miniatures, tmp_path):
    """A copy of the miniatures to change."""
    return shutil.copytree(miniatures, tmp_path / "miniatures")


@pytest.mark.parametrize("kind", ACCEPTED)
def test_what_is_taken_is_taken_alike(kind, root):
    name, change = ACCEPTED[kind]
    change(root)
    assert _trained(name, root) == _verified(name, root)
    problems = verify(name, root)["train"].problems
    assert all("is not as published" in problem for problem in problems)


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused_is_refused_in_the_same_words(kind, root):
    name, change, message = REFUSED[kind]
    change(root)
    found = _outcome(lambda: _verified(name, root))
    with pytest.raises(UserError, match=message):
        _verified(name, root)
    assert _outcome(lambda: _trained(name, root)) == found
    assert found in verify(name, root)["train"].problems


def test_an_exif_orientation_changes_no_pixel_and_is_noted(root, capsys):
    before = [each[1:] for each in _verified("ade20k", root)]
    _turn(3, ADE_PICTURE)(root)
    plain = _pixels(root / ADE_PICTURE)
    source = open_split("ade20k", "train", root)
    assert np.array_equal(source.image(0), plain)
    assert [each[1:] for each in _verified("ade20k", root)][1:] == before[1:]
    main(["data", "verify", "ade20k", str(root)])
    note = "train: EXIF orientations are not applied: image and label are used as they are stored (files with one: 1; "
    assert f"{note}orientation 3 in {root / ADE_PICTURE})\n" in capsys.readouterr().out


def test_files_of_macos_change_no_digest(root):
    before = split_digest(open_split("ade20k", "train", root))
    ACCEPTED["AppleDouble"][1](root)
    source = open_split("ade20k", "train", root)
    assert len(source) == 4
    assert split_digest(source) == before


def test_255_is_void_in_ade20k_as_0_is(root):
    ACCEPTED["255 in ADE20K"][1](root)
    stored = _pixels(root / ADE_LABEL)
    assert np.array_equal(open_split("ade20k", "train", root).label(0) == VOID, (stored == 0) | (stored == 255))


def test_labels_of_one_bit_are_classes_0_and_1(root):
    expected = _pixels(root / LABEL) % 2
    ACCEPTED["one bit"][1](root)
    with Image.open(root / LABEL) as label:
        assert label.mode == "1"
    assert np.array_equal(open_split("voc12aug", "train", root).label(0), expected)


def test_lists_that_share_a_name_are_refused(root):
    (root / AUG).write_text("2008_000008\n2007_000032\n")
    with pytest.raises(UserError, match=r"lists of train in .* share 2007_000032: remove it from one of them"):
        open_split("voc12aug", "train", root)


def test_archives_of_macos_bring_none_of_their_own_files():
    for member in (f"__MACOSX/{ADE}/images/training/._ADE_train_1.jpg", f"{VOC}/JPEGImages/._2007_000032.jpg"):
        assert all(dataset.place(PurePosixPath(member)) is None for dataset in ON_DISK.values())


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_without_a_labelled_pixel_is_refused_before_anything_is_run(root, split, capsys, tmp_path):
    part = {"train": "training", "val": "validation"}[split]
    for path in (root / ADE / "annotations" / part).iterdir():
        Image.fromarray(np.zeros_like(_pixels(path))).save(path)
    arguments = ["run", "enet", "-p", PROTOCOLS["ade20k"], "--root", str(root), "--max-iters", "1"]
    places = ["--results", tmp_path / "results", "--reports", tmp_path / "reports", "--work-dir", tmp_path / "work"]
    assert main([*arguments, *map(str, places)]) == 2
    errors = capsys.readouterr().err
    count = len(list((root / ADE / "annotations" / part).iterdir()))
    line = f"segbench: error: {split} of ade20k has no labelled pixel: all of its {count} labels are void\n"
    assert errors == line
    assert not list((tmp_path / "results").rglob("*.json"))
    assert f"{split} has no labelled pixel: all of its labels are void" in verify("ade20k", root)[split].problems


def test_one_labelled_pixel_is_enough(root):
    labels = sorted((root / ADE / "annotations/training").iterdir())
    for path in labels:
        Image.fromarray(np.zeros_like(_pixels(path))).save(path)
    _resave(labels[-1].relative_to(root), _with(1))(root)
    assert open_splits("ade20k", root)["train"].names
