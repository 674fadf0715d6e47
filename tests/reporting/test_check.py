import re
from base64 import b64decode, b64encode
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from benchmark.reporting.check import differences
from benchmark.reporting.report import make

WALL = "camvid_180x240_cpu/predictions.png"


@pytest.fixture
def written(store, make_record, tmp_path):
    """A report with every kind of file, and the folder that it was written to."""
    record, arrays = make_record("enet", protocol="camvid_180x240_cpu")
    store.add(record.model_copy(update={"dataset": record.dataset.model_copy(update={"name": "camvid"})}), arrays)
    report = make(store.root, tmp_path / "reports")
    report.write()
    return report, tmp_path / "reports"


def found(report):
    return [(path.relative_to(report.folder).as_posix(), what) for path, what in differences(report)]


def test_what_was_just_written_is_as_it_should_be(written):
    assert found(written[0]) == []


@pytest.mark.parametrize("name", ["index.html", WALL, "camvid_180x240_cpu/curves.svg"])
def test_a_file_that_is_missing_or_another(written, name):
    report, folder = written
    (folder / name).write_bytes((folder / name).read_bytes()[:-40])
    assert found(report) == [(name, "stale")]
    (folder / name).unlink()
    assert found(report) == [(name, "missing")]


def test_a_figure_of_no_leaderboard_is_unexpected_and_other_files_are_not(written):
    report, folder = written
    (folder / "README.md").write_text("what this is")
    for name in ("old/predictions.png", "old/notes.md"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("old")
    assert found(report) == [("old/predictions.png", "unexpected")]


def test_a_figure_edited_by_hand_is_found(written):
    report, folder = written
    page = folder / "index.html"
    (score,) = set(re.findall(r">(\d\d\.\d\d)<", page.read_text())[:1])
    page.write_text(page.read_text().replace(score, "99.99"))
    assert found(report) == [("index.html", "stale")]


def repacked(page, change):
    """The page with its pictures packed by another library, or other pictures."""

    def pack(match):
        pixels = np.array(Image.open(BytesIO(b64decode(match[1]))).convert("RGB"))
        buffer = BytesIO()
        Image.fromarray(change(pixels)).save(buffer, "png", compress_level=1)
        return f"data:image/png;base64,{b64encode(buffer.getvalue()).decode()}"

    return re.sub(r"data:image/png;base64,([A-Za-z0-9+/=]+)", pack, page)


def test_pictures_in_the_page_are_compared_by_their_pixels(written):
    report, folder = written
    page, text = folder / "index.html", (folder / "index.html").read_text()
    page.write_text(repacked(text, lambda pixels: pixels))
    assert page.read_text() != text
    assert found(report) == []
    page.write_text(repacked(text, lambda pixels: pixels ^ 1))
    assert found(report) == [("index.html", "stale")]


def test_photographs_are_stale_whoever_has_the_samples(filled, tmp_path):
    folder = tmp_path / "reports"
    make(filled.root, folder, photographs=True).write()
    assert found(make(filled.root, folder)) == [("index.html", "stale")]
    make(filled.root, folder).write()
    next(filled.root.glob("*/samples-*.npz")).unlink()
    assert found(make(filled.root, folder)) == []
