"""Write files atomically, and report errors in one line."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from benchmark.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

TEMPORARY = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.tmp")
"""Pattern of the names of temporary files of `replacing`."""

NAME_BYTES = 200
"""Maximum bytes of the file name in the temporary name, so that a name of maximum length can be written."""

STREAMS = ("/dev/fd/", "/dev/std", "/proc/")
"""Paths of open files, such as /dev/stdout, which are written to directly even if they are regular files."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Convert OSErrors of the block (disk full, read-only, no permission) to a `UserError` of one line.

    Raises:
        UserError: the block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {shortened(path)}: {error.strerror or error}") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a new file to write to; it replaces `path` when the block ends without an error.

    Readers of `path` see the old file or the new one, never a part, even with concurrent writers. A symbolic link is
    kept, and its target is replaced. Only regular files are replaced: a pipe or a device receives the content, a folder
    is refused.

    Raises:
        UserError: the file cannot be written.
    """
    with writing(path):
        stream = _is_stream(path)
    with writing(path), _copied_to(path) if stream else _renamed_to(Path(os.path.realpath(path))) as temporary:
        yield temporary


def sweep(folder: Path, *, deep: bool = True) -> None:
    """Remove temporary files of killed processes in a folder and its subfolders; files in use are kept."""
    for temporary in abandoned(folder, deep=deep):
        with suppress(OSError):
            temporary.unlink()


def abandoned(folder: Path, *, deep: bool = True) -> Iterator[Path]:
    """Yield the temporary files of killed processes in a folder and its subfolders.

    Each is locked while it is used, so that a process that has just created it does not take it for its own.

    Args:
        folder: the folder.
        deep: search subfolders, too.
    """
    for home, folders, names in os.walk(folder):
        if not deep:
            folders.clear()
        for name in names:
            handle = _abandoned(Path(home, name)) if TEMPORARY.fullmatch(name) else None
            if handle is not None:
                try:
                    yield Path(home, name)
                finally:
                    os.close(handle)


def target(temporary: Path) -> Path:
    """Return the file that a temporary file was to replace; its name is cut if it is longer than `NAME_BYTES`."""
    found = TEMPORARY.fullmatch(temporary.name)
    assert found is not None
    return temporary.with_name(found["name"])


def shortened(path: Path) -> str:
    """Shorten a path for a message: the middle of a path too long for any file system is removed."""
    text = str(path)
    return text if len(text) <= NAME_BYTES else f"{text[:80]}...{text[-80:]}"


def _is_stream(path: Path) -> bool:
    """Return whether a path is a pipe, a device or a socket.

    Raises:
        IsADirectoryError: it is a folder.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:  # or the target of a link is missing
        return False
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(None, "Is a directory")
    return not stat.S_ISREG(mode) or str(path.absolute()).startswith(STREAMS)


@contextmanager
def _copied_to(stream: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder, "content")
        yield temporary
        with temporary.open("rb") as source, stream.open("wb") as target:
            shutil.copyfileobj(source, target)


@contextmanager
def _renamed_to(path: Path) -> Iterator[Path]:
    stem = os.fsdecode(os.fsencode(path.name)[:NAME_BYTES])
    temporary = path.with_name(f".{stem}.{token_hex(4)}.tmp")
    handle: int | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = _claim(temporary)
        yield temporary
        with suppress(FileNotFoundError):
            shutil.copymode(path, temporary)
        temporary.replace(path)
    finally:
        if handle is not None:
            os.close(handle)
        with suppress(OSError):  # missing after success, or if the folder is not writable
            temporary.unlink()


def _claim(temporary: Path) -> int | None:
    """Create a file and lock it while this process writes it, so that `abandoned` does not take it for abandoned."""
    if fcntl is None:
        return None
    while True:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with suppress(OSError):  # the file system may not support locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if temporary.exists():  # otherwise another process found it before it was locked, and has removed it
            return handle
        os.close(handle)


def _abandoned(temporary: Path) -> int | None:
    """Return the locked handle of a file that no process has locked; None if one has, or that is unknown."""
    if fcntl is None:
        return None
    try:
        handle = os.open(temporary, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle
