"""Read one result file: its record, or the reason why it cannot be used."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from benchmark.errors import UserError

if TYPE_CHECKING:
    from benchmark.results.migrations import Migrations
    from benchmark.results.record import Model, Record

M = TypeVar("M", bound="Model")


@dataclass(frozen=True)
class Stored:
    """A result with the file it was read from."""

    path: Path
    record: Record


@dataclass(frozen=True)
class Problem:
    """A file of the store that cannot be used, with the reason in one line."""

    path: Path
    why: str

    def __str__(self) -> str:
        return f"{self.path}: {self.why}"


class Newer(Problem):
    """A file that requires a newer segbench."""


def read(path: Path) -> Stored | Problem:
    """Read the result in a JSON file and check it against the schema."""
    data = load(path)
    return data if isinstance(data, Problem) else parse(path, data)


def read_or_raise(path: Path) -> Stored:
    """Read the result in a JSON file.

    Raises:
        UserError: the file cannot be used.
    """
    stored = read(path)
    if isinstance(stored, Problem):
        raise UserError(str(stored))
    return stored


LIMIT = 1 << 28
"""Maximum size of a JSON file in bytes; a loss curve of a million points takes a tenth of it."""


def load(path: Path) -> bytes | Problem:
    """Return the bytes of a regular file within the size limit."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return Problem(path, "is not a regular file")
        if found.st_size > LIMIT:
            return Problem(path, f"has {found.st_size} bytes, more than the limit of {LIMIT}")
        return path.read_bytes()
    except OSError as error:
        return Problem(path, error.strerror or str(error))


def parse(path: Path, data: bytes) -> Stored | Problem:
    """Parse the bytes of a JSON file and check them against the schema."""
    # Imported here because tables from a snapshot do not need it.
    from benchmark.results.migrations import RECORD
    from benchmark.results.record import Record

    found = validated(path, data, Record, RECORD)
    return found if isinstance(found, Problem) else Stored(path, found)


def validated(path: Path, data: bytes, model: type[M], migrations: Migrations) -> M | Problem:
    """Migrate the bytes of a JSON file if necessary, and check them against a schema.

    Args:
        path: the file.
        data: its content.
        model: the newest version of the schema.
        migrations: migrations to that version.
    """
    from pydantic import ValidationError

    from benchmark.results.migrations import NewerSchemaError, migrated
    from benchmark.results.record import printable

    try:
        return model.model_validate_json(migrated(data, migrations), strict=True)
    except NewerSchemaError as error:
        return Newer(path, printable(str(error)))
    except ValidationError as error:
        first, *more = error.errors(include_url=False)
        where = ".".join(str(part) for part in first["loc"])
        rest = f" (and {len(more)} more)" if more else ""
        return Problem(path, printable(f"{where}: {first['msg']}{rest}" if where else first["msg"]))
