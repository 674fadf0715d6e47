"""Write a stream to a new file with a size limit."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from benchmark.errors import UserError
from benchmark.files.atomic import writing

CHUNK = 1 << 18


def write_new(path: Path, stream: IO[bytes], limit: int) -> int:
    """Write a stream to a new file, creating its folders.

    Args:
        path: the file.
        stream: source of the content; its exceptions propagate.
        limit: maximum size in bytes.

    Returns:
        The number of bytes written.

    Raises:
        UserError: the file exists, the stream exceeds the limit, or the file cannot be written.
    """
    total = 0
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("xb")
    with file:
        while chunk := stream.read(CHUNK):
            total += len(chunk)
            if total > limit:
                raise UserError(f"{path.name} exceeds the size limit of {limit} bytes: it is not the expected file")
            with writing(path):
                file.write(chunk)
        with writing(path):
            file.flush()
    return total
