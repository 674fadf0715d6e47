"""Run scripts in child processes with a time limit."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress


def run(
    command: Sequence[str], seconds: float | None = None, environment: Mapping[str, str] | None = None
) -> int | None:
    """Run a command with the output of this process.

    Its own child processes, such as the workers of a data loader, are killed when it has ended.

    Args:
        command: program and arguments.
        seconds: time limit; None for no limit.
        environment: environment of the command; by default that of this process.

    Returns:
        Its exit status; None if it was killed at the time limit.
    """
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with suppress(ProcessLookupError):  # all have ended
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
