import hashlib

import numpy as np
import pytest

from benchmark.confusion import count, scores
from benchmark.datasets.shapes import Shapes
from benchmark.datasets.source import SPLITS, DatasetSplit


def _arrays(split):
    source = Shapes(split)
    indices = range(len(source))
    return np.stack([source.image(i) for i in indices]), np.stack([source.label(i) for i in indices])


@pytest.mark.parametrize("split", SPLITS)
def test_pixels_are_the_same_everywhere(split):
    """The digest, taken here from its definition, is the pinned one on every platform and version of NumPy."""
    source = Shapes(split)
    sha256 = hashlib.sha256()
    for index, name in enumerate(source.names):
        label = source.label(index)
        sha256.update(
            name.encode() + source.image(index).tobytes() + np.where(label == 255, 8, label).astype("u1").tobytes()
        )
    assert len(source) == Shapes.published[split].images
    assert sha256.hexdigest() == Shapes.published[split].digest


def test_is_a_source_of_uint8():
    source: DatasetSplit = Shapes("val", size=(48, 80))
    assert source.image(3).shape == (48, 80, 3)
    assert source.label(3).shape == (48, 80)
    assert source.image(3).dtype == source.label(3).dtype == np.uint8
    assert len(source.classes) == len(source.palette) == len(set(source.palette)) == 8
    assert source.names[3] == "val_0003"


def test_order_of_access_does_not_matter():
    forwards, backwards = Shapes("val"), Shapes("val")
    last = backwards.image(31)
    for index in range(31):
        forwards.image(index)
    assert (forwards.image(31) == last).all()


def test_no_scene_is_in_two_splits_or_twice_in_one():
    digests = [hashlib.sha256(image.tobytes()).digest() for split in SPLITS for image in _arrays(split)[0]]
    assert len(set(digests)) == len(digests) == 256 + 32 + 64


def test_another_seed_gives_other_scenes():
    assert (Shapes("val", seed=1).image(0) != Shapes("val").image(0)).any()


def test_what_a_caller_does_to_an_image_stays_with_the_caller():
    source = Shapes("val")
    before = source.image(0)
    source.image(0)[:] = 0
    source.label(0)[:] = 0
    assert (source.image(0) == before).all()
    assert source.label(0).any()


def test_every_class_and_void_are_there():
    for split in SPLITS:
        _, labels = _arrays(split)
        shares = np.bincount(labels.ravel(), minlength=256) / labels.size
        assert shares[:8].min() > 0.015
        assert 0.002 < shares[255] < 0.02
        assert shares[:8].sum() + shares[255] == pytest.approx(1)


def test_colour_or_place_alone_do_not_solve_it():
    """The best guess from a pixel's colour, and from its place, is far from a segmentation."""
    images, labels = _arrays("train")
    test_images, test_labels = _arrays("test")
    known = labels != 255

    def bins(rgb):
        r, g, b = np.moveaxis(rgb.astype(np.int64) >> 4, -1, 0)
        return r << 8 | g << 4 | b

    by_colour = np.zeros((4096, 8))
    np.add.at(by_colour, (bins(images)[known], labels[known]), 1)
    by_place = np.stack([(labels == c).sum(axis=0) for c in range(8)], axis=-1)
    guesses = by_colour.argmax(1)[bins(test_images)], np.broadcast_to(by_place.argmax(-1), test_labels.shape)
    colour, place = (scores(count(guess, test_labels, 8)).miou for guess in guesses)
    assert 20 < colour < 32
    assert 10 < place < 20


def test_mistakes_are_said():
    with pytest.raises(ValueError, match="train, val, test"):
        Shapes("training")
    with pytest.raises(ValueError, match="8 by 64"):
        Shapes("train", size=(8, 64))
    with pytest.raises(IndexError):
        Shapes("val").image(32)
    with pytest.raises(IndexError):
        Shapes("val").label(-1)
