"""Cards: reading and writing, the faults of a card, and its splits as datasets of protocols."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import benchmark.registration  # noqa: F401
from benchmark.configs.axes import axes_of, config_hash
from benchmark.configs.compose import compose
from benchmark.datasets import card
from benchmark.datasets.card import CardClass, Content, Pairing
from benchmark.datasets.catalog import dataset, open_splits, title
from benchmark.datasets.digest import digest, split_digest
from benchmark.datasets.source import FileSplit, LargeSplit, StoredSplit
from benchmark.datasets.verify import verify
from benchmark.errors import UserError
from benchmark.inputs.pixel_cache import Cache, cached

COLOURS = ((0, 0, 0), (255, 0, 0), (0, 255, 0))
CLASSES = [CardClass(name=name, colour=colour, labels=[colour]) for name, colour in zip("abc", COLOURS, strict=True)]
SPLITS = {"train": ["0", "1", "2"], "val": ["3"], "test": ["4"]}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGBENCH_CACHE", str(tmp_path / "cache"))


def values(number: int, size: tuple[int, int] = (16, 20)) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 3, size, np.uint8)


@pytest.fixture
def path(tmp_path) -> Path:
    """A card of five images, one of another size, and colour-coded labels."""
    for number in range(5):
        size = (20, 16) if number == 1 else (16, 20)
        image = np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8)
        for folder, name, pixels in (
            ("images", f"{number}.png", image),
            ("labels", f"{number}_L.png", np.array(COLOURS, np.uint8)[values(number, size)]),
        ):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / folder / name)
    write(tmp_path / "mine.yaml")
    return tmp_path / "mine.yaml"


def write(path: Path, **changes: object) -> None:
    fields = {
        "name": "mine",
        "images": "images",
        "labels": "labels",
        "pairing": Pairing(label="{name}_L"),
        "encoding": "colour",
        "classes": CLASSES,
        "splits": SPLITS,
    }
    card.write(Content(**{**fields, **changes}), path)


def test_a_card_is_read_as_it_was_written(path):
    found = card.read(path).content
    assert found.splits == SPLITS
    assert found.classes == CLASSES
    assert title(str(path)) == "mine"
    assert dataset(str(path)).classes == ("a", "b", "c")
    assert dataset(str(path)).palette == COLOURS


def test_a_split_is_one_that_is_read_from_files(path):
    source = open_splits(str(path))["train"]
    assert isinstance(source, StoredSplit)
    assert not isinstance(source, FileSplit)
    assert not isinstance(source, LargeSplit)
    assert source.names == ["0", "1", "2"]
    for index in range(3):
        assert (source.label(index) == values(index, source.image(index).shape[:2])).all()
    assert len(pickle.loads(pickle.dumps(source))) == 3


def test_pixels_are_cached_where_images_have_one_size(path):
    splits = open_splits(str(path))
    assert not isinstance(cached(splits["train"]), Cache)
    pixels = cached(splits["test"])
    assert isinstance(pixels, Cache)
    assert (pixels.label(0) == values(4)).all()


def test_a_cached_digest_is_not_that_of_another_meaning_of_the_same_files(path):
    before = split_digest(open_splits(str(path))["train"])
    write(
        path,
        classes=[
            CLASSES[0],
            *(CardClass(name=n, colour=c, labels=[c]) for n, c in zip("bc", COLOURS[:0:-1], strict=True)),
        ],
    )
    assert split_digest(open_splits(str(path))["train"]) != before


def test_images_of_val_stand_for_test(path):
    write(path, splits={**SPLITS, "test": "val"})
    assert open_splits(str(path))["test"].names == ["3"]
    assert dataset(str(path)).published.keys() == {"train", "val"}


def test_data_that_have_changed_are_noticed(path):
    splits = open_splits(str(path))
    write(path, digest={split: split_digest(source) for split, source in splits.items()})
    open_splits(str(path))
    assert not any(found.problems for found in verify(str(path)).values())
    pixels = np.array(COLOURS, np.uint8)[2 - values(3)]
    Image.fromarray(pixels).save(path.parent / "labels" / "3_L.png")
    with pytest.raises(UserError, match=r"images or labels of val have changed since .*mine.yaml was written"):
        open_splits(str(path))
    assert "val is not as the card says: other pixels" in verify(str(path))["val"].problems[0]


def test_a_file_that_is_gone(path):
    (path.parent / "labels" / "1_L.png").unlink()
    with pytest.raises(UserError, match=r"mine.yaml names 1_L for train, and no file below .*labels is named so"):
        open_splits(str(path))


def test_a_folder_that_is_gone(path):
    (path.parent / "labels").rename(path.parent / "elsewhere")
    with pytest.raises(UserError, match="labels is not there: correct the path of the folder in the card"):
        open_splits(str(path))


def test_a_label_of_an_unknown_colour_and_of_another_size(path):
    source = open_splits(str(path))["val"]
    file = path.parent / "labels" / "3_L.png"
    Image.new("RGB", (20, 16), (1, 2, 3)).save(file)
    with pytest.raises(UserError, match=r"the colour \(1, 2, 3\) at row 0, column 0 is of no class"):
        source.label(0)
    Image.new("RGB", (16, 20)).save(file)
    with pytest.raises(UserError, match="20x16 pixels, but its image has 16x20"):
        source.label(0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "camvid"}, "camvid is a dataset of segbench"),
        ({"name": "a/b"}, "name: should be up to 64 letters, digits, dots, dashes and underscores"),
        ({"Images": 1}, "Images: unknown key: did you mean images?"),
        ({"pairing": {"lable": "{name}"}}, "pairing.lable: unknown key: did you mean label?"),
        ({"splits": {**SPLITS, "trian": ["0"]}}, "splits.trian: unknown key: did you mean train?"),
        ({"splits": {**SPLITS, "test": "all"}}, "splits.test: should be a list of names in quotes, or for test val"),
        ({"void": [2**31]}, "void.0: should be a whole number of 32 bits, or a colour, "),
        ({"void": ["other"]}, "or others, not 'other'"),
        ({"classes": [{"name": "a", "colour": [1, 2], "labels": [0]}]}, "classes.0.colour: should be a colour, [red"),
        ({"classes": [{"name": "a", "labels": [0]}]}, "classes.0.colour: is missing"),
        ({"classes": [{"name": n, "colour": [0, 0, 0], "labels": [0]} for n in "ab"]}, ": 0 means two things"),
        ({"statistics": {"mean": [0.0, 0.0, float("nan")]}}, "statistics.mean.2: should be a finite number, not nan"),
        ({"pairing": 3}, "pairing: should be a mapping"),
        ({"splits": {"train": ["0"], "val": ["3"]}}, "the split test has no image"),
        ({"splits": {**SPLITS, "val": []}}, "the split val has no image"),
        ({"splits": {**SPLITS, "val": ["0"]}}, "the image 0 is in the splits twice"),
        ({"splits": {**SPLITS, "val": [3]}}, "splits.val: should be a list of names in quotes"),
        ({"classes": []}, "classes: should have at least 1 item"),
        ({"void": [[0, 0, 0]]}, "means two things"),
        ({"void": [255]}, "255 is not a colour"),
        ({"pairing": {"label": "x"}}, "pairing.label: should be {name} with"),
        ({"card": 2}, "card: should be 1, not 2"),
    ],
)
def test_faults_of_a_card_are_one_line_with_its_path(path, changes, message):
    found = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(found | changes))
    with pytest.raises(UserError, match=r"mine\.yaml") as caught:
        dataset(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "line 2: is not YAML"),
        ("a: 1\nb: 2\na: 3", "line 3: is not YAML: a is given twice"),
        ("a: 1\nb: 2020-13-45", "x.yaml: is not YAML: month must be in"),
        ("3", "is not a dataset card"),
    ],
)
def test_another_file(tmp_path, text, message):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        card.read(tmp_path / "x.yaml")


class TestProtocols:
    def test_classes_and_batches_are_those_of_the_card(self, path):
        config = compose("enet", "camvid_360x480_scratch", data=path)
        assert config.model.decode_head.num_classes == 3
        assert config.protocol.overrides == {"data": "mine"}
        for split in ("train", "val", "test"):
            source = config[f"{split}_dataloader"].dataset.source
            assert source == {"type": "Card", "root": str(path), "split": split}

    def test_axes_have_the_digest_and_the_classes_and_no_path(self, path, tmp_path):
        found = axes_of(compose("enet", "camvid_360x480_scratch", data=path), digest(open_splits(str(path))))
        assert found["data"]["dataset"] == "mine"
        assert found["data"]["classes"] == ["a", "b", "c"]
        assert str(tmp_path) not in str(found)

    def test_the_config_of_the_network_does_not_depend_on_where_the_card_is(self, path, tmp_path):
        before = config_hash(compose("enet", "camvid_360x480_scratch", data=path))
        moved = tmp_path / "moved.yaml"
        path.rename(moved)
        assert config_hash(compose("enet", "camvid_360x480_scratch", data=moved)) == before

    def test_class_weights_of_the_protocol_are_replaced(self, path):
        with pytest.raises(UserError, match=r"camvid_360x480_enet weighs classes, and .* has no weights"):
            compose("enet", "camvid_360x480_enet", data=path)
        statistics = {"mean": [0.0] * 3, "std": [1.0] * 3, "class_weights": [1.0, 2.0, 3.0]}
        write(path, statistics=statistics)
        config = compose("enet", "camvid_360x480_enet", data=path)
        assert config.model.decode_head.loss_decode.class_weight == [1.0, 2.0, 3.0]
        config = compose("espnet", "camvid_360x480_espnet", data=path)
        assert config.model.decode_head.num_classes == 4

    def test_a_pipeline_of_mmsegmentation_reads_the_card(self, path):
        from mmseg.registry import DATASETS

        config = compose("enet", "ade20k_512x512_80k", data=path)
        images = DATASETS.build(config.test_dataloader.dataset)
        assert images.metainfo["classes"] == ("a", "b", "c")
        assert images.pipeline.names == ["4"]
        made = images[0]["data_samples"].gt_sem_seg.data[0].numpy()
        assert (made == values(4)).all()
        batches = DATASETS.build(config.train_dataloader.dataset | {"batch_size": 2})
        assert set(np.unique(batches[0]["labels"])) <= {0, 1, 2, 255}
