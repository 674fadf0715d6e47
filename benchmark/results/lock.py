"""Lock a folder of the store: the two files of a result are replaced one after the other, by one process at a time.

The new JSON file is complete before its confusion matrices are replaced. So a writer that was killed between the two
has left everything for the next process that locks the folder, which completes the replacement.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from benchmark.files.atomic import abandoned, sweep, target
from benchmark.results.reading import Stored, read

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

T = TypeVar("T")


class _Held(threading.local):
    """The folders that this thread has locked: it may lock them again."""

    def __init__(self) -> None:
        self.folders = set[Path]()


_held = _Held()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Exclude other processes from writing to a folder, and complete or remove what killed ones have left there.

    If the folder is missing, or its file system (some network file systems) or the platform does not support locks,
    nobody is excluded: two writers of the same run may mix their files; `segbench validate` detects that.
    """
    path = folder.resolve()
    handle = None if path in _held.folders else _locked(path)
    try:
        if handle is not None:
            _held.folders.add(path)
            _complete(path)
            sweep(path, deep=False)
        yield
    finally:
        if handle is not None:
            _held.folders.discard(path)
            os.close(handle)


def settled(folder: Path, read: Callable[[], T], is_sound: Callable[[T], bool]) -> T:
    """Read files of a folder; if they are not sound, read them again while no process writes to it.

    Without the lock one of two files that belong together may be read before a replacement and the other after it.
    """
    found = read()
    if is_sound(found):
        return found
    with locked(folder):
        return read()


def _locked(path: Path) -> int | None:
    """Return the locked handle of a folder; None if it cannot be locked."""
    if fcntl is None:
        return None
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:
        os.close(handle)
        return None
    return handle


def _complete(folder: Path) -> None:
    """Replace the JSON files whose confusion matrices a killed process has replaced."""
    from benchmark.results.arrays import COUNTS, file_sha256

    for temporary in abandoned(folder, deep=False):
        path = target(temporary)
        if path.suffix != ".json" or not isinstance(found := read(temporary), Stored):
            continue
        counts = next((each for each in found.record.artifacts if each.name == COUNTS), None)
        with suppress(OSError):  # there are no matrices, or the folder is not writable
            if counts and counts.file and file_sha256(folder / counts.file) == counts.sha256:
                temporary.replace(path)
