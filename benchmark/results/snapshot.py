"""What the results of a store say, remembered in SQLite: only files that have changed since are opened.

It is private to `benchmark.results.store`.

What is new is believed where its counts bear it out, and is a problem elsewhere: a score that was edited by hand enters
no table, and a table of results that are known costs nothing for it.

JSON is the truth. A snapshot is a copy that may go at any time: where it is damaged, of another version, locked or in a
place that cannot be written, the files are read, which costs time and nothing else. It is stored in the user's cache
folder and not beside the results, so that no folder of results brings along what its files do not have.
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
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from benchmark import __version__
from benchmark.files.user_cache import user_cache
from benchmark.results.layout import json_files
from benchmark.results.reading import Problem, Stored, load, parse
from benchmark.results.summary import Conditions, Summary, summary_of

REVISION = 8
"""Raise it with every change of the schema of a result and of what `summary_of` says of one."""

MTIME_RESOLUTION_NS = 2_000_000_000
"""Nanoseconds by which the clock of every file system has ticked. A file that is younger is not remembered: it could
change again within the same tick, and look as if it had not."""

FIELDS = Summary._fields[1:]
"""What the row of a summary holds itself; its conditions are those of many."""

TABLES = {
    "conditions": "id INTEGER PRIMARY KEY, json TEXT UNIQUE",
    "summaries": f"path TEXT PRIMARY KEY, size, mtime_ns, conditions, {', '.join(FIELDS)}",
    "contents": "path TEXT PRIMARY KEY, zlib",  # apart, or whoever reads summaries would have to pass over them
}

VERSION = zlib.crc32(repr((REVISION, __version__, TABLES)).encode()) >> 1  # SQLite keeps 31 bits

FileStamp = tuple[int, int]
"""Size in bytes and time of the last change in nanoseconds: a file of the same stamp has not changed."""

T = TypeVar("T")


class Remembered(NamedTuple):
    """A file of the store as it was when it was read: its path relative to the root, and what was in it."""

    path: str
    stamp: FileStamp
    summary: Summary
    content: bytes


class Snapshot:
    """The results under one folder. Any number of processes may use it at the same time."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def path(self) -> Path:
        """The SQLite file.

        Raises:
            RuntimeError: the user has no home.
        """
        name = hashlib.sha256(os.fsencode(self.root.resolve())).hexdigest()[:16]
        return user_cache().absolute() / "results" / f"{name}.sqlite"

    def summaries(self, protocol: str | None = None) -> tuple[list[Summary], list[Problem]]:
        """Return a row for every result of a protocol, or of all, sorted by path; and every file that is not one."""
        return self._look(protocol, _summaries, lambda stored, summary: summary)

    def results(self, protocol: str | None = None) -> tuple[list[Stored], list[Problem]]:
        """Every result of a protocol, or of all, sorted by path; and every file that is not one."""
        return self._look(protocol, self._results, lambda stored, summary: stored)

    def _look(
        self,
        protocol: str | None,
        remembered: Callable[[sqlite3.Connection, str, tuple[str, ...]], Iterator[tuple[str, FileStamp, T]]],
        choose: Callable[[Stored, Summary], T],
    ) -> tuple[list[T], list[Problem]]:
        """Return what is remembered of files that have not changed, and what is in the others."""
        now = time.time_ns()
        # With stamps of before the reading: a change during it shows the next time.
        files = {path: _stamp(entry) for path, entry in json_files(self.root, protocol).items()}
        # "0" comes after "/": the bounds hold the paths that begin with the folder, and the index finds them.
        within = ("", ()) if protocol is None else (" WHERE path BETWEEN ? AND ?", (f"{protocol}/", f"{protocol}0"))
        found: dict[str, T] = {}
        outdated: list[str] = []
        with self._ignore_cache_errors(), closing(self._connect("rw")) as database:
            if _version(database) == VERSION:
                found, outdated = _compare(files, remembered(database, *within))
        news, problems = [], []
        for path, stamp in files.items():
            if path in found:
                continue
            # A problem is not remembered: the right to read a file, and its counts, come without a change of it.
            content = load(self.root / path)
            if isinstance(content, Problem):
                problems.append(content)
                continue
            stored = _validated(self.root / path, content)
            if isinstance(stored, Problem):
                problems.append(stored)
                continue
            summary = summary_of(stored)
            found[path] = choose(stored, summary)
            if stamp and now - stamp[1] > MTIME_RESOLUTION_NS:
                news.append(Remembered(path, stamp, summary, zlib.compress(content, 1)))
        if news or outdated:
            self._remember(news, outdated)
        return [found[path] for path in files if path in found], problems

    def _results(
        self, database: sqlite3.Connection, where: str, bounds: tuple[str, ...]
    ) -> Iterator[tuple[str, FileStamp, Stored]]:
        query = f"SELECT path, size, mtime_ns, zlib FROM summaries JOIN contents USING (path){where}"
        for path, size, mtime_ns, content in database.execute(query, bounds):
            # Parsed again, schema and all: that takes no longer than json.loads would.
            stored = parse(self.root / path, zlib.decompress(content))
            if isinstance(stored, Stored):
                yield path, (size, mtime_ns), stored

    def _remember(self, news: Iterable[Remembered], outdated: Iterable[str]) -> None:
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
                with suppress(OverflowError, UnicodeEncodeError):  # an integer of over 64 bits, a path of stray bytes
                    _insert(database, each)
            database.execute("COMMIT")

    @contextmanager
    def _ignore_cache_errors(self) -> Iterator[None]:
        """End the block early, and without an error, where the database cannot be used; throw a damaged one away."""
        try:
            yield
        except (sqlite3.Error, zlib.error, LookupError, OSError, RuntimeError, ValueError) as error:
            if "locked" not in str(error):  # by another process, which is in order
                with suppress(OSError, RuntimeError):
                    for file in (self.path, self.path.with_name(f"{self.path.name}-journal")):
                        file.unlink(missing_ok=True)

    def _connect(self, mode: Literal["rw", "rwc"]) -> sqlite3.Connection:
        """Return the database; with rwc it is made where there is none."""
        if mode == "rwc":
            self.path.parent.mkdir(parents=True, exist_ok=True)
        return sqlite3.connect(f"{self.path.as_uri()}?mode={mode}", uri=True, isolation_level=None)


def _validated(path: Path, content: bytes) -> Stored | Problem:
    """Return the result in a file that is new, where its counts bear it out."""
    # Imported where a file is opened: a table that is made of a snapshot needs none of it.
    from benchmark.results.validate import quick_check

    stored = parse(path, content)
    return stored if isinstance(stored, Problem) else quick_check(stored) or stored


def _stamp(entry: os.DirEntry[str]) -> FileStamp | None:
    """Return None for a file that has gone, or a link to nowhere."""
    try:
        found = entry.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _compare(
    files: dict[str, FileStamp | None], rows: Iterable[tuple[str, FileStamp, T]]
) -> tuple[dict[str, T], list[str]]:
    """Return what is remembered of the files that are as they were, and the paths of the others that are remembered."""
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
    query = f"SELECT path, size, mtime_ns, conditions, {', '.join(FIELDS)} FROM summaries{where}"
    for path, size, mtime_ns, conditions, *values in database.execute(query, bounds):
        yield path, (size, mtime_ns), Summary(shared[conditions], *values)


def _insert(database: sqlite3.Connection, new: Remembered) -> None:
    conditions, *values = new.summary
    text = json.dumps(conditions)
    database.execute("INSERT OR IGNORE INTO conditions (json) VALUES (?)", (text,))
    (key,) = database.execute("SELECT id FROM conditions WHERE json = ?", (text,)).fetchone()
    row = (new.path, *new.stamp, key, *values)
    database.execute(f"INSERT OR REPLACE INTO summaries VALUES ({', '.join('?' * len(row))})", row)
    database.execute("INSERT OR REPLACE INTO contents VALUES (?, ?)", (new.path, new.content))
