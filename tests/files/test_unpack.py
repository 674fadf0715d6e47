import io
import stat
import struct
import tarfile
import zipfile
from pathlib import PurePosixPath

import pytest

from benchmark.errors import UserError
from benchmark.files.unpack import is_archive, unpack

LIMIT = 1 << 20


def anywhere(path):
    """Takes every member where it says, as a careless dataset would."""
    return path if path.parts else None


def pictures(path):
    return PurePosixPath("set", path.name) if path.suffix == ".png" else None


def make_tar(path, members, mode="w"):
    """Members are (name, content) or (name, type, link target)."""
    with tarfile.open(path, mode) as archive:
        for name, *rest in members:
            info = tarfile.TarInfo(name)
            if isinstance(rest[0], bytes) and len(rest) == 1:
                info.size = len(rest[0])
                archive.addfile(info, io.BytesIO(rest[0]))
            else:
                info.type, info.linkname = rest
                archive.addfile(info)
    return path


def make_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def target(tmp_path):
    return tmp_path / "inside" / "target"


MEMBERS = [("top/a.png", b"a" * 5000), ("top/notes.md", b"x"), ("top/deep/b.png", b"b")]


def test_a_tar_that_ends_like_a_zip_is_a_tar(tmp_path, target):
    """The end of a zip file is its mark, and an archive may hold one as its last member."""
    inner = make_zip(tmp_path / "inner.zip", [("x", b"x")]).read_bytes()
    path = make_tar(tmp_path / "archive", [("a", b"a"), ("counts.npz", inner)])
    assert zipfile.is_zipfile(path)
    assert unpack(path, target, anywhere, LIMIT) == 2
    assert files(target) == {"a": b"a", "counts.npz": inner}


@pytest.mark.parametrize("kind", ["w", "w:gz", "w:xz", "w:bz2", "zip"])
def test_unpacks_what_belongs_to_the_dataset(tmp_path, target, kind):
    path = tmp_path / "archive"  # the name says nothing
    make_zip(path, MEMBERS) if kind == "zip" else make_tar(path, MEMBERS, kind)
    assert is_archive(path)
    assert unpack(path, target, pictures, LIMIT) == 2
    assert files(target) == {"set/a.png": b"a" * 5000, "set/b.png": b"b"}


@pytest.mark.parametrize(
    "name",
    [
        "../evil.png",
        "a/../../evil.png",
        "/evil.png",
        "..\\evil.png",
        "C:\\evil.png",
        "C:evil.png",
        "\\\\host\\share\\evil.png",
    ],
)
@pytest.mark.parametrize("make", [make_tar, make_zip])
@pytest.mark.parametrize("place", [anywhere, pictures])
def test_no_path_leaves_the_target(tmp_path, target, name, make, place):
    path = make(tmp_path / "archive", [("good.png", b"good"), (name, b"evil")])
    with pytest.raises(UserError, match="would leave the target"):
        unpack(path, target, place, LIMIT)
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize(
    "member",
    [
        ("link.png", tarfile.SYMTYPE, "/etc/passwd"),
        ("link.png", tarfile.LNKTYPE, "../../secret"),
        ("pipe.png", tarfile.FIFOTYPE, ""),
        ("device.png", tarfile.CHRTYPE, ""),
    ],
)
def test_links_and_devices_of_a_tar_are_refused(tmp_path, target, member):
    path = make_tar(tmp_path / "archive", [member])
    with pytest.raises(UserError, match="is a link or a device"):
        unpack(path, target, anywhere, LIMIT)
    assert not target.exists()


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_entries_of_folders_are_skipped(tmp_path, target, kind):
    """File managers and `zip -r` write them."""
    path = tmp_path / "archive"
    if kind == "tar":
        make_tar(path, [("sub", tarfile.DIRTYPE, ""), ("sub/a.png", b"a")])
    else:
        folder = zipfile.ZipInfo("sub/")
        folder.external_attr = (stat.S_IFDIR | 0o755) << 16
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(folder, b"")
            archive.writestr("sub/a.png", b"a")
    assert unpack(path, target, anywhere, LIMIT) == 1
    assert files(target) == {"sub/a.png": b"a"}


def test_content_of_a_folder_is_refused(tmp_path, target):
    with zipfile.ZipFile(tmp_path / "archive", "w") as archive:
        archive.writestr("sub/", b"hidden")
    with pytest.raises(UserError, match="'sub/' is a link or a device"):
        unpack(tmp_path / "archive", target, anywhere, LIMIT)


def test_an_archive_within_a_truncated_one_is_not_taken_for_it(tmp_path, target):
    """Python finds a zip archive by its end, which may be that of a member."""
    inner = make_zip(tmp_path / "inner.npz", [("x", b"x")]).read_bytes()
    path = tmp_path / "archive"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npz", inner)
    content = path.read_bytes()
    path.write_bytes(content[: content.index(inner) + len(inner)])
    assert zipfile.is_zipfile(path)
    with pytest.raises(UserError, match=r"is not a readable archive: truncated: .*; get it again"):
        unpack(path, target, anywhere, LIMIT)


def test_file_through_a_linked_folder_stays_inside(tmp_path, target):
    """The classic: a link to the outside, then a file through it."""
    members = [("sub", tarfile.SYMTYPE, str(tmp_path)), ("sub/evil.png", b"evil")]
    path = make_tar(tmp_path / "archive", members)
    with pytest.raises(UserError, match="is a link"):
        unpack(path, target, anywhere, LIMIT)
    assert unpack(path, target, pictures, LIMIT) == 1  # the link does not belong to it, the file does
    assert files(target) == {"set/evil.png": b"evil"}
    assert not (tmp_path / "evil.png").exists()


def test_symbolic_link_of_a_zip_is_refused(tmp_path, target):
    path = tmp_path / "archive"
    info = zipfile.ZipInfo("link.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(UserError, match="is a link"):
        unpack(path, target, anywhere, LIMIT)
    assert not target.exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_member_that_comes_twice_is_refused(tmp_path, target, make):
    path = make(tmp_path / "archive", [("a.png", b"first"), ("a.png", b"second")])
    with pytest.raises(UserError, match=r"its member 'a\.png' occurs twice"):
        unpack(path, target, anywhere, LIMIT)
    assert files(target) == {"a.png": b"first"}


@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_bomb_ends_at_the_limit(tmp_path, target, make):
    path = make(tmp_path / "archive", [("a.png", bytes(700_000)), ("b.png", bytes(700_000))])
    with pytest.raises(UserError, match=r"b\.png"):
        unpack(path, target, anywhere, LIMIT)
    assert sum(map(len, files(target).values())) <= LIMIT + (1 << 18)


def test_bomb_that_lies_about_its_size_ends(tmp_path, target):
    """The size in a zip's directory is what its maker wrote there."""
    path = make_zip(tmp_path / "archive", [("a.png", bytes(4 << 20))])
    data = path.read_bytes()
    assert data.count(struct.pack("<I", 4 << 20)) == 2
    path.write_bytes(data.replace(struct.pack("<I", 4 << 20), struct.pack("<I", 100)))
    with pytest.raises(UserError):
        unpack(path, target, anywhere, LIMIT)
    assert sum(map(len, files(target).values())) <= LIMIT


def test_flood_of_empty_files_ends_at_the_limit(tmp_path, target):
    path = make_tar(tmp_path / "archive", [(f"{i}.png", b"") for i in range(300)])
    with pytest.raises(UserError, match="exceeds the size limit"):
        unpack(path, target, anywhere, LIMIT)
    assert len(files(target)) == LIMIT // 4096 + 1


@pytest.mark.parametrize("kind", ["w:gz", "w:xz", "w:bz2", "w", "zip"])
@pytest.mark.parametrize("kept", [0.31, 0.62, 0.93])
def test_truncated_archive_is_named(tmp_path, target, kind, kept):
    path = tmp_path / "archive"
    members = [(f"{i}.png", bytes(range(256)) * 40) for i in range(20)]
    make_zip(path, members) if kind == "zip" else make_tar(path, members, kind)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data.rstrip(b"\0")) * kept)])
    with pytest.raises(UserError, match="archive is not a readable archive"):
        unpack(path, target, anywhere, LIMIT)


def test_damaged_content_of_a_zip_is_found(tmp_path, target):
    path = tmp_path / "archive"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", b"content")
    path.write_bytes(path.read_bytes().replace(b"content", b"contest"))
    with pytest.raises(UserError, match=r"readable archive: Bad CRC-32"):
        unpack(path, target, anywhere, LIMIT)


def test_encrypted_zip_is_refused(tmp_path, target):
    path = make_zip(tmp_path / "archive", [("a.png", b"content")])
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="encrypted"):
        unpack(path, target, anywhere, LIMIT)


def test_what_is_no_archive_is_said(tmp_path, target):
    path = tmp_path / "page.html"
    path.write_text("<html>Not found</html>")
    assert not is_archive(path)
    assert not is_archive(tmp_path)
    with pytest.raises(UserError, match=r"page\.html is not a readable archive"):
        unpack(path, target, anywhere, LIMIT)


def test_disk_that_refuses_is_said(tmp_path):
    path = make_zip(tmp_path / "archive", [("a.png", b"content")])
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        unpack(path, tmp_path / "file" / "target", anywhere, LIMIT)
