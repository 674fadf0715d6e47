"""Unpacks archives that nobody vouches for: only what is asked for, and never outside the target.

Nothing is left to `extract` of tarfile or zipfile, whose filters differ between versions of Python: members are read as
streams, and written as plain files to places that the caller names.
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
from typing import IO

from benchmark.errors import UserError
from benchmark.files.limit import write_new

BLOCK = 4096
"""Bytes that a file counts for at least, so that a flood of empty files meets the limit too."""

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
"""What reading a damaged, encrypted or exotic archive raises."""

Opener = Callable[[], IO[bytes]]


def is_archive(path: Path) -> bool:
    """Whether a file is a zip or tar archive, by its content."""
    return path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path))


def unpack(archive: Path, target: Path, place: Callable[[PurePosixPath], PurePosixPath | None], limit: int) -> int:
    """Unpack what is asked for.

    Args:
        archive: a zip file or a tar file, compressed or not.
        target: folder to unpack into.
        place: where in the target a member belongs, by its name in the archive; None leaves it out.
        limit: bytes that come out at most.

    Returns:
        How many files were unpacked.

    Raises:
        UserError: the archive is damaged, comes to more than the limit, or is malicious: a member has an absolute path
            or one with `..`, or something to be unpacked is a link or a device or comes twice. What was unpacked
            until then stays.
    """
    taken: set[PurePosixPath] = set()
    try:
        for name, is_regular, open_member in _members(archive):
            path = PureWindowsPath(name)  # splits at both slashes
            if path.anchor or ".." in path.parts:
                raise UserError(f"{archive} is not unpacked: its member {name!r} would leave the target folder")
            destination = place(PurePosixPath(*path.parts))
            if destination is None:
                continue
            if not is_regular:
                raise UserError(f"{archive} is not unpacked: its member {name!r} is a link or a device")
            if destination in taken:
                raise UserError(f"{archive} is not unpacked: its member {name!r} comes twice")
            with open_member() as stream:
                limit -= max(write_new(target / destination, stream, limit), BLOCK)
            if limit < 0:
                raise UserError(f"{archive} holds more than it may: this is not what was asked for")
            taken.add(destination)
    except BROKEN as error:
        raise UserError(f"{archive} is not an archive that can be read: {error}") from error
    return len(taken)


def _members(archive: Path) -> Iterator[tuple[str, bool, Opener]]:
    """Name, whether it is a regular file, and how to open it, of every member."""
    if tarfile.is_tarfile(archive):  # first: one that ends with a zip file, as an .npz is, looks like a zip file, too
        with tarfile.open(archive) as file:
            for member in file:
                yield member.name, member.isreg(), partial(_open_member, file, member)
    else:
        with zipfile.ZipFile(archive) as file:
            for info in file.infolist():
                mode = info.external_attr >> 16  # of Unix, where the archive was made there
                yield info.filename, stat.S_IFMT(mode) in (0, stat.S_IFREG), partial(file.open, info)


def _open_member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    stream = archive.extractfile(member)
    if stream is None:
        raise tarfile.ReadError(f"{member.name} has no content")
    return stream
