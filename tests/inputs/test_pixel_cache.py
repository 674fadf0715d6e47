"""The cache of pixels: what it holds, that it is built whole and once, and what happens where it cannot be."""

import multiprocessing
import pickle
import subprocess
import sys
import warnings
from contextlib import nullcontext

import numpy as np
import pytest
from PIL import Image

from benchmark.datasets import digest
from benchmark.datasets.camvid import CamVid
from benchmark.datasets.shapes import Shapes
from benchmark.inputs import pixel_cache
from benchmark.inputs.pixel_cache import Cache, CacheWarning, Decoded, cached


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The user's cache folder, a new one for every test."""
    monkeypatch.setenv("SEGBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def source(camvid_miniature):
    """A split with void pixels."""
    return CamVid(camvid_miniature, "train")


def _hold_the_same(pixels, source):
    return len(pixels) == len(source) and all(
        np.array_equal(pixels.image(i), source.image(i).transpose(2, 0, 1))
        and np.array_equal(pixels.label(i), source.label(i))
        for i in range(len(source))
    )


def _entries(folder):
    return sorted((folder / "pixels").iterdir())


def test_holds_what_the_source_has(source):
    pixels = cached(source)
    assert isinstance(pixels, Cache)
    assert _hold_the_same(pixels, source)
    assert (pixels.label(0) == 255).any()


def test_is_built_once(source, folder, monkeypatch):
    cached(source)
    entries = _entries(folder)
    assert len(entries) == 1
    monkeypatch.setattr(CamVid, "image", lambda self, index: pytest.fail("decoded again"))
    assert isinstance(cached(source), Cache)
    assert _entries(folder) == entries


def test_pixels_cannot_be_written_to(source):
    for array in (cached(source).image(0), cached(source).label(0)):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0


def test_another_process_gets_the_place_and_not_the_pixels(source):
    pixels = cached(source)
    sent = pickle.dumps(pixels)
    assert len(sent) < 1000
    assert _hold_the_same(pickle.loads(sent), source)


def test_changed_files_have_another_cache(source, camvid_miniature, folder):
    cached(source)
    Image.new("RGB", (48, 36), (1, 2, 3)).save(camvid_miniature / "CamVid" / "train" / "train_0.png")
    assert _hold_the_same(cached(source), source)
    assert len(_entries(folder)) == 2


@pytest.mark.parametrize("name", ["images.npy", "labels.npy"])
@pytest.mark.parametrize("damage", ["removed", "empty", "truncated", "other", "text"])
def test_damaged_is_rebuilt(source, folder, name, damage):
    cached(source)
    path = _entries(folder)[0] / name
    content = path.read_bytes()
    path.unlink()
    if damage == "other":
        np.save(path, np.zeros((3, 3), np.float32))
    elif damage != "removed":
        path.write_bytes({"empty": b"", "truncated": content[:-1], "text": b"not an array" * 20}[damage])
    pixels = cached(source)
    assert isinstance(pixels, Cache)
    assert _hold_the_same(pixels, source)
    assert len(_entries(folder)) == 1


def test_the_loser_uses_what_the_winner_made(source, folder, monkeypatch):
    write = pixel_cache._write

    def slow(*arguments):
        monkeypatch.setattr(pixel_cache, "_write", write)
        cached(source)  # the winner is done while the loser writes
        return write(*arguments)

    monkeypatch.setattr(pixel_cache, "turn", lambda path: nullcontext())  # a file system without locks
    monkeypatch.setattr(pixel_cache, "_write", slow)
    assert _hold_the_same(cached(source), source)
    assert len(_entries(folder)) == 1


def _open(root):
    source = CamVid(root, "train")
    pixels = cached(source)
    return isinstance(pixels, Cache) and _hold_the_same(pixels, source)


def test_several_processes_at_once(camvid_miniature, folder):
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert all(pool.map(_open, [camvid_miniature] * 8, chunksize=1))
    assert len(_entries(folder)) == 1


@pytest.mark.parametrize("known", [False, True], ids=["cold", "known digest"])
def test_processes_of_a_node_decode_each_image_once(camvid_miniature, tmp_path, folder, known):
    """The first one decodes, and the others wait for it and map the same files."""
    if known:
        digest.split_digest(CamVid(camvid_miniature, "train"))
    code = (
        "import sys, time; from pathlib import Path; from benchmark.datasets.camvid import CamVid\n"
        "from benchmark.inputs.pixel_cache import Cache, cached\n"
        "decode = CamVid.image\n"
        "def image(self, index):\n"
        "    time.sleep(0.3)\n"
        "    with Path(sys.argv[2]).open('a') as log: log.write(f'{index}\\n')\n"
        "    return decode(self, index)\n"
        "CamVid.image = image\n"
        "source = CamVid(Path(sys.argv[1]), 'train')\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "pixels = cached(source)\n"
        "assert isinstance(pixels, Cache) and len(pixels) == 4, pixels\n"
    )
    command = [sys.executable, "-c", code, camvid_miniature, tmp_path / "decoded"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert sorted((tmp_path / "decoded").read_text().split()) == ["0", "1", "2", "3"]
    assert digest.split_digest(CamVid(camvid_miniature, "train")) in _entries(folder)[0].name


def test_full_disk_costs_one_line_and_nothing_else(source, folder, monkeypatch):
    def full(file, shape):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pixel_cache, "_write_header", full)
    with pytest.warns(CacheWarning, match="No space left") as caught:
        pixels = cached(source)
    assert len(caught) == 1
    assert _hold_the_same(pixels, source)
    assert _entries(folder) == []


def test_folder_that_cannot_be_made(source, folder):
    folder.write_text("a file where the folder should be")
    with pytest.warns(CacheWarning):
        assert _hold_the_same(cached(source), source)


def test_images_of_several_sizes_are_not_cached(source, camvid_miniature, folder):
    for kind, mode in (("train", "RGB"), ("trainannot", "L")):
        Image.new(mode, (20, 10)).save(camvid_miniature / "CamVid" / kind / "train_2.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = cached(source)
    assert _hold_the_same(pixels, source)
    assert _entries(folder) == []


def test_a_source_without_files_needs_none(folder):
    source = Shapes("val")
    pixels = cached(source)
    assert isinstance(pixels, Decoded)
    assert _hold_the_same(pixels, source)
    assert not folder.exists()


def test_place(monkeypatch, tmp_path, source, folder):
    monkeypatch.delenv("SEGBENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    cached(source)
    assert len(_entries(tmp_path / "xdg" / "segbench")) == 1
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    cached(source)
    assert len(_entries(tmp_path / "home" / ".cache" / "segbench")) == 1
