"""Streams written to files, no larger than they may be."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from benchmark.errors import UserError
from benchmark.files.atomic import writing

CHUNK = 1 << 18


def write_new(path: Path, stream: IO[bytes], limit: int) -> int:
    """Write a stream to a file that is not there yet, in folders made as needed.

    Args:
        path: the file.
        stream: what goes into it; its own errors pass through.
        limit: bytes that may come at most.

    Returns:
        The bytes written.

    Raises:
        UserError: the file is there, more bytes come, or the disk refuses.
    """
    total = 0
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("xb")
    with file:
        while chunk := stream.read(CHUNK):
            total += len(chunk)
            if total > limit:
                raise UserError(f"{path.name} is larger than it may be, {limit} bytes: this is not what was asked for")
            with writing(path):
                file.write(chunk)
        with writing(path):
            file.flush()
    return total
