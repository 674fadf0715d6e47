"""Migrate results of older schemas on reading, one version at a time; the files are not changed.

A schema gets a new version when older versions of segbench could not read the new files: a field was added, removed or
redefined. Then `schema_version` of the class increases by one, and a function here converts the plain data of the
previous version to the next (asv: `api_version`, `update_to_2`). Damaged data is passed through and refused afterwards
by the schema.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmark import __version__

Plain = dict[str, Any]

Migrations = Mapping[int, Callable[[Plain], Plain]]
"""Functions by version, from 1 on: each converts to the next version."""


class NewerSchemaError(ValueError):
    """A file has a schema version unknown to this segbench; the message names the segbench version that wrote it."""


def newest(migrations: Migrations) -> int:
    """Return the version that the migrations end with."""
    return len(migrations) + 1


def migrated(data: bytes, migrations: Migrations) -> bytes:
    """Migrate the JSON of a file to the newest version of its schema.

    Args:
        data: content of the file.
        migrations: migrations of its kind.

    Returns:
        JSON; the same bytes if they have the newest version or are not JSON.

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
    """Migrate the plain data of a file to the newest version of its schema.

    Args:
        plain: parsed content of the file; data without a version has version 1.
        migrations: migrations of its kind.

    Returns:
        The data; the same object if it has the newest version or is not a record.

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
    """Add the number of seed additions and the digest of the code; remove the number of runs that shared the device."""
    training = _at(record, "training")
    for stage in (training, _at(training, "first_stage")):
        execution = _at(stage, "execution")
        if isinstance(execution, dict):
            execution.pop("beside", None)
    return _with_digest({"looks": 0} | record)


def _with_digest(data: Plain) -> Plain:
    """Add the digest of the code to an environment; null, because it was not recorded."""
    code = _at(_at(data, "environment"), "code")
    if isinstance(code, dict):
        code.setdefault("digest", None)
    return data


def _at(data: Any, name: str, default: Any = None) -> Any:
    """Return a field, or the default if it is missing or `data` is not a mapping."""
    return data.get(name, default) if isinstance(data, dict) else default


RECORD: Migrations = {1: _record_to_2}
"""Migrations of the result of a run."""

EVALUATION: Migrations = {1: _with_digest}
"""Migrations of an evaluation of published weights."""
