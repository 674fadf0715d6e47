"""Results of older schemas are brought to the newest as they are read, a version at a time; the files stay as they are.

A schema has a new version where an older segbench could not read what is written under it: a field that is new, gone or
of another meaning. Then `schema_version` of the class rises by one, and a function here makes of the plain data of the
version before what the next one asks for (asv: `api_version`, `update_to_2`). Damaged data passes through it, for the
schema refuses it afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmark import __version__

Plain = dict[str, Any]

Migrations = Mapping[int, Callable[[Plain], Plain]]
"""By version, from 1 on: what makes the next version of it."""


class NewerSchemaError(ValueError):
    """A file is of a version that this segbench does not know; the message says which segbench made it."""


def newest(migrations: Migrations) -> int:
    """Return the version that all of them lead to."""
    return len(migrations) + 1


def migrated(data: bytes, migrations: Migrations) -> bytes:
    """Bring the JSON of a file to the newest version of its schema.

    Args:
        data: what is in the file.
        migrations: of its kind.

    Returns:
        JSON; the same bytes, where they are of the newest version, or no JSON.

    Raises:
        NewerSchemaError: see there.
    """
    from pydantic_core import from_json, to_json

    try:
        plain = from_json(data)
    except ValueError:
        return data
    new = migrate(plain, migrations)
    return data if new is plain else to_json(new)


def migrate(plain: Any, migrations: Migrations) -> Any:
    """Bring the plain data of a file to the newest version of its schema.

    Args:
        plain: what is in the file; without a version it is of the first.
        migrations: of its kind.

    Returns:
        The data; the same object, where it is of the newest version, or of something that is none.

    Raises:
        NewerSchemaError: see there.
    """
    version, last = _at(plain, "schema_version", 1), newest(migrations)
    if not isinstance(plain, dict) or type(version) is not int:
        return plain
    if version > last:
        maker = _at(_at(_at(plain, "environment"), "code"), "version")
        by = f" by segbench {maker}" if isinstance(maker, str) else ""
        raise NewerSchemaError(
            f"made with schema {version}{by}; this is segbench {__version__}, which reads schemas up to {last}: upgrade"
        )
    while version in migrations:
        plain = migrations[version](plain) | {"schema_version": version + 1}
        version += 1
    return plain


def _record_to_2(record: Plain) -> Plain:
    """Add how often seeds were added, and the digest of the code; drop how many runs shared the device."""
    training = _at(record, "training")
    for stage in (training, _at(training, "first_stage")):
        execution = _at(stage, "execution")
        if isinstance(execution, dict):
            execution.pop("beside", None)
    return _with_digest({"looks": 0} | record)


def _with_digest(data: Plain) -> Plain:
    """Add the digest of the code to an environment; null, for it was not kept."""
    code = _at(_at(data, "environment"), "code")
    if isinstance(code, dict):
        code.setdefault("digest", None)
    return data


def _at(data: Any, name: str, default: Any = None) -> Any:
    """Return a field, or the default where there is none, or nothing that could have it."""
    return data.get(name, default) if isinstance(data, dict) else default


RECORD: Migrations = {1: _record_to_2}
"""Of the result of a run."""

EVALUATION: Migrations = {1: _with_digest}
"""Of an evaluation of published weights."""
