"""Export and import of results as one archive; results are validated on import.

An archive holds what a store holds, by the same names: of each result the JSON file and the counts. The sample images
stay where they are, for the pixels of a dataset are not ours to pass on.
"""

from __future__ import annotations

import gzip
import tarfile
import tempfile
import zipfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from benchmark.errors import UserError
from benchmark.files.atomic import replacing
from benchmark.files.unpack import is_archive, unpack
from benchmark.results import layout
from benchmark.results.arrays import COUNTS
from benchmark.results.reading import Newer, Problem, Stored, read
from benchmark.results.store import Store
from benchmark.results.validate import check

SUFFIXES = (".tar", ".tar.gz", ".tgz")

LIMIT = 16 << 30
"""Bytes that the files of an archive come to at most."""

COUNTS_LIMIT = 4 << 30
"""Bytes that the counts of one result come to at most, once decompressed: those of ADE20K are less than 1 GB."""

Outcome = Literal["added", "replaced", "present", "kept", "refused"]


@dataclass(frozen=True)
class Entry:
    """What became of one result that was to be added.

    Attributes:
        name: its path in a store.
        outcome: `added`; `replaced` what stood there; `present`, the same to the last byte; `kept` what stood there,
            which is as good; `refused`, with something to be done about it.
        why: the reason, where there is something to say.
    """

    name: str
    outcome: Outcome
    why: str = ""


def pack(root: Path, out: Path, files: Collection[Path] | None = None) -> tuple[int, list[Problem]]:
    """Pack results into one archive, whose bytes depend on them alone.

    Args:
        root: folder of the store.
        out: the archive; compressed where its name ends in .gz or .tgz.
        files: the JSON files of those that are wanted; None for all.

    Returns:
        How many results were packed, and what is wrong with those that were not.

    Raises:
        UserError: the archive's name has another ending, there is no result to pack, or it cannot be written.
    """
    check_name(out)
    sound, problems = _sound(Store(root).files() if files is None else sorted(files))
    if not sound:
        raise UserError(str(problems[0]) if problems else f"no results in {root}/ to pack")
    with replacing(out) as temporary, _writer(temporary, compressed=not out.name.endswith(".tar")) as archive:
        for stored in sound:
            for file in _files(stored):
                entry = tarfile.TarInfo(file.relative_to(root).as_posix())  # of nobody, dated 1970
                entry.size = file.stat().st_size
                with file.open("rb") as stream:
                    archive.addfile(entry, stream)
    return len(sound), problems


def check_name(out: Path) -> None:
    """Refuse a name for an archive whose ending does not say what it is.

    Raises:
        UserError: it has another ending.
    """
    if not out.name.endswith(SUFFIXES):
        raise UserError(f"{out}: the name of an archive ends in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")


def add(source: Path, store: Store, *, replace: bool = False) -> list[Entry]:
    """Add the results of an archive, or of a folder, to a store: none before all were looked at.

    Args:
        source: what `pack` made, any tar or zip archive of results, or a folder of them.
        store: where they go.
        replace: a result of the same run with another content takes the place of the one that is there.

    Raises:
        UserError: there is no archive, it is damaged or malicious, or the store cannot be written.
    """
    if source.is_dir():
        return _add(source, source, store, replace)
    if not is_archive(source):
        raise UserError(f"{source} is {'no archive' if source.exists() else 'not there'}: name a tar file or a folder")
    with tempfile.TemporaryDirectory() as folder:
        # Whoever packs a store by hand packs its folder, too; what is no file of a result is left out.
        unpack(source, Path(folder), layout.place, LIMIT)
        return _add(source, Path(folder), store, replace)


def _add(source: Path, folder: Path, store: Store, replace: bool) -> list[Entry]:
    files = Store(folder).files()
    if not files:
        raise UserError(f"there are no results in {source}, which would be PROTOCOL/ARCHITECTURE/RUN.json")
    sound, problems = _sound(files)
    refused = [Entry(each.path.relative_to(folder).as_posix(), "refused", each.why) for each in problems]
    return [*(_merge(stored, store, replace) for stored in sound), *refused]


def _merge(new: Stored, store: Store, replace: bool) -> Entry:
    """Add one sound result, as what is there already allows."""
    path = store.path(new.record)
    name = path.relative_to(store.root).as_posix()
    if not path.exists():
        store.take(new)
        return Entry(name, "added")
    old = read(path)
    if isinstance(old, Newer) and not replace:
        return Entry(name, "refused", f"what is there was {old.why}; --replace takes this one")
    if isinstance(old, Stored) and old.record == new.record and not check(path):
        return Entry(name, "present")
    why = _replaceable(old, new)
    if why or replace:
        store.take(new)
        return Entry(name, "replaced", why or "as asked for")
    assert isinstance(old, Stored)
    if new.record.status != "ok":
        return Entry(name, "kept", f"it {'ended well' if old.record.status == 'ok' else 'failed as well'}")
    return Entry(name, "refused", "the same run with another content is there: --replace takes this one")


def _replaceable(old: Stored | Problem, new: Stored) -> str | None:
    """Why the result that is there gives way to another one of the same run, if it does."""
    if isinstance(old, Problem):
        return f"it could not be used: {old.why}"
    if problems := check(old.path):
        return f"it was damaged: {problems[0].why}"
    if old.record.status != "ok" and new.record.status == "ok":
        return f"it had ended as {old.record.status.replace('_', ' ')}"
    return None


def _sound(files: Iterable[Path]) -> tuple[list[Stored], list[Problem]]:
    """Return the results that hold, and what is wrong with the others: one problem each."""
    sound, problems = [], []
    for file in files:
        stored = read(file)
        problem = stored if isinstance(stored, Problem) else _problem(stored)
        if problem is None and isinstance(stored, Stored):
            sound.append(stored)
        elif problem is not None:
            problems.append(Problem(file, problem.why))
    return sound, problems


def _problem(stored: Stored) -> Problem | None:
    """Return what is wrong with a result, if anything is."""
    counts = stored.path.with_suffix(".npz")
    strange = [each.name for each in stored.record.artifacts if each.file not in (None, counts.name)]
    if strange:
        return Problem(stored.path, f"names a file that is not its counts: {', '.join(strange)}")
    if _inflated(counts) > COUNTS_LIMIT:
        return Problem(counts, f"comes to more than {COUNTS_LIMIT >> 30} GiB")
    return next(iter(check(stored.path)), None)


def _inflated(counts: Path) -> int:
    """Bytes that a file of arrays comes to; 0 where it cannot be read, which others say."""
    try:
        with zipfile.ZipFile(counts) as file:
            return sum(entry.file_size for entry in file.infolist())
    except (OSError, zipfile.BadZipFile):
        return 0


def _files(stored: Stored) -> list[Path]:
    """Return the files of a result."""
    has_counts = any(each.name == COUNTS for each in stored.record.artifacts)
    return [stored.path, stored.path.with_suffix(".npz")] if has_counts else [stored.path]


@contextmanager
def _writer(path: Path, *, compressed: bool) -> Iterator[tarfile.TarFile]:
    with path.open("wb") as raw:
        stream: IO[bytes] = gzip.GzipFile("", "wb", fileobj=raw, mtime=0) if compressed else raw  # type: ignore[assignment]
        with stream, tarfile.open(fileobj=stream, mode="w") as archive:
            yield archive
