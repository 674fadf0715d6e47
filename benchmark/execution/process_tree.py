"""The processes below this one: they are adopted when their parents end, listed, and end with it (on Linux).

If the process that adopts them is killed, they are found by what they inherit: the folder of temporary files in their
environment, and the pipe of their output.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Set
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
"""Options of prctl(2)."""

CLEAN_SECONDS = 5.0
"""Seconds that processes which remove shared memory have when no other is left; that of torch takes two."""


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


def children(parent: int | None = None) -> list[int]:
    """Return the ids of the children of a process, including those that have ended and were not waited for.

    Args:
        parent: its process id; None for this process.
    """
    parent = os.getpid() if parent is None else parent
    return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/stat") if _parent(path) == parent]


def adopted(parent: int, others: Set[int]) -> list[int]:
    """Return the ids of the processes that a process has adopted: its children that are in another session than it.

    Args:
        parent: the process, which starts no children in sessions of their own except `others`.
        others: children that it has started.
    """
    return [each for each in children(parent) if each not in others and _session(each) not in (None, _session(parent))]


def set_name(name: str) -> None:
    """Give this process the name that `top` shows: 15 characters at most, inherited by forked children."""
    with suppress(OSError):  # not Linux
        Path("/proc/self/comm").write_text(name)


def name(process: int) -> str:
    """Return the name of a process; empty if it has ended."""
    try:
        return Path(f"/proc/{process}/comm").read_text(errors="replace").strip()
    except OSError:
        return ""


def of_run(temporary: Path, output: str | None) -> list[int]:
    """Return the ids of the processes of a run, wherever they are.

    Args:
        temporary: folder of temporary files in their environment, unless they were forked and started no program.
        output: the pipe that their output goes to unless they have closed it, as /proc/PID/fd names it.
    """
    entry = b"TMPDIR=" + os.fsencode(temporary)
    return [
        int(path.name)
        for path in Path("/proc").glob("[0-9]*")
        if int(path.name) != os.getpid() and (_has_variable(path, entry) or (output and _has_open(path, output)))
    ]


def cleans_up(process: int) -> bool:
    """Return whether a process removes shared memory once those have ended that used it: Python's or torch's."""
    try:
        command = Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False
    return b"torch_shm_manager" in command or b"multiprocessing.resource_tracker" in command


def end_run(temporary: Path, output: str | None) -> None:
    """Kill the processes of a run, wherever they are, and let those that remove shared memory do so; see `of_run`."""
    end = time.monotonic() + CLEAN_SECONDS
    while left := of_run(temporary, output):
        late = time.monotonic() > end
        for process in left:
            if late or not cleans_up(process):
                send(process, signal.SIGKILL)
        if time.monotonic() > end + CLEAN_SECONDS:
            return
        time.sleep(0.05)


def send(process: int, number: signal.Signals) -> None:
    """Send a signal to a process, unless it has ended."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(process, number)


def send_group(leader: int, number: signal.Signals) -> None:
    """Send a signal to a process group, unless it has ended."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def _has_variable(path: Path, entry: bytes) -> bool:
    try:
        return entry in (path / "environ").read_bytes().split(b"\0")
    except OSError:  # it has ended, or is another user's
        return False


def _has_open(path: Path, output: str) -> bool:
    with suppress(OSError):
        for each in (path / "fd").iterdir():
            with suppress(OSError):
                if str(each.readlink()) == output:
                    return True
    return False


def _session(process: int) -> int | None:
    """Return the session of a process; None if it has ended."""
    try:
        return os.getsid(process)
    except OSError:
        return None


def _parent(stat: Path) -> int | None:
    """Return the parent of a process, from /proc/PID/stat; None if it has ended."""
    try:
        return int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])  # its name may contain anything
    except (OSError, IndexError):
        return None


def _prctl(option: int, value: int) -> None:
    with suppress(OSError, AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
