"""A cache of a store's results in SQLite: only files that have changed are opened.

It is private to `benchmark.results.store`.

A new result is validated against its confusion matrices and is a problem if they disagree: an edited score does not
enter a table, and tables of known results need no validation.

The JSON files are authoritative. A snapshot may be deleted at any time: if it is damaged, locked, of another version or
not writable, the files are read instead, which is only slower. It is stored in the user's cache folder and not in the
folder of results, so that copying results does not copy it.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from benchmark import __version__
from benchmark.files.user_cache import user_cache
from benchmark.results.layout import json_files
from benchmark.results.lock import settled
from benchmark.results.reading import Problem, Stored, load, parse
from benchmark.results.summary import Conditions, Summary, summary_of

REVISION = 8
"""Increase it with every change of the schema of a result or of `summary_of`."""

MTIME_RESOLUTION_NS = 2_000_000_000
"""Coarsest timestamp resolution of file systems in nanoseconds. A younger file is not cached: it could change again
within the resolution, with the same timestamp."""

FIELDS = Summary._fields[1:]
"""Columns of a summary's row; its conditions are shared by many rows."""

T = TypeVar("T")


class FileStamp(NamedTuple):
    """A file with the same stamp has not changed.

    Attributes:
        size: in bytes.
        mtime_ns: time of its last modification, in nanoseconds.
        inode: its number, which changes with each replacement: the clocks of machines that share a folder differ, and
            timestamps of some file systems are coarse.
    """

    size: int
    mtime_ns: int
    inode: int


_STAMPED = f"path, {', '.join(FileStamp._fields)}"

TABLES = {
    "conditions": "id INTEGER PRIMARY KEY, json TEXT UNIQUE",
    "summaries": f"path TEXT PRIMARY KEY, {', '.join(FileStamp._fields)}, conditions, {', '.join(FIELDS)}",
    "contents": "path TEXT PRIMARY KEY, zlib",  # a separate table, so that reading summaries does not read these
}

VERSION = zlib.crc32(repr((REVISION, __version__, TABLES)).encode()) >> 1  # SQLite keeps 31 bits


class CachedFile(NamedTuple):
    """A file of the store when it was read: its path relative to the root, and its content."""

    path: str
    stamp: FileStamp
    summary: Summary
    content: bytes


class Snapshot:
    """The results in a folder. Several processes may use it at the same time."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def path(self) -> Path:
        """The path of the SQLite file.

        Raises:
            RuntimeError: the user has no home folder.
        """
        name = hashlib.sha256(os.fsencode(self.root.resolve())).hexdigest()[:16]
        return user_cache().absolute() / "results" / f"{name}.sqlite"

    def summaries(self, protocol: str | None = None) -> tuple[list[Summary], list[Problem]]:
        """Return a row for every result, or those of a protocol, sorted by path; and a problem for any other file."""
        return self._scan(protocol, _summaries, lambda stored, summary: summary)

    def results(self, protocol: str | None = None) -> tuple[list[Stored], list[Problem]]:
        """Return every result, or those of a protocol, sorted by path; and a problem for any other file."""
        return self._scan(protocol, self._results, lambda stored, summary: stored)

    def _scan(
        self,
        protocol: str | None,
        cached: Callable[[sqlite3.Connection, str, tuple[str, ...]], Iterator[tuple[str, FileStamp, T]]],
        choose: Callable[[Stored, Summary], T],
    ) -> tuple[list[T], list[Problem]]:
        """Return the cached data of unchanged files, and the data of the others, which are read."""
        now = time.time_ns()
        # Stamps are taken before reading: a change during reading is found by the next call.
        files = {path: _stamp(entry) for path, entry in json_files(self.root, protocol).items()}
        # "0" follows "/": the bounds select the paths in the folder by the index.
        within = ("", ()) if protocol is None else (" WHERE path BETWEEN ? AND ?", (f"{protocol}/", f"{protocol}0"))
        found: dict[str, T] = {}
        outdated: list[str] = []
        with self._ignore_cache_errors(), closing(self._connect("rw")) as database:
            if _version(database) == VERSION:
                found, outdated = _compare(files, cached(database, *within))
        news, problems = [], []
        for path, stamp in files.items():
            if path in found:
                continue
            # Problems are not cached: permissions and the confusion matrices change independently of the file.
            new = settled(
                (self.root / path).parent, partial(_read, self.root / path), lambda new: isinstance(new, _New)
            )
            if isinstance(new, Problem):
                if os.path.lexists(self.root / path):  # otherwise it was deleted since it was listed
                    problems.append(new)
                continue
            found[path] = choose(new.stored, new.summary)
            if stamp and now - stamp.mtime_ns > MTIME_RESOLUTION_NS:
                news.append(CachedFile(path, stamp, new.summary, zlib.compress(new.content, 1)))
        if news or outdated:
            self._update(news, outdated)
        return [found[path] for path in files if path in found], problems

    def _results(
        self, database: sqlite3.Connection, where: str, bounds: tuple[str, ...]
    ) -> Iterator[tuple[str, FileStamp, Stored]]:
        query = f"SELECT {_STAMPED}, zlib FROM summaries JOIN contents USING (path){where}"
        for path, *stamp, content in database.execute(query, bounds):
            # Validating the schema again takes no longer than json.loads.
            stored = parse(self.root / path, zlib.decompress(content))
            if isinstance(stored, Stored):
                yield path, FileStamp(*stamp), stored

    def _update(self, news: Iterable[CachedFile], outdated: Iterable[str]) -> None:
        with self._ignore_cache_errors(), closing(self._connect("rwc")) as database:
            database.execute("BEGIN IMMEDIATE")
            if _version(database) != VERSION:
                for table, columns in TABLES.items():
                    database.execute(f"DROP TABLE IF EXISTS {table}")
                    database.execute(f"CREATE TABLE {table} ({columns})")
                database.execute(f"PRAGMA user_version = {VERSION}")
            for path in outdated:
                for table in ("summaries", "contents"):
                    database.execute(f"DELETE FROM {table} WHERE path = ?", (path,))
            for each in news:
                with suppress(OverflowError, UnicodeEncodeError):  # an integer of over 64 bits, or an undecodable path
                    _insert(database, each)
            database.execute("COMMIT")

    @contextmanager
    def _ignore_cache_errors(self) -> Iterator[None]:
        """Suppress errors of the database in the block; delete a damaged database."""
        try:
            yield
        except (sqlite3.Error, zlib.error, LookupError, OSError, RuntimeError, ValueError) as error:
            if "locked" not in str(error):  # locked by another process, not damaged
                with suppress(OSError, RuntimeError):
                    for file in (self.path, self.path.with_name(f"{self.path.name}-journal")):
                        file.unlink(missing_ok=True)

    def _connect(self, mode: Literal["rw", "rwc"]) -> sqlite3.Connection:
        """Open the database; mode rwc creates it if it is missing."""
        if mode == "rwc":
            self.path.parent.mkdir(parents=True, exist_ok=True)
        return sqlite3.connect(f"{self.path.as_uri()}?mode={mode}", uri=True, isolation_level=None)


class _New(NamedTuple):
    """A new file of the store that agrees with its confusion matrices."""

    content: bytes
    stored: Stored
    summary: Summary


def _read(path: Path) -> _New | Problem:
    """Read a new file, and compare it with its confusion matrices."""
    # Imported here because tables from a snapshot do not need it.
    from benchmark.results.validate import quick_check

    content = load(path)
    if isinstance(content, Problem):
        return content
    stored = parse(path, content)
    if isinstance(stored, Problem):
        return stored
    return quick_check(stored) or _New(content, stored, summary_of(stored))


def _stamp(entry: os.DirEntry[str]) -> FileStamp | None:
    """Return the stamp of a file, or None if the file or the target of a link is missing."""
    try:
        found = entry.stat()
    except OSError:
        return None
    return FileStamp(found.st_size, found.st_mtime_ns, found.st_ino % (1 << 63))


def _compare(
    files: dict[str, FileStamp | None], rows: Iterable[tuple[str, FileStamp, T]]
) -> tuple[dict[str, T], list[str]]:
    """Return the cached data of unchanged files, and the paths of outdated entries."""
    found, outdated = {}, []
    for path, stamp, value in rows:
        if files.get(path) == stamp:
            found[path] = value
        else:
            outdated.append(path)
    return found, outdated


def _version(database: sqlite3.Connection) -> int:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    return int(version)


def _summaries(
    database: sqlite3.Connection, where: str, bounds: tuple[str, ...]
) -> Iterator[tuple[str, FileStamp, Summary]]:
    shared = {key: Conditions(*json.loads(text)) for key, text in database.execute("SELECT * FROM conditions")}
    query = f"SELECT {_STAMPED}, conditions, {', '.join(FIELDS)} FROM summaries{where}"
    for path, size, mtime_ns, inode, conditions, *values in database.execute(query, bounds):
        yield path, FileStamp(size, mtime_ns, inode), Summary(shared[conditions], *values)


def _insert(database: sqlite3.Connection, new: CachedFile) -> None:
    conditions, *values = new.summary
    text = json.dumps(conditions)
    database.execute("INSERT OR IGNORE INTO conditions (json) VALUES (?)", (text,))
    (key,) = database.execute("SELECT id FROM conditions WHERE json = ?", (text,)).fetchone()
    row = (new.path, *new.stamp, key, *values)
    database.execute(f"INSERT OR REPLACE INTO summaries VALUES ({', '.join('?' * len(row))})", row)
    database.execute("INSERT OR REPLACE INTO contents VALUES (?, ?)", (new.path, new.content))
