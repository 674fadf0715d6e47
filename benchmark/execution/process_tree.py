"""The processes below this one: they are adopted when their parents end, listed, and end with it (on Linux)."""

from __future__ import annotations

import ctypes
import os
import signal
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
"""Options of prctl(2)."""


def adopt_orphans() -> None:
    """Become the parent of every process below this one whose own parent ends, whatever its session."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Be killed when the parent ends.

    Args:
        parent: process id of the parent, which may have ended.
    """
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def children() -> list[int]:
    """Return the ids of the children of this process, including those that have ended and were not waited for."""
    return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/stat") if _parent(path) == os.getpid()]


def send(process: int, number: signal.Signals) -> None:
    """Send a signal to a process, unless it has ended."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(process, number)


def send_group(leader: int, number: signal.Signals) -> None:
    """Send a signal to a process group, unless it has ended."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def _parent(stat: Path) -> int | None:
    """Return the parent of a process, from /proc/PID/stat; None if it has ended."""
    try:
        return int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])  # its name may contain anything
    except (OSError, IndexError):
        return None


def _prctl(option: int, value: int) -> None:
    with suppress(OSError, AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
