"""`segbench predict`: label maps of files are those of an evaluation, at the size of each image."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.cli import main
from benchmark.configs.compose import compose
from benchmark.datasets.catalog import open_splits
from benchmark.engine.session import Session
from benchmark.weights import checkpoint

PROTOCOL = "shapes_64x64_smoke"


@pytest.fixture(scope="module")
def images():
    return open_splits("shapes", None)["test"]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory, images):
    """A network of random weights: its file, and its predictions in an evaluation."""
    folder = tmp_path_factory.mktemp("network")
    session = Session(compose("enet", PROTOCOL, seed=1), folder)
    names = list(images.names[:3])
    found = session.evaluate("test", keep=names).predictions
    checkpoint.save(session.runner.model, folder / "enet.pth", None)
    return folder / "enet.pth", found


@pytest.fixture
def predict(tmp_path, capsys, evaluated, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def predict(*words):
        code = main(["predict", "enet", "--weights", str(evaluated[0]), "-p", PROTOCOL, "--device", "cpu", *words])
        return code, capsys.readouterr()

    return predict


@pytest.fixture
def folder(tmp_path, images):
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(3):
        Image.fromarray(images.image(index)).save(folder / f"{images.names[index]}.png")
    return folder


def test_a_folder_has_the_labels_of_an_evaluation(predict, folder, images, evaluated):
    code, printed = predict("images", "--json")
    assert code == 0
    found = json.loads(printed.out)
    assert [each["image"] for each in found] == [f"images/{name}.png" for name in images.names[:3]]
    for each, (name, labels) in zip(found, evaluated[1].items(), strict=True):
        with Image.open(f"predictions/labels/{name}.png") as picture:
            assert picture.mode == "P"
            assert np.array_equal(np.asarray(picture), labels)
        with Image.open(each["overlays"]) as picture:
            assert (picture.mode, picture.size) == ("RGB", (64, 64))
        assert sum(each["percent"].values()) == pytest.approx(100)
        assert each["percent"][images.classes[0]] == pytest.approx(100 * np.mean(labels == 0))


def test_an_image_of_another_size_gets_labels_of_its_size(predict, folder, images):
    with Image.open(folder / f"{images.names[0]}.png") as image:
        image.resize((150, 90)).save("large.png")
    for words in ([], ["--size", "32x96"], ["--size", "own"]):
        code, printed = predict("large.png", "-o", "out", *words)
        assert (code, printed.err) == (0, "")
        with Image.open("out/labels/large.png") as labels, Image.open("out/overlays/large.png") as overlay:
            assert (labels.size, overlay.size) == ((150, 90), (150, 90))
        assert printed.out.splitlines()[-1] == "label maps in out/labels, overlays in out/overlays"


def test_broken_images_are_named_and_the_others_are_predicted(predict, folder, images):
    first, *others = sorted(folder.iterdir())
    first.write_bytes(first.read_bytes()[:-20])
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(folder / "wide.png")
    code, printed = predict("images", "--json")
    assert code == 2
    assert [each["image"] for each in json.loads(printed.out)] == [f"images/{path.name}" for path in others]
    faults = printed.err.splitlines()
    assert len(faults) == 2
    assert faults[0].startswith(f"segbench: error: images/{first.name} ")
    assert faults[1].endswith(
        "this has 16: convert it, for example by ImageMagick with `magick wide.png -depth 8 wide-8bit.png`"
    )
    assert {path.stem for path in Path("predictions/labels").iterdir()} == {path.stem for path in others}
    code, printed = predict("images", "-o", "out")
    assert (code, printed.out.splitlines()[-1]) == (2, "label maps in out/labels, overlays in out/overlays")


def test_names_of_images_that_differ_in_their_suffix(predict, images):
    Path("images").mkdir()
    for name in ("rgb.png", "rgb.bmp", "rgb.tif", "rgb.png.bmp", "other.png"):
        Image.fromarray(images.image(0)).save(f"images/{name}")
    code, printed = predict("images", "images/other.png", "./images/../images/rgb.bmp", "--json")
    assert code == 0
    names = {each["image"]: Path(each["labels"]).name for each in json.loads(printed.out)}
    assert names == {
        "images/other.png": "other.png",
        "images/rgb.bmp": "rgb.bmp.png",
        "images/rgb.png": "rgb.png.png",
        "images/rgb.png.bmp": "rgb.png.bmp.png",
        "images/rgb.tif": "rgb.tif.png",
    }
    maps = [Path(f"predictions/labels/{name}").read_bytes() for name in names.values()]
    assert len(set(maps)) == 1


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_the_orientation_is_applied(predict, images, suffix):
    upright = images.image(0)[:48]
    Image.fromarray(upright).save("upright.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # what is stored is to be turned clockwise
    Image.fromarray(np.rot90(upright)).save(f"turned{suffix}", exif=exif, lossless=True)
    assert predict("upright.png", f"turned{suffix}")[0] == 0
    for kind in ("labels", "overlays"):
        found = [np.asarray(Image.open(f"predictions/{kind}/{name}.png")) for name in ("upright", "turned")]
        assert found[0].shape[:2] == (48, 64)
        assert np.array_equal(*found)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["missing.png"], "missing.png does not exist"),
        (["empty"], "empty has no images"),
        (["images", "a/shapes.png", "b/shapes.png"], "a/shapes.png and b/shapes.png are both shapes among the"),
        (["text.png"], "text.png"),
        (["images", "--size", "64"], "--size 64: give height and width"),
    ],
)
def test_mistakes(predict, folder, tmp_path, words, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.png").write_text("no image")
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "shapes.png")
    code, printed = predict(*words)
    assert (code, printed.out, printed.err.count("\n")) == (2, "", 1)
    assert printed.err.startswith(f"segbench: error: {message}")


def test_predictions_are_no_photographs_of_the_next_call(predict, folder, images):
    for _ in range(2):
        code, printed = predict(".", "--json")
        assert code == 0
        found = [each["image"] for each in json.loads(printed.out)]
        assert found == [f"images/{name}.png" for name in images.names[:3]]
    assert "the predictions in predictions are left out of ." in printed.err
    assert predict("predictions")[0] == 2
