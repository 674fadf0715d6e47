"""Scripts in processes of their own, which end in time with all that they have started."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress


def run(
    command: Sequence[str], seconds: float | None = None, environment: Mapping[str, str] | None = None
) -> int | None:
    """Run a command that prints where this process does.

    Whatever it has started itself, such as the workers of a data loader, is killed when it has ended.

    Args:
        command: program and arguments.
        seconds: how long it may take; None for any time.
        environment: of the command; by default that of this process.

    Returns:
        Its exit status; None if it was killed because the time was up.
    """
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with suppress(ProcessLookupError):  # none of them is left
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
