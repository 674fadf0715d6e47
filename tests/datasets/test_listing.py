"""Which files belong to a dataset, and what is said of those that almost do."""

import os
import sys
import unicodedata
from pathlib import Path

import pytest

from benchmark.datasets.listing import files_below, missing, pairs_below, read_names, require_file
from benchmark.errors import UserError


@pytest.fixture
def folder(tmp_path):
    """Makes empty files below a folder, by their paths."""

    def make(*paths):
        for path in paths:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).touch()
        return tmp_path

    return make


def test_hidden_files_do_not_belong(folder):
    root = folder("a.jpg", "._a.jpg", ".DS_Store", "Thumbs.db", ".git/b.jpg", "sub/c.jpg", "sub/._c.jpg", "notes.txt")
    assert sorted(files_below(root, (".jpg",))) == ["a.jpg", "sub/c.jpg"]


def test_a_label_lies_where_its_image_does(folder):
    root = folder("images/city/a b.v1_x.png")
    assert pairs_below(root / "images", "_x.png", root / "labels", "_y.png") == [
        ("city/a b.v1_x", root / "images/city/a b.v1_x.png", root / "labels/city/a b.v1_y.png")
    ]


def test_a_folder_that_is_not_there_holds_nothing(tmp_path):
    assert files_below(tmp_path / "absent", (".jpg",)) == []


@pytest.mark.parametrize("name", ["b.JPG", "b.Jpg", "b.jpeg", "b.JPEG"])
def test_other_ways_to_write_the_suffix_are_named(folder, name):
    with pytest.raises(UserError, match=rf"{name} would be ignored, because it does not end in \.jpg: rename it"):
        files_below(folder("a.jpg", name), (".jpg",))


def test_a_suffix_with_capitals_of_its_own(folder):
    assert files_below(folder("a_leftImg8bit.png", "a_other.png"), ("_leftImg8bit.png",)) == ["a_leftImg8bit.png"]
    with pytest.raises(UserError, match=r"b_leftImg8bit\.PNG would be ignored"):
        files_below(folder("b_leftImg8bit.PNG"), ("_leftImg8bit.png",))


def test_packed_files_are_named(folder):
    with pytest.raises(UserError, match=r"a\.png\.gz would be ignored, .*: unpack it"):
        files_below(folder("a.png.gz"), (".png", ".webp"))


def test_links_are_followed_but_not_in_circles(folder, tmp_path):
    root = folder("data/a.jpg", "elsewhere/b.jpg")
    (root / "data/linked").symlink_to(root / "elsewhere")
    (root / "data/c.jpg").symlink_to(root / "elsewhere/b.jpg")
    (root / "elsewhere/circle").symlink_to(root / "data")
    (root / "data/circle").symlink_to(root / "data")
    assert {"a.jpg", "c.jpg", "linked/b.jpg"} <= set(files_below(root / "data", (".jpg",)))
    assert len(files_below(root / "data", (".jpg",))) < 9


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such a name themselves")
def test_a_name_that_is_no_text_is_refused(tmp_path):
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg")).touch()
    with pytest.raises(UserError, match=r"\\xff\.jpg.*not UTF-8: rename it") as caught:
        files_below(tmp_path, (".jpg",))
    str(caught.value).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"a b\nn\xc3\xa4me\nc\n",
        b"\xef\xbb\xbfa b\r\nn\xc3\xa4me\r\nc",  # as Windows writes it
        b"\n  a b  \n\n\nn\xc3\xa4me\t\nc\n\n",
    ],
)
def test_a_list_has_a_name_in_every_line(tmp_path, content):
    (tmp_path / "list.txt").write_bytes(content)
    assert read_names(tmp_path / "list.txt") == ["a b", "näme", "c"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\nb\na\n", r"list\.txt lists a 2 times$"),
        (b"a\n\n/etc/passwd\n", r"list\.txt, line 3: not the name of an image: '/etc/passwd'$"),
        (b"a\n../b\n", r"list\.txt, line 2: not the name of an image: '\.\./b'$"),
        (b"a\n\xff\xfe\n", r"list\.txt cannot be read: it is not text in UTF-8"),
        ("a\nb\n".encode("utf-16"), r"list\.txt cannot be read: it is not text in UTF-8"),
    ],
)
def test_malformed_lists_are_named(tmp_path, content, message):
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_names(tmp_path / "list.txt")


def test_a_list_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_names(tmp_path / "absent.txt")
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        read_names(tmp_path)


@pytest.mark.parametrize(
    ("wanted", "there", "what"),
    [
        ("a.jpg", "a.JPG", "but a.JPG exists: rename it"),
        ("a.jpg", "a.jpeg", "but a.jpeg exists: rename it"),
        ("a.png", "a.Png", "but a.Png exists: rename it"),
        ("a.png", "a.png.gz", "but a.png.gz exists: unpack it"),
        (unicodedata.normalize("NFC", "ä.png"), unicodedata.normalize("NFD", "ä.png"), "exists: rename it"),
    ],
)
def test_a_missing_file_is_named_with_what_is_in_its_place(folder, wanted, there, what):
    root = folder(there)
    if (root / wanted).exists():
        pytest.skip("the file system takes the two names for one")
    with pytest.raises(UserError) as caught:
        require_file(root / wanted)
    assert str(caught.value).startswith(f"{root / wanted} is missing, ")
    assert str(caught.value).endswith(what)


def test_what_a_missing_file_may_be(tmp_path):
    assert str(missing(tmp_path / "a.png")) == f"{tmp_path / 'a.png'} is missing"
    (tmp_path / "a.png").symlink_to("gone.png")
    assert str(missing(tmp_path / "a.png")).endswith("it is a link to gone.png, which does not exist")
    (tmp_path / "b.png").mkdir()
    assert str(missing(tmp_path / "b.png")).endswith("its path is not a file")
    (tmp_path / "gone.png").touch()
    assert require_file(tmp_path / "a.png") == tmp_path / "a.png"
