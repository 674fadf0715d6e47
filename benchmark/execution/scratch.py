"""Folders of temporary files of runs: locked while they are used, so that those of killed processes can be removed."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path
from secrets import token_hex

NAME = re.compile(r"segbench-[0-9a-f]{8}\.run")
"""Pattern of their names, which no user gives to a folder: what has such a name is removed."""


def create(home: Path) -> tuple[Path, int | None]:
    """Create a folder of temporary files, locked by this process.

    Args:
        home: folder to create it in.

    Returns:
        The folder, and the lock: see `hold`.

    Raises:
        OSError: it cannot be created.
    """
    while True:
        folder = home / f"segbench-{token_hex(4)}.run"
        try:
            folder.mkdir(0o700)
        except FileExistsError:
            continue
        lock = hold(folder)
        if folder.exists():  # otherwise another process found it before it was locked, and has removed it
            return folder, lock
        release(lock)


def hold(folder: Path) -> int | None:
    """Lock a folder that other processes of the run may lock, too; it ends with the process, or with `release`.

    Returns:
        The lock; None if the file system does not support locks, or the folder is missing.
    """
    return _locked(folder, LOCK_SH)


def release(lock: int | None) -> None:
    """Release a lock."""
    if lock is not None:
        os.close(lock)


def remove(folder: Path) -> None:
    """Remove a folder of temporary files with what is in it, read-only folders included."""
    for home, folders, _ in os.walk(folder):
        for name in folders:
            with suppress(OSError):
                if not (path := Path(home, name)).is_symlink():
                    path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def sweep(home: Path) -> None:
    """Remove the folders of this user whose processes have gone, killed together as at the failure of a machine."""
    for folder in home.glob("segbench-*.run"):
        if not is_scratch(folder) or (lock := _locked(folder, LOCK_EX | LOCK_NB)) is None:
            continue
        remove(folder)
        release(lock)


def is_scratch(folder: Path) -> bool:
    """Return whether a folder is one of these, by its name and owner."""
    try:
        return bool(NAME.fullmatch(folder.name)) and folder.lstat().st_uid == os.getuid()
    except OSError:
        return False


def _locked(folder: Path, how: int) -> int | None:
    """Return the folder, open and locked; None if it cannot be locked."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        flock(handle, how)
    except OSError:
        os.close(handle)
        return None
    return handle
