"""`segbench data add` on folders such as users have: what is accepted, and the one line that names each fault."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmark.cli import main
from benchmark.datasets import card
from benchmark.datasets.catalog import open_splits
from benchmark.datasets.source import SPLITS

FOLDERS = ("--images", "images", "--labels", "labels")
COLOURED = ("--palette", "palette.txt")
NAMED = ("--classes", "sky,road,tree,car")

COLOURS = ((0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255))
PALETTE = "sky 0 0 0\nroad 255 0 0\ntree 0 255 0\ncar 0 0 255\n"


def label(number: int, size: tuple[int, int] = (8, 10), classes: int = 4) -> NDArray[np.uint8]:
    """Return a label with all of its classes."""
    return (
        np.random.default_rng(number)
        .permutation(np.resize(np.arange(classes, dtype=np.uint8), size).ravel())
        .reshape(size)
    )


def image(number: int, size: tuple[int, int] = (8, 10)) -> NDArray[np.uint8]:
    """Return an RGB image."""
    return np.random.default_rng(100 + number).integers(0, 256, (*size, 3), np.uint8)


def coloured(values: NDArray[np.uint8], colours: Sequence[tuple[int, int, int]] = COLOURS) -> NDArray[np.uint8]:
    """Return a label in colours."""
    return np.array(colours, np.uint8)[values]


def save(pixels: NDArray[np.generic], path: Path, **settings: object) -> Path:
    """Save pixels in the format of the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **settings)
    return path


def indexed(values: NDArray[np.uint8], path: Path, colours: Sequence[tuple[int, int, int]] = COLOURS) -> Path:
    """Save a label as PNG with a palette."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(values)
    picture.putpalette(np.array(colours, np.uint8).ravel().tolist())
    picture.save(path)
    return path


def folder(root: Path, number: int = 8, colour: bool = True, size: tuple[int, int] = (8, 10)) -> Path:
    """Write images and labels of four classes: `images/00.png` and `labels/00.png`."""
    for i in range(number):
        save(image(i, size), root / "images" / f"{i:02}.png")
        values = label(i, size)
        save(coloured(values) if colour else values, root / "labels" / f"{i:02}.png")
    (root / "palette.txt").write_text(PALETTE)
    return root


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def add(capsys, *words: str, code: int = 0, folders: tuple[str, ...] = FOLDERS) -> list[str]:
    """Run the command; return the lines of its output, those of stderr if it fails."""
    capsys.readouterr()
    assert main(["data", "add", "mine", *folders, *words]) == code
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    if code:
        assert not Path("mine.yaml").exists()
        return err.splitlines()
    assert not err
    return out.splitlines()


def fault(capsys, *words: str, **settings) -> str:
    """Run the command, which fails; return its only line, without the prefix."""
    (line,) = add(capsys, *words, code=2, **settings)
    assert line.startswith("segbench: error: ")
    return line.removeprefix("segbench: error: ")


def labels() -> dict[str, np.ndarray]:
    """Read the labels by the card."""
    return {
        name: source.label(index)
        for source in open_splits("mine.yaml").values()
        for index, name in enumerate(source.names)
    }


def content() -> card.Content:
    return card.read("mine.yaml").content


class TestLabels:
    def test_colours(self, capsys):
        folder(Path())
        add(capsys, *COLOURED)
        found = labels()
        assert len(found) == 8
        for i in range(8):
            assert (found[f"{i:02}"] == label(i)).all()
        assert [each.name for each in content().classes] == ["sky", "road", "tree", "car"]
        assert tuple(each.colour for each in content().classes) == COLOURS

    def test_values(self, capsys):
        folder(Path(), colour=False)
        add(capsys, *NAMED)
        assert (labels()["03"] == label(3)).all()
        assert content().void == [255]

    def test_palette_png_by_its_values(self, capsys):
        folder(Path())
        for i in range(8):
            indexed(label(i), Path(f"labels/{i:02}.png"), COLOURS[::-1])
        add(capsys, *NAMED)
        assert (labels()["03"] == label(3)).all()

    def test_palette_png_by_its_colours(self, capsys):
        folder(Path())
        for i in range(0, 8, 2):  # an optimizer has turned some of the RGB files into these
            indexed(3 - label(i), Path(f"labels/{i:02}.png"), COLOURS[::-1])
        add(capsys, *COLOURED)
        for i in range(8):
            assert (labels()[f"{i:02}"] == label(i)).all()

    def test_rgba(self, capsys):
        folder(Path())
        for i in range(8):
            rgb = coloured(label(i))
            save(np.dstack([rgb, np.where(rgb.any(axis=2), 255, 0).astype(np.uint8)]), Path(f"labels/{i:02}.png"))
        add(capsys, *COLOURED)
        assert (labels()["03"] == label(3)).all()

    def test_grey_saved_as_rgb(self, capsys):
        folder(Path())
        for i in range(8):
            save(np.repeat(label(i)[..., None], 3, axis=2), Path(f"labels/{i:02}.png"))
        add(capsys, *NAMED)
        assert (labels()["03"] == label(3)).all()

    def test_16_bits(self, capsys):
        folder(Path())
        for i in range(8):
            save(label(i).astype(np.uint16) * 1000, Path(f"labels/{i:02}.png"))
        line = fault(capsys, *NAMED)
        assert line.startswith("3 label values of no class: 1000 in 00, 01, 02 and 5 more; ")
        add(capsys, "--classes", "sky=0,road=1000,tree=2000,car=3000")
        assert (labels()["03"] == label(3)).all()

    def test_32_bit_tiff(self, capsys):
        folder(Path())
        for i in range(8):
            Path(f"labels/{i:02}.png").unlink()
            save(label(i).astype(np.int32) - 1, Path(f"labels/{i:02}.tif"))
        add(capsys, "--classes", "road=0,tree=1,car=2", "--void", "-1")
        assert (labels()["03"] == np.where(label(3) == 0, 255, label(3) - 1)).all()

    def test_values_that_no_label_can_hold(self, capsys):
        folder(Path(), colour=False)
        line = fault(capsys, "--classes", "road=1,tree=2,car=3+99999999999", "--void", "0")
        assert line == (
            "class 'car': labels.1: should be a whole number of 32 bits, or a colour, [red, green, blue] of 0 to 255, "
            "not 99999999999"
        )

    def test_from_1_with_0_as_void(self, capsys):
        folder(Path(), colour=False)
        line = fault(capsys, "--classes", "road,tree,car")
        assert line.startswith("1 label value of no class: 3 in 00, 01, 02 and 5 more ")
        assert "where they count from 1, 0 is void: --void 0" in line
        add(capsys, "--classes", "road,tree,car", "--void", "0")
        assert (labels()["03"] == np.where(label(3) == 0, 255, label(3) - 1)).all()

    def test_several_values_to_one_class(self, capsys):
        folder(Path(), colour=False)
        add(capsys, "--classes", "flat=0+1,thing=3", "--void", "2")
        assert (labels()["03"] == np.array([0, 0, 255, 1])[label(3)]).all()

    def test_several_colours_to_one_class(self, capsys):
        folder(Path())
        Path("palette.txt").write_text(PALETTE.replace("road", "sky"))
        add(capsys, *COLOURED)
        assert (labels()["03"] == np.array([0, 0, 1, 2])[label(3)]).all()

    def test_binary_masks(self, capsys):
        folder(Path())
        for i in range(8):
            save(label(i, classes=2) * np.uint8(255), Path(f"labels/{i:02}.png"))
        assert "the values are 0 and 255: 255 is crack (where it is void, write --void 255)" in add(
            capsys, "--classes", "background,crack"
        )
        assert (labels()["03"] == label(3, classes=2)).all()

    def test_one_bit(self, capsys):
        folder(Path())
        for i in range(8):
            save(label(i, classes=2).astype(bool), Path(f"labels/{i:02}.png"))
        add(capsys, "--classes", "background,crack")
        assert (labels()["03"] == label(3, classes=2)).all()

    def test_everything_else_is_void(self, capsys):
        folder(Path())
        add(capsys, "--classes", "tree,car", *COLOURED, "--void", "others")
        assert (labels()["03"] == np.array([255, 255, 0, 1])[label(3)]).all()

    def test_void_by_name_colour_and_custom(self, capsys):
        folder(Path())
        Path("palette.txt").write_text(PALETTE.replace("sky", "Void"))
        assert "Void of the palette is void (name it in --classes to make it a class)" in add(capsys, *COLOURED)
        expected = np.array([255, 0, 1, 2])[label(3)]
        assert (labels()["03"] == expected).all()
        for words in (["--void", "0,0,0"], ["--void", "#000000"], ["--void", "sky"]):
            Path("palette.txt").write_text(PALETTE if words[1] == "sky" else PALETTE.replace("sky 0 0 0\n", ""))
            add(capsys, *COLOURED, *words, "--force")
            assert (labels()["03"] == expected).all()

    def test_classes_by_values_where_none_are_named(self, capsys):
        folder(Path(), colour=False)
        add(capsys)
        assert [each.name for each in content().classes] == ["class 0", "class 1", "class 2", "class 3"]

    def test_colours_outside_of_the_palette(self, capsys):
        folder(Path())
        for i in (2, 5):
            pixels = coloured(label(i))
            pixels[0, 0] = 1, 2, 3
            save(pixels, Path(f"labels/{i:02}.png"))
        assert fault(capsys, *COLOURED).startswith("1 colour of no class: (1, 2, 3) in 02, 05 (")

    def test_values_outside_of_the_classes(self, capsys):
        folder(Path(), colour=False)
        save(np.full((8, 10), 9, np.uint8), Path("labels/02.png"))
        assert fault(capsys, *NAMED).startswith("1 label value of no class: 9 in 02 (classes are 0 to 3, void is 255")

    def test_colours_without_a_palette(self, capsys):
        folder(Path())
        line = fault(capsys, *NAMED)
        assert line.startswith("the labels hold colours (4 of them: (")
        assert "--palette FILE" in line

    def test_jpeg(self, capsys):
        folder(Path())
        Path("labels/02.png").unlink()
        save(coloured(label(2)), Path("labels/02.jpg"))
        assert "labels/02.jpg: a label is stored without loss; this is JPEG" in fault(capsys, *COLOURED)

    def test_all_void(self, capsys):
        folder(Path(), colour=False)
        for name in ("06", "07"):
            save(np.full((8, 10), 255, np.uint8), Path(f"labels/{name}.png"))
        Path("a").write_text("00\n01\n")
        Path("b").write_text("06\n07\n")
        assert fault(capsys, *NAMED, "--split", "train=a,val=b").startswith("val has no labelled pixel")


class TestFiles:
    def test_mixed_suffixes_and_formats(self, capsys):
        folder(Path())
        for i, suffix in enumerate((".jpg", ".JPEG", ".tif", ".bmp", ".webp", ".PNG")):
            Path(f"images/{i:02}.png").unlink()
            save(image(i), Path(f"images/{i:02}{suffix}"))
        Path("labels/00.png").rename("labels/00.PNG")
        Path("labels/01.png").unlink()
        save(coloured(label(1)), Path("labels/01.tiff"))
        add(capsys, *COLOURED)
        assert len(labels()) == 8
        source = open_splits("mine.yaml")["train"]
        for index, name in enumerate(source.names):
            if name in ("02", "03", "05", "06", "07"):  # without loss
                assert (source.image(index) == image(int(name))).all()

    @pytest.mark.parametrize(
        ("images", "labels"),
        [
            ("{}", "{}_L"),
            ("{}", "{}_mask"),
            ("{}", "mask_{}"),
            ("{}_leftImg8bit", "{}_gtFine_labelIds"),
            ("img_{}", "seg_{}"),
            ("{}_sat", "{}"),
            ("a.b.{}", "a.b.{}_labelTrainIds"),
        ],
    )
    def test_names_with_more_to_them(self, capsys, images, labels):
        folder(Path(), number=12)
        for i in range(12):
            Path(f"images/{i:02}.png").rename(f"images/{images.format(f'{i:02}')}.png")
            Path(f"labels/{i:02}.png").rename(f"labels/{labels.format(f'{i:02}')}.png")
        add(capsys, *COLOURED)
        source = open_splits("mine.yaml")["train"]
        for name, picture, path in source.pairs():
            number = next(i for i in range(12) if f"{i:02}" in name)
            assert (np.asarray(Image.open(path)) == coloured(label(number))).all()
            assert (np.asarray(Image.open(picture)) == image(number)).all()

    def test_one_folder(self, capsys):
        folder(Path())
        for i in range(8):
            Path(f"labels/{i:02}.png").rename(f"images/{i:02}_L.png")
        add(capsys, *COLOURED, folders=("--images", "images", "--labels", "images"))
        assert (labels()["03"] == label(3)).all()
        assert len(labels()) == 8

    def test_labels_inside_of_the_folder_of_images(self, capsys):
        folder(Path())
        Path("labels").rename("images/labels")
        add(capsys, *COLOURED, folders=("--images", "images", "--labels", "images/labels"))
        assert len(labels()) == 8

    def test_several_labels_of_an_image(self, capsys):
        folder(Path())
        for i in range(8):
            save(label(i), Path(f"labels/{i:02}_ids.png"))
            Path(f"labels/{i:02}.png").rename(f"labels/{i:02}_colour.png")
        assert "2 labels, {name}_colour and {name}_ids: choose one with --label-name" in fault(capsys, *COLOURED)
        add(capsys, *COLOURED, "--label-name", "{name}_colour")
        assert (labels()["03"] == label(3)).all()

    def test_a_pattern_that_no_label_has(self, capsys):
        folder(Path())
        line = fault(capsys, *COLOURED, "--label-name", "{name}_no")
        assert line.startswith("8 images without a label in labels: 00, 01, 02 and 5 more")

    def test_no_name_in_common(self, capsys):
        folder(Path())
        for i in range(8):
            Path(f"labels/{i:02}.png").rename(f"labels/{chr(97 + i)}.png")
        assert fault(capsys, *COLOURED).startswith("no label has the name of an image: the first image is 00")

    def test_subfolders(self, capsys):
        folder(Path())
        for kind in ("images", "labels"):
            for i in range(8):
                Path(f"{kind}/{i % 2}").mkdir(exist_ok=True)
                Path(f"{kind}/{i:02}.png").rename(f"{kind}/{i % 2}/{i // 2:02}.png")  # names are not unique
        add(capsys, *COLOURED)
        assert (labels()["1/01"] == label(3)).all()

    def test_hidden_files_and_others(self, capsys):
        folder(Path())
        for kind in ("images", "labels"):
            Path(f"{kind}/._00.png").write_bytes(b"AppleDouble")
            Path(f"{kind}/.DS_Store").write_bytes(b"")
            Path(f"{kind}/Thumbs.db").write_bytes(b"")
        assert "1 file in images of other kinds, left out: Thumbs.db" in add(capsys, *COLOURED)

    def test_missing_and_surplus_labels(self, capsys):
        folder(Path())
        Path("labels/02.png").unlink()
        assert fault(capsys, *COLOURED).startswith("1 image without a label in labels: 02 (")
        for i in (3, 4, 5):
            Path(f"labels/{i:02}.png").unlink()
        assert fault(capsys, *COLOURED).startswith("4 images without a label in labels: 02, 03, 04 and 1 more (")
        for i in (2, 3, 4, 5):
            Path(f"images/{i:02}.png").unlink()
        add(capsys, *COLOURED)
        Path("mine.yaml").unlink()
        Path("images/06.png").unlink()
        assert fault(capsys, *COLOURED).startswith("1 label without an image in images: 06 (")
        Path("labels/00.png").unlink()
        first, second = add(capsys, *COLOURED, code=2)
        assert "1 image without a label in labels: 00" in first
        assert "1 label without an image in images: 06" in second
        save(image(9), Path("images/09.png"))
        save(coloured(label(9)), Path("labels/09.png"))
        add(capsys, *COLOURED, "--labelled-only")
        assert sorted(labels()) == ["01", "07", "09"]

    def test_duplicates(self, capsys):
        folder(Path())
        save(image(2), Path("images/02.jpg"))
        assert fault(capsys, *COLOURED) == "1 name of several files each, of which one must go: 02 (.jpg, .png)"

    def test_sizes_that_differ(self, capsys):
        folder(Path())
        for i in (2, 5):
            save(image(i, (10, 8)), Path(f"images/{i:02}.png"))
        line = "2 labels of another size than the image: 02 (10x8, label 8x10), 05 (10x8, label 8x10)"
        assert fault(capsys, *COLOURED) == line

    @pytest.mark.parametrize(("applied", "tag"), [(True, 6), (False, 6), (True, 8), (False, 3)])
    def test_exif_orientation(self, capsys, applied, tag):
        folder(Path())
        exif = Image.Exif()
        exif[0x0112] = tag
        for i in range(8):
            Path(f"images/{i:02}.png").unlink()
            upright = image(i)
            stored = (
                {6: np.rot90(upright), 8: np.rot90(upright, -1), 3: upright[::-1, ::-1]}[tag] if applied else upright
            )
            save(np.ascontiguousarray(stored), Path(f"images/{i:02}.webp"), exif=exif, lossless=True)
        done = "applied, as the sizes of labels say" if applied else "not applied"
        assert f"8 images with an EXIF orientation, which is {done} (--orientation)" in add(capsys, *COLOURED)
        source = open_splits("mine.yaml")["train"]
        assert (source.image(0) == image(int(source.names[0]))).all()

    def test_grey_and_palette_images(self, capsys):
        folder(Path())
        save(image(0)[..., 0], Path("images/00.png"))
        indexed(label(1), Path("images/01.png"))
        add(capsys, *COLOURED)
        source = {name: s.image(i) for s in open_splits("mine.yaml").values() for i, name in enumerate(s.names)}
        assert (source["00"] == image(0)[..., :1]).all()
        assert (source["01"] == coloured(label(1))).all()

    @pytest.mark.parametrize("suffix", [".png", ".tif"])
    def test_images_of_16_bits(self, capsys, suffix):
        folder(Path())
        Path("images/02.png").unlink()
        save(image(2)[..., 0].astype(np.uint16), Path(f"images/02{suffix}"))
        assert (
            fault(capsys, *COLOURED)
            == f"images/02{suffix}: images have 8 bits per channel, but this has 16: convert it, for example by "
            f"ImageMagick with `magick 02{suffix} -depth 8 02-8bit.png`"
        )

    def test_images_and_labels_in_one_folder(self, capsys):
        folder(Path())
        for path in Path("labels").iterdir():
            path.rename(f"images/{path.stem}_mask.png")
        Path("images/03_mask.png").unlink()
        line = fault(capsys, "--labels", "images", *COLOURED)
        assert line.startswith("images and labels are in one folder, images, and 1 of its images has no label: 03 (")

    def test_one_folder_in_which_nothing_is_a_label(self, capsys):
        folder(Path())
        for words in ([], ["--split", "train=a,val=b"]):
            line = fault(capsys, "--labels", "images", *COLOURED, *words)
            assert line.startswith("images and labels are in one folder, and no file in it is named as the label of")

    def test_progress_on_a_terminal(self, capsys, monkeypatch):
        folder(Path())
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        assert main(["data", "add", "mine", *FOLDERS, *COLOURED]) == 0
        assert "computing digests" in capsys.readouterr().err  # the first step may be too fast to be seen

    def test_progress_counts_every_image_twice(self, capsys):
        from benchmark.datasets.own.assembly import Request, assemble

        folder(Path(), colour=False)
        steps = []
        assemble(Request("mine", Path("images"), Path("labels"), Path("mine.yaml")), lambda *step: steps.append(step))
        assert steps == [("checking", 8)] * 8 + [("computing digests", 8)] * 8

    def test_a_folder_of_cards_that_is_missing(self, capsys):
        folder(Path())
        assert fault(capsys, *COLOURED, "--out", "no/where.yaml").startswith("--out: no is not a folder")

    def test_damaged_files(self, capsys):
        folder(Path())
        for name in ("02", "04"):
            Path(f"images/{name}.png").write_bytes(Path(f"images/{name}.png").read_bytes()[:-30])
        assert fault(capsys, *COLOURED) == "images/02.png is truncated (and 1 more files)"
        Path("images/02.png").write_bytes(b"")
        assert "images/02.png cannot be decoded" in fault(capsys, *COLOURED)

    def test_no_folder_and_an_empty_one(self, capsys):
        folder(Path())
        assert fault(capsys, *COLOURED, folders=("--images", "nowhere", *FOLDERS[2:])).startswith(
            "--images nowhere is not"
        )
        Path("empty").mkdir()
        assert fault(capsys, *COLOURED, folders=("--images", "empty", *FOLDERS[2:])).startswith("--images empty has no")


class TestSplits:
    def test_at_random_from_a_seed(self, capsys):
        folder(Path(), number=20)
        add(capsys, *COLOURED)
        first = content().splits
        assert [len(first[split]) for split in SPLITS] == [14, 3, 3]
        add(capsys, *COLOURED, "--force")
        assert content().splits == first
        add(capsys, *COLOURED, "--force", "--seed", "1", "--fractions", "50,25,25")
        assert [len(content().splits[split]) for split in SPLITS] == [10, 5, 5]
        assert content().splits["train"] != first["train"]

    def test_lists(self, capsys):
        folder(Path())
        Path("lists").mkdir()
        Path("lists/train.txt").write_text("00\r\n01.png\nimages/02.png\n\n")
        Path("lists/val.txt").write_text("/their/machine/images/03.jpg /their/machine/labels/03.png\n")
        Path("lists/test.txt").write_text("04,labels/04.png\n")
        for words in ("train=lists/train.txt,val=lists/val.txt,test=lists/test.txt", "lists"):
            out = add(capsys, *COLOURED, "--split", words, "--force")
            assert content().splits == {"train": ["00", "01", "02"], "val": ["03"], "test": ["04"]}
            assert "3 images in no split: 05, 06, 07" in out

    def test_folders(self, capsys):
        folder(Path())
        for kind in ("images", "labels"):
            for i in range(8):
                place = Path(kind, ("training", "validation")[i >= 6])
                place.mkdir(exist_ok=True)
                Path(f"{kind}/{i:02}.png").rename(place / f"{i:02}.png")
        out = add(capsys, *COLOURED)
        assert "there is no test: the images of val stand for it" in out
        assert content().splits["val"] == ["validation/06", "validation/07"]
        assert content().splits["test"] == "val"
        assert len(open_splits("mine.yaml")["test"]) == 2
        add(capsys, *COLOURED, "--split", "train=training,val=validation", "--force")
        assert content().splits["val"] == ["validation/06", "validation/07"]

    @pytest.mark.parametrize(
        ("train", "val", "line"),
        [
            ("00\n01\nxx\nyy\n", "02\n", "a names 2 images that are not in images: xx, yy"),
            ("00\n01\n", "01\n02\n", "1 image in both train and val: 01"),
            ("00\n01\n", "\n", "the split val has no image"),
            ("00\n01\n01\n", "02\n", "train lists 1 image more than once: 01"),
        ],
    )
    def test_faults_of_lists(self, capsys, train, val, line):
        folder(Path())
        Path("a").write_text(train)
        Path("b").write_text(val)
        assert fault(capsys, *COLOURED, "--split", "train=a,val=b") == line

    @pytest.mark.parametrize(
        ("words", "line"),
        [
            (["--split", "train=nowhere,val=images"], "nowhere cannot be read"),
            (["--split", "train=a"], "--split has no val"),
            (["--split", "a=b"], "--split 'a=b': write train=LIST"),
            (["--split", "train=a", "train=b"], "--split has train twice"),
            (["--split", "train=a,val=b", "--seed", "1"], "omit --seed and --fractions"),
            (["--fractions", "70,x"], "--fractions '70,x'"),
            (["--fractions", "2e9,1,1"], "--fractions '2e9,1,1': three numbers above 0, up to 1e+09"),
        ],
    )
    def test_arguments(self, capsys, words, line):
        folder(Path())
        Path("a").write_text("00\n")
        assert line in fault(capsys, *COLOURED, *words)

    def test_shares_are_of_any_sum(self, capsys):
        folder(Path())
        found = []
        for words in ("50,25,25", "400,200,200", "1e9,5e8,5e8"):
            add(capsys, *COLOURED, "--force", "--fractions", words)
            found.append(content().splits)
        assert found[0] == found[1] == found[2]

    def test_too_few_images(self, capsys):
        folder(Path(), number=2)
        assert fault(capsys, *COLOURED) == "2 images cannot be drawn into 3 splits"


class TestCard:
    def test_it_may_be_elsewhere_and_move_with_its_folders(self, capsys, tmp_path):
        folder(Path("data"))
        places = ("--images", "data/images", "--labels", "data/labels")
        add(capsys, "--palette", "data/palette.txt", "--out", "data", folders=places)
        assert card.read("data/mine.yaml").content.images == "images"
        Path("data").rename(tmp_path / "moved")
        open_splits(str(tmp_path / "moved" / "mine.yaml"))
        assert str(tmp_path) not in (tmp_path / "moved" / "mine.yaml").read_text()

    def test_a_folder_that_is_reached_by_a_link(self, capsys, tmp_path):
        folder(tmp_path / "far" / "data")
        (tmp_path / "far" / "here").mkdir()
        (tmp_path / "near" / "deep").mkdir(parents=True)
        (tmp_path / "near" / "deep" / "link").symlink_to(tmp_path / "far" / "here")
        places = ("--images", str(tmp_path / "far/data/images"), "--labels", str(tmp_path / "far/data/labels"))
        palette = str(tmp_path / "far/data/palette.txt")
        add(capsys, "--palette", palette, "--out", str(tmp_path / "near" / "deep" / "link"), folders=places)
        assert card.read(tmp_path / "near" / "deep" / "link" / "mine.yaml").content.images == "../data/images"

    def test_it_is_not_overwritten_unless_told(self, capsys):
        folder(Path())
        add(capsys, *COLOURED)
        before = Path("mine.yaml").read_bytes()
        assert main(["data", "add", "mine", *FOLDERS, *COLOURED]) == 2
        assert capsys.readouterr().err == (
            "segbench: error: mine.yaml exists: write elsewhere with --out, or over it with --force\n"
        )
        assert Path("mine.yaml").read_bytes() == before

    @pytest.mark.parametrize("name", ["camvid", "a/b", "", "-x"])
    def test_its_name(self, capsys, name):
        folder(Path())
        assert main(["data", "add", *FOLDERS, *COLOURED, "--", name]) == 2
        assert capsys.readouterr().err.count("\n") == 1

    def test_statistics(self, capsys):
        folder(Path(), colour=False)
        add(capsys, *NAMED, "--statistics")
        found = content().statistics
        assert found is not None
        source = open_splits("mine.yaml")["train"]
        pixels = np.concatenate([source.image(i).reshape(-1, 3) for i in range(len(source))])
        assert found.mean == pytest.approx(pixels.mean(axis=0), abs=1e-3)
        assert found.std == pytest.approx(pixels.std(axis=0), abs=1e-3)
        assert found.class_weights == [1.0] * 4

    def test_class_weights_are_by_median_frequency(self, capsys):
        folder(Path(), number=4, colour=False)
        for i in range(4):
            values = np.zeros((8, 10), np.uint8)
            values[:4, :5] = 1  # 20 of 80 pixels in every image
            values[0, 9] = 2 if i == 0 else 0  # 1 of 80 pixels in one
            save(values, Path(f"labels/{i:02}.png"))
        Path("a").write_text("00\n01\n")
        Path("b").write_text("02\n")
        add(capsys, "--classes", "a,b,c", "--statistics", "--split", "train=a,val=b")
        frequency = np.array([119 / 160, 40 / 160, 1 / 80])
        assert content().statistics.class_weights == pytest.approx(np.median(frequency) / frequency, abs=1e-4)

    def test_the_digest_is_that_of_every_way_to_store_the_same_pixels(self, capsys):
        folder(Path("a"))
        folder(Path("b"), colour=False)
        for name, words in (("a", ("--palette", "a/palette.txt")), ("b", NAMED)):
            places = ("--images", f"{name}/images", "--labels", f"{name}/labels")
            add(capsys, *words, "--out", name, folders=places)
        assert card.read("a/mine.yaml").content.digest == card.read("b/mine.yaml").content.digest


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.txt", "# colours\nsky 0 0 0\nroad 255 0 0\ntraffic light 0 255 0\ncar 0 0 255\n"),
        ("p.txt", "0 0 0 sky\n255 0 0\troad\n0 255 0 traffic light\n0 0 255 car\n"),
        ("p.csv", "name,r,g,b\nsky,0,0,0\nroad,255,0,0\ntraffic light,0,255,0\ncar,0,0,255\n"),
        ("p.csv", 'id;label;hex\n0;sky;#000000\n1;road;#ff0000\n2;"traffic light";#00ff00\n3;car;#0000ff\n'),
        (
            "labelmap.txt",
            "# label:color_rgb:parts:actions\nsky:0,0,0::\nroad:255,0,0::\ntraffic light:0,255,0::\ncar:0,0,255::\n",
        ),
        ("p.txt", "#000000 sky\n#FF0000 road\n#00ff00 traffic light\n#0000ff car\n"),
        ("p.json", json.dumps({"sky": [0, 0, 0], "road": [255, 0, 0], "traffic light": "#00ff00", "car": [0, 0, 255]})),
        ("p.json", json.dumps({"(0, 0, 0)": "sky", "255,0,0": "road", "#00ff00": "traffic light", "0 0 255": "car"})),
        (
            "p.json",
            json.dumps(
                {
                    "classes": [
                        {"name": n, "color": c}
                        for n, c in zip(["sky", "road", "traffic light", "car"], COLOURS, strict=True)
                    ]
                }
            ),
        ),
        ("p.txt", "0 sky 0 0 0\n1 road 255 0 0\n2 traffic light 0 255 0\n3 car 0 0 255\n"),
        ("p.txt", "sky=#000000\nroad = #ff0000\ntraffic light | 0 255 0\ncar;0;0;255\n"),
        ("p.gpl", "GIMP Palette\nName: x\n#\n0 0 0\tsky\n255 0 0\troad\n0 255 0\ttraffic light\n0 0 255\tcar\n"),
        ("p.csv", "Class Name,R,G,B\nsky,0,0,0\nroad,255,0,0\ntraffic light,0,255,0\ncar,0,0,255\n"),
        ("p.yaml", "sky: [0, 0, 0]\nroad: [255, 0, 0]\ntraffic light: [0, 255, 0]\ncar: [0, 0, 255]\n"),
    ],
)
def test_palettes_of_every_form(capsys, name, text):
    folder(Path())
    Path(name).write_text(text)
    add(capsys, "--palette", name)
    assert [each.name for each in content().classes] == ["sky", "road", "traffic light", "car"]
    assert (labels()["03"] == label(3)).all()


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("c.txt", "sky\nroad\ntraffic light\ncar\n", [[0], [1], [2], [3]]),
        ("c.names", "class 1\nclass 2\nclass 3\n2 wheeler\n", [[0], [1], [2], [3]]),
        ("c.txt", "0 sky\n1 road\n2 traffic light\n3 car\n", [[0], [1], [2], [3]]),
        ("c.txt", "sky: 3\nroad = 2\ntree,1\ncar\t0\n", [[3], [2], [1], [0]]),
        ("c.csv", "id,name\n3,sky\n2,road\n1,sky\n0,car\n", [[3, 1], [2], [0]]),
        ("c.txt", "sky = 0+1\nroad = 2\ncar = 3\n", [[0, 1], [2], [3]]),
        ("c.json", json.dumps({"0": "sky", "1": "road", "2": "tree", "3": "car"}), [[0], [1], [2], [3]]),
        ("c.yaml", "names:\n  0: sky\n  1: road\n  2: tree\n  3: car\n", [[0], [1], [2], [3]]),
        ("c.yaml", "sky: 0\nroad: [1, 2]\ncar: 3\n", [[0], [1, 2], [3]]),
        ("c.yaml", "- sky\n- road\n- tree\n- car\n", [[0], [1], [2], [3]]),
    ],
)
def test_classes_of_every_form(capsys, name, text, expected):
    folder(Path(), colour=False)
    Path(name).write_text(text)
    add(capsys, "--classes", name)
    assert [each.labels for each in content().classes] == expected


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("sky 300 0 0\n", "palette.txt: [300, 0, 0] is not a colour: red, green and blue are 0 to 255"),
        ("sky 1 2 3 4 5\n", "palette.txt, line 1: not a class, its colour or its value: 'sky 1 2 3 4 5'"),
        ("\n", "palette.txt names no class"),
        ("sky 0 0 0\nroad 255 0 0\nroad 255 0 0\n", "palette.txt names road twice"),
        ("sky 0 0 0\nroad 0 0 0\n", "the colour (0, 0, 0) is of sky and of road: a colour means one class"),
    ],
)
def test_palettes_that_are_none(capsys, text, line):
    folder(Path())
    Path("palette.txt").write_text(text)
    assert fault(capsys, *COLOURED) == line


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--classes", "a,a,b,c"], "--classes names a twice"),
        (["--classes", ",".join(map(str, range(300)))], "there are 300 classes"),
        (["--classes", "a" * 101], "--classes: the name of a class is longer than 100 characters: aaa"),
        (["--classes", "a,,b"], "--classes 'a,,b'"),
        (["--classes", "a=1,b"], "there is no value of b"),
        (["--classes", "a=0+1,b=1+2+3"], "the value 1 is of a and of b"),
        (["--classes", "a=0,b=1", "--void", "1"], "the value 1 is of a class and void"),
        (["--classes", "nowhere.txt"], "nowhere.txt cannot be read"),
        ([*NAMED, "--void", "hedge"], "--void hedge: neither"),
        ([*NAMED, "--void", "1,2,3"], "is a colour, and the labels hold values"),
        ([*NAMED, "--label-name", "x"], "--label-name 'x'"),
        (["--palette", "nowhere.csv"], "nowhere.csv cannot be read"),
    ],
)
def test_arguments_that_do_not_fit(capsys, words, line):
    folder(Path(), colour=False)
    assert line in fault(capsys, *words)


class TestData:
    """`--data` on other commands."""

    @pytest.mark.parametrize(
        "words",
        [["run", "enet"], ["train", "enet"], ["config", "enet"], ["plan", "enet"], ["score", "images", "--name", "x"]],
    )
    def test_a_root_beside_it_is_refused(self, capsys, words):
        folder(Path())
        add(capsys, *COLOURED)
        assert main([*words, "--data", "mine.yaml", "--root", "x"]) == 2
        line = "segbench: error: --root x has no effect: mine.yaml says where its folders are; leave --root out\n"
        assert capsys.readouterr().err == line

    @pytest.mark.parametrize("words", [["run", "enet"], ["profile", "enet"], ["config", "enet"]])
    @pytest.mark.parametrize("name", ["nowhere.yaml", "palette.txt", "images"])
    def test_what_is_no_card_is_refused_in_one_line(self, capsys, words, name):
        folder(Path())
        assert main([*words, "--data", name]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "`segbench data add` writes" in line

    def test_the_default_protocol_is_said_in_one_line(self, capsys):
        folder(Path())
        add(capsys, *COLOURED)
        assert main(["config", "enet", "--data", "mine.yaml"]) == 0
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("segbench: mine is used under shapes_64x64_smoke, the default")
        assert main(["config", "enet", "--data", "mine.yaml", "-p", "camvid_360x480_scratch"]) == 0
        out, err = capsys.readouterr()
        assert not err
        assert "num_classes=4" in out

    def test_show_verify_and_list(self, capsys):
        folder(Path())
        add(capsys, *COLOURED)
        assert main(["data", "show", "mine.yaml", "--split", "val", "-o", "x.png"]) == 0
        assert Image.open("x.png").width > 0
        assert main(["data", "verify", "mine.yaml"]) == 0
        assert "everything is as the card says" in capsys.readouterr().out
        assert main(["data", "list"]) == 0
        assert "mine.yaml" in capsys.readouterr().out
        for action in ("show", "verify"):
            assert main(["data", action, "mine.yaml", "--root", "x"]) == 2
