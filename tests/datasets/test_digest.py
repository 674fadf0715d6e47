import hashlib
import os

import numpy as np
import pytest
from PIL import Image

from benchmark.datasets.camvid import CamVid
from benchmark.datasets.catalog import open_splits
from benchmark.datasets.digest import digest, split_digest
from benchmark.datasets.shapes import Shapes
from benchmark.datasets.source import SPLITS
from benchmark.errors import UserError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache folder of its own for every test, so that none meets a digest that another remembered."""
    monkeypatch.delenv("SEGBENCH_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _by_definition(home, split):
    """SHA-256 over name, RGB bytes and raw label bytes of the sorted images, as CamVid's pinned digests were made."""
    sha256 = hashlib.sha256()
    for path in sorted((home / split).iterdir()):
        sha256.update(path.stem.encode())
        sha256.update(np.array(Image.open(path).convert("RGB")).tobytes())
        sha256.update(np.array(Image.open(home / f"{split}annot" / f"{path.stem}.png")).tobytes())
    return sha256.hexdigest()


@pytest.fixture
def decoded(monkeypatch):
    """The images decoded so far."""
    indices = []
    image = CamVid.image
    monkeypatch.setattr(CamVid, "image", lambda self, index: indices.append(index) or image(self, index))
    return indices


@pytest.mark.parametrize("split", SPLITS)
def test_split_digest_follows_its_definition(camvid_miniature, split):
    assert split_digest(CamVid(camvid_miniature, split)) == _by_definition(camvid_miniature / "CamVid", split)


def test_digest_names_the_pixels_not_the_files(camvid_miniature):
    before = digest(open_splits("camvid", camvid_miniature))
    for path in (camvid_miniature / "CamVid" / "train").glob("*.png"):
        Image.open(path).save(path.with_suffix(".webp"), lossless=True, exact=True)
        path.unlink()
    (camvid_miniature / "CamVid" / "train.txt").unlink()
    assert digest(open_splits("camvid", camvid_miniature)) == before


def test_digest_changes_with_splits_and_classes(camvid_miniature, monkeypatch):
    sources = open_splits("camvid", camvid_miniature)
    digests = {digest(sources), digest({"train": sources["train"], "val": sources["test"], "test": sources["val"]})}
    monkeypatch.setattr(CamVid, "classes", [*CamVid.classes[:-1], "Cyclist"])
    digests.add(digest(sources))
    assert len(digests) == 3


def test_files_are_decoded_once(camvid_miniature, decoded, cache):
    first = split_digest(CamVid(camvid_miniature, "train"))
    assert sorted(decoded) == [0, 1, 2, 3]
    assert split_digest(CamVid(camvid_miniature, "train")) == first
    assert len(decoded) == 4
    assert len(list((cache / "segbench" / "digests").iterdir())) == 1


def test_change_that_keeps_name_size_and_time_is_seen(camvid_miniature):
    path = camvid_miniature / "CamVid" / "trainannot" / "train_0.png"
    Image.new("L", (48, 36), 1).save(path, compress_level=0)
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    before, size = split_digest(CamVid(camvid_miniature, "train")), path.stat().st_size
    Image.new("L", (48, 36), 2).save(path, compress_level=0)
    os.utime(path, ns=times)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (size, times[1])
    after = split_digest(CamVid(camvid_miniature, "train"))
    assert after != before
    assert after == _by_definition(camvid_miniature / "CamVid", "train")


def test_shorter_list_is_another_split(camvid_miniature):
    before = split_digest(CamVid(camvid_miniature, "train"))
    path = camvid_miniature / "CamVid" / "train.txt"
    path.write_text("\n".join(path.read_text().splitlines()[:3]))
    assert split_digest(CamVid(camvid_miniature, "train")) != before


@pytest.mark.parametrize("content", [b"", b"\xff\xff", b"0" * 63, b"z" * 64])
def test_damaged_memory_is_not_believed(camvid_miniature, cache, content):
    right = split_digest(CamVid(camvid_miniature, "val"))
    (memory,) = (cache / "segbench" / "digests").iterdir()
    memory.write_bytes(content)
    assert split_digest(CamVid(camvid_miniature, "val")) == right
    assert memory.read_text() == right


def test_cache_that_cannot_be_written_is_tolerated(camvid_miniature, cache):
    cache.write_text("a file where the folder should be")
    assert split_digest(CamVid(camvid_miniature, "val")) == _by_definition(camvid_miniature / "CamVid", "val")


def test_missing_file_is_named_in_spite_of_a_memory(camvid_miniature):
    split_digest(CamVid(camvid_miniature, "val"))
    (camvid_miniature / "CamVid" / "val" / "val_0.png").unlink()
    with pytest.raises(UserError, match=r"val/val_0\.png is missing"):
        split_digest(CamVid(camvid_miniature, "val"))


def test_void_counts_as_the_number_of_classes():
    """Shapes has void pixels; 255 and 8 are the same there and nowhere else."""
    source = Shapes("val")
    sha256 = hashlib.sha256()
    for index, name in enumerate(source.names):
        label = source.label(index)
        label[label == 255] = 8
        sha256.update(name.encode() + source.image(index).tobytes() + label.tobytes())
    assert split_digest(source) == sha256.hexdigest()
