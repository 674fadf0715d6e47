"""Locks between processes: of the folder of a run while its process runs, and of a file that one of them is to make."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmark.errors import UserError
from benchmark.files.atomic import sweep, writing

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FILE = ".lock"

MOST_REMOVALS = 100
"""The number of times that a folder may be removed while it is being created."""

_held: set[int] = set()


class InProgressError(UserError):
    """Another process has locked the folder of a run."""


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Exclude other processes from a folder, and remove temporary files that a killed process has left there.

    If the file system or the platform does not support locks, no process is excluded and no file removed.

    Args:
        folder: folder of a run, created if necessary.

    Raises:
        InProgressError: another process has locked it.
        UserError: the folder is not writable.
    """
    with writing(folder):
        handle = _lock(folder)
    try:
        if handle is not None:
            sweep(folder)
        yield
    finally:
        if handle is not None:
            _close(handle)


@contextmanager
def turn(path: Path) -> Iterator[None]:
    """Wait until no other process holds the lock of a file, which is created if necessary, and hold it.

    If the platform or the file system does not support locks, nobody waits.

    Raises:
        OSError: the file cannot be created.
    """
    if fcntl is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    _held.add(handle)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        _close(handle)


def _lock(folder: Path) -> int | None:
    """Create the folder; return the open and locked file, or None if locks are not supported.

    Another process may remove the folder, and empty ones above it, until it is locked.
    """
    path, removals = folder / FILE, 0
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if fcntl is None:
                return None
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            if (removals := removals + 1) > MOST_REMOVALS:  # it cannot be created: that of the process is gone
                raise
            continue
        _held.add(handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 20).decode("ascii", "replace").strip()
            _close(handle)
            process = f" (process {holder})" if holder else ""
            raise InProgressError(
                f"{folder}: this run is already in progress{process}: wait for it, or end it"
            ) from None
        except OSError:
            _close(handle)
            return None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), path.stat()):
                os.truncate(handle, 0)
                os.pwrite(handle, str(os.getpid()).encode(), 0)
                return handle
        _close(handle)  # the folder was removed by the process that had locked it


def _close(handle: int) -> None:
    if handle in _held:  # a child process has closed it when it began
        _held.discard(handle)
        os.close(handle)


def _release_in_child() -> None:
    """Close the parent's locks: a data loader worker ends seconds after its parent, and would keep them locked."""
    for handle in _held:
        with suppress(OSError):
            os.close(handle)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_in_child)
