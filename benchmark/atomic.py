"""Files that are written whole or not at all, and one line where they cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from benchmark.errors import UserError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the disk refuses inside (full, read-only, no permission) into one line.

    Raises:
        UserError: an OSError came up inside.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new file beside `path` to write to; it replaces `path` when the block ends without an error.

    Whoever reads `path` sees the old file or the new one, never half of it, whatever else writes at the same time.

    Raises:
        UserError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{token_hex(4)}.tmp")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(path)
    finally:
        with suppress(OSError):  # it is gone where all went well, and was never there where the folder is not writable
            temporary.unlink()
