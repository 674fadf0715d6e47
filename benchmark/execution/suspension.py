"""Waiting that notices how long this process was suspended: time in which other processes were, too, is no silence.

A scheduler suspends all processes of a job, and continues them later (PreemptMode=SUSPEND of Slurm, a frozen control
group, SIGSTOP and SIGCONT).
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from multiprocessing.connection import wait
from typing import Any

TICK_SECONDS = 1.0
"""Maximum seconds of one wait: a return that is later by as much again is a suspension, and not a busy machine."""


class Suspension:
    """Waits for connections, and measures how long this process was suspended meanwhile."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Count from now on, after a time in which nothing was waited for."""
        self._returned = time.monotonic()

    def wait(self, objects: Iterable[Any], seconds: float) -> tuple[list[Any], float]:
        """Wait like `multiprocessing.connection.wait`, but not longer than `TICK_SECONDS`.

        Args:
            objects: connections and file descriptors.
            seconds: the longest time to wait.

        Returns:
            Those that are ready, and the seconds for which this process was suspended since the last call returned.
        """
        seconds = max(0.0, min(seconds, TICK_SECONDS))
        ready = wait(list(objects), seconds)
        before, self._returned = self._returned, time.monotonic()
        late = self._returned - before - seconds
        return ready, late if late > TICK_SECONDS else 0.0
