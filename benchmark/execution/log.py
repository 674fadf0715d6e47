"""The log of a run: what its processes print, in a file of limited size."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

FILE = "run.log"

HEAD, TAIL = 1 << 16, 1 << 20
"""Bytes that are kept of the beginning and the end of a longer output."""

OMITTED = b"\n[segbench: output omitted]\n"

STARTED = b"\n[segbench: the run was started again]\n"
"""Separates the outputs of attempts, so that the end of one is not taken for that of the next."""

LAST = 1 << 16
"""Bytes of the end that are kept in memory, and read."""


class Log:
    """Writes output to a file, which has its beginning and its end if it is long.

    Output of an earlier process of the run is kept and counts as the beginning; a line separates it. As long as the
    folder does not exist, the end of the output is kept in memory; if the file cannot be written, it is discarded.

    Args:
        path: the file.

    Attributes:
        last: the last bytes of the output.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._size, self._waiting, self._fails = 0, b"", False
        self.last = b""
        if path.is_file():
            self._keep(STARTED)

    def write(self, data: bytes) -> None:
        """Append output."""
        self.last = (self.last + data[-LAST:])[-LAST:]
        self._keep(data)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)
            self._file = None

    def _keep(self, data: bytes) -> None:
        if self._fails:
            return
        self._waiting = (self._waiting + data)[-TAIL:]
        try:
            self._append()
        except OSError:  # the disk is full: the run goes on
            self._fails, self._waiting = True, b""

    def _append(self) -> None:
        if self._file is None:
            try:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            except FileNotFoundError:  # the run has not created its folder yet, or has removed it
                return
            self._size = os.fstat(self._file).st_size
        data, self._waiting = self._waiting, b""
        if self._size + len(data) > HEAD + len(OMITTED) + 2 * TAIL:
            end = max(HEAD, self._size + len(data) - TAIL)
            data = OMITTED + os.pread(self._file, max(0, self._size - end), end) + data[-TAIL:]
            os.ftruncate(self._file, HEAD)
            self._size = HEAD
        self._size += os.pwrite(self._file, data, self._size)


def last_output(path: Path) -> bytes:
    """Return the end of what the last process of a run has printed; nothing if there is no log.

    Args:
        path: the log.
    """
    with suppress(OSError), path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LAST))
        return file.read().rpartition(STARTED)[2]
    return b""


def open_streams() -> None:
    """Print line by line, so that the log has all of it if the process is killed; on SIGQUIT print the stacks."""
    sys.stdout, sys.stderr = (
        open(number, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        for number in (1, 2)
    )
    faulthandler.enable()
    faulthandler.register(signal.SIGQUIT)
