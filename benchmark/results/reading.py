"""One result file: the record in it, or why there is none."""

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
    """A result and the file that it was read from."""

    path: Path
    record: Record


@dataclass(frozen=True)
class Problem:
    """A file of the store that cannot be used, and why, in one line."""

    path: Path
    why: str

    def __str__(self) -> str:
        return f"{self.path}: {self.why}"


class Newer(Problem):
    """A file that a newer segbench can use."""


def read(path: Path) -> Stored | Problem:
    """Return the result in a JSON file, checked against the schema."""
    data = load(path)
    return data if isinstance(data, Problem) else parse(path, data)


def read_or_raise(path: Path) -> Stored:
    """Return the result in a JSON file.

    Raises:
        UserError: it cannot be used.
    """
    stored = read(path)
    if isinstance(stored, Problem):
        raise UserError(str(stored))
    return stored


LIMIT = 1 << 28
"""Bytes of a JSON file: the loss of a million log points comes to a tenth of it."""


def load(path: Path) -> bytes | Problem:
    """Return the bytes of a file, if it is one, and no larger than a result is."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return Problem(path, "is no regular file")
        if found.st_size > LIMIT:
            return Problem(path, f"has {found.st_size} bytes, and a result no more than {LIMIT}")
        return path.read_bytes()
    except OSError as error:
        return Problem(path, error.strerror or str(error))


def parse(path: Path, data: bytes) -> Stored | Problem:
    """Return the result in the bytes of a JSON file, checked against the schema."""
    # Imported where a file is parsed: a table that is made of a snapshot needs none of it.
    from benchmark.results.migrations import RECORD
    from benchmark.results.record import Record

    found = validated(path, data, Record, RECORD)
    return found if isinstance(found, Problem) else Stored(path, found)


def validated(path: Path, data: bytes, model: type[M], migrations: Migrations) -> M | Problem:
    """Check the bytes of a JSON file against a schema, of which they may be an older version.

    Args:
        path: the file.
        data: what is in it.
        model: the newest version of the schema.
        migrations: what leads to it.
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
