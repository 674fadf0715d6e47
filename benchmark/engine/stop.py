"""The request to stop the run of this process at the next safe point, from which it resumes bit-exactly."""

from __future__ import annotations

import signal
from typing import Any

_requested = False


def on_signal(number: signal.Signals) -> None:
    """Let a signal request it; call it in the main thread."""
    signal.signal(number, request)


def request(*_: Any) -> None:
    """Request it; also a handler of signals."""
    global _requested
    _requested = True


def is_requested() -> bool:
    """Return whether the run is to stop."""
    return _requested
