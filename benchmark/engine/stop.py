"""The request to stop the run of this process at the next safe point, from which it resumes bit-exactly."""

from __future__ import annotations

import os
import signal
from typing import Any

_requested = False


def on_signal(number: signal.Signals) -> None:
    """Let a signal request it; call it in the main thread. Forked children are ended by the signal."""
    signal.signal(number, request)
    os.register_at_fork(after_in_child=lambda: signal.signal(number, signal.SIG_DFL))


def request(*_: Any) -> None:
    """Request it; also a handler of signals."""
    global _requested
    _requested = True


def is_requested() -> bool:
    """Return whether the run is to stop."""
    return _requested
