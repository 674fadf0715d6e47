"""How often the kernel has killed a process of this control group because its memory ran out (Linux)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def oom_kills(proc: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the number of kills since the control group exists; None if the system does not report it.

    Args:
        proc: the control groups of this process, see cgroups(7).
        mounted: folder of the control groups, of version 1, 2 or both.
    """
    for path in _files(proc, mounted):
        with suppress(OSError):
            if found := re.search(r"^oom_kill (\d+)$", path.read_text(), re.MULTILINE):
                return int(found[1])
    return None


def _files(proc: Path, mounted: Path) -> Iterator[Path]:
    """Yield files that may have the number; in a container, the group of the process may be the root of those seen."""
    with suppress(OSError, ValueError):
        for line in proc.read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            for place in (group.lstrip("/"), ""):
                if "memory" in controllers.split(","):
                    yield mounted / "memory" / place / "memory.oom_control"
                elif not controllers:
                    yield mounted / place / "memory.events"
                    yield mounted / "unified" / place / "memory.events"
