"""Safe extraction of untrusted archives.

`extract` of tarfile and zipfile is not used, because its filters differ between versions of Python. Members are read as
streams and written as plain files to paths that the caller chooses, all within the target folder.
"""

from __future__ import annotations

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Literal

from benchmark.errors import UserError
from benchmark.files.limit import write_new

BLOCK = 4096
"""Minimum size of a file in the sum for the limit, so that it also bounds the number of empty files."""

BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    OSError,
)
"""Exceptions when reading a damaged, encrypted or unsupported archive."""

Opener = Callable[[], IO[bytes]]

Kind = Literal["file", "folder", "other"]


def is_archive(path: Path) -> bool:
    """Return whether a file is a zip or tar archive, by its content."""
    return path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path))


def unpack(archive: Path, target: Path, place: Callable[[PurePosixPath], PurePosixPath | None], limit: int) -> int:
    """Unpack selected members of an archive; entries of folders are skipped.

    Args:
        archive: a zip file or a tar file, compressed or not.
        target: folder to unpack into.
        place: returns the path of a member in the target, by its name in the archive; None skips it.
        limit: maximum unpacked size in bytes.

    Returns:
        The number of unpacked files.

    Raises:
        UserError: the archive is damaged, exceeds the limit, or is malicious: a member has an absolute path or one
            with `..`, or a selected member is a link, a device or a duplicate. Files unpacked before the error are
            kept.
    """
    taken: set[PurePosixPath] = set()
    try:
        for name, kind, open_member in _members(archive):
            path = PureWindowsPath(name)  # splits at both slashes
            if path.anchor or ".." in path.parts:
                raise UserError(f"{archive} is not unpacked: its member {name!r} would leave the target folder")
            destination = None if kind == "folder" else place(PurePosixPath(*path.parts))
            if destination is None:
                continue
            if kind != "file":
                raise UserError(f"{archive} is not unpacked: its member {name!r} is a link or a device")
            if destination in taken:
                raise UserError(f"{archive} is not unpacked: its member {name!r} occurs twice")
            with open_member() as stream:
                limit -= max(write_new(target / destination, stream, limit), BLOCK)
            if limit < 0:
                raise UserError(f"{archive} exceeds the size limit: it is not the expected archive")
            taken.add(destination)
    except BROKEN as error:
        advice = "" if isinstance(error, RuntimeError) else "; get it again"  # encrypted, or of a method unknown here
        raise UserError(f"{archive} is not a readable archive: {error}{advice}") from error
    return len(taken)


def _members(archive: Path) -> Iterator[tuple[str, Kind, Opener]]:
    """Yield the name of each member, its kind, and a function that opens it."""
    if tarfile.is_tarfile(archive):  # checked first: a tar file that ends with an .npz is also a zip file for Python
        with tarfile.open(archive) as file:
            for member in file:
                kind: Kind = "folder" if member.isdir() else "file" if member.isreg() else "other"
                yield member.name, kind, partial(_open_member, file, member)
    else:
        with zipfile.ZipFile(archive) as file:
            if min((info.header_offset for info in file.infolist()), default=0) > 0:
                raise zipfile.BadZipFile("truncated: only an archive within it was found")  # such as an .npz
            for info in file.infolist():
                yield info.filename, _kind(info), partial(file.open, info)


def _kind(member: zipfile.ZipInfo) -> Kind:
    mode = stat.S_IFMT(member.external_attr >> 16)  # Unix mode, if the archive was created on Unix
    if member.is_dir() and not member.file_size and mode in (0, stat.S_IFDIR):
        return "folder"
    return "file" if mode in (0, stat.S_IFREG) and not member.is_dir() else "other"


def _open_member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    stream = archive.extractfile(member)
    if stream is None:
        raise tarfile.ReadError(f"{member.name} has no content")
    return stream
