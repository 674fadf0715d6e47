"""The working directory of this process, which code of the user's may change."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def kept() -> Iterator[None]:
    """Return to the working directory when the block ends: relative paths of a command are relative to it."""
    folder = Path.cwd()
    try:
        yield
    finally:
        os.chdir(folder)
