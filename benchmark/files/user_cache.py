"""User cache directory."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path:
    """Return the user cache directory: SEGBENCH_CACHE, else `segbench` in the user's cache folder.

    Raises:
        RuntimeError: the user has no home directory.
    """
    if place := os.environ.get("SEGBENCH_CACHE"):
        return Path(place).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "segbench")
