"""Export and import of results as one archive; results are validated on import.

An archive contains the files of a store under the same names: for each result the JSON file and the confusion
matrices. Sample images are not included, because datasets must not be redistributed.
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
from benchmark.results.lock import locked
from benchmark.results.reading import Newer, Problem, Stored, read, read_or_raise
from benchmark.results.store import Store
from benchmark.results.validate import check

SUFFIXES = (".tar", ".tar.gz", ".tgz")

LIMIT = 16 << 30
"""Maximum total size of the files of an archive in bytes."""

COUNTS_LIMIT = 4 << 30
"""Maximum size of the decompressed confusion matrices of one result in bytes; those of ADE20K take less than 1 GB."""

Outcome = Literal["added", "replaced", "present", "kept", "refused"]


@dataclass(frozen=True)
class Entry:
    """The outcome of adding one result.

    Attributes:
        name: its path in a store.
        outcome: `added`; `replaced` the existing result; `present`, with identical bytes; `kept` the existing
            result, whose status is as good; `refused`, with an action for the user.
        why: the reason, or an empty text.
    """

    name: str
    outcome: Outcome
    why: str = ""


def pack(root: Path, out: Path, files: Collection[Path] | None = None) -> tuple[int, list[Problem]]:
    """Pack results into one archive; equal results give equal bytes.

    Args:
        root: folder of the store.
        out: the archive; compressed if its name ends in .gz or .tgz.
        files: the JSON files to pack; None for all.

    Returns:
        The number of packed results, and the problems of the others.

    Raises:
        UserError: the archive's name has another ending, no result can be packed, or the archive is not writable.
    """
    check_name(out)
    sound, problems = _sound(Store(root).files() if files is None else sorted(files))
    if not sound:
        raise UserError(str(problems[0]) if problems else f"no results in {root}/ to pack")
    with replacing(out) as temporary, _writer(temporary, compressed=not out.name.endswith(".tar")) as archive:
        for stored in sound:
            with locked(stored.path.parent):  # its two files are of one run, even if it was replaced since it was read
                for file in _files(read_or_raise(stored.path)):
                    entry = tarfile.TarInfo(file.relative_to(root).as_posix())  # without owner, dated 1970
                    entry.size = file.stat().st_size
                    with file.open("rb") as stream:
                        archive.addfile(entry, stream)
    return len(sound), problems


def check_name(out: Path) -> None:
    """Refuse a file name that does not end in a suffix of archives.

    Raises:
        UserError: it has another ending.
    """
    if not out.name.endswith(SUFFIXES):
        raise UserError(f"{out}: the name of an archive must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")


def add(source: Path, store: Store, *, replace: bool = False) -> list[Entry]:
    """Add the results of an archive or a folder to a store, after all of them were validated.

    Args:
        source: an archive from `pack`, any tar or zip archive of results, or a folder of results.
        store: the target.
        replace: overwrite a different result of the same run.

    Raises:
        UserError: the archive is missing, damaged or malicious, or the store is not writable.
    """
    if source.is_dir():
        return _add(source, source, store, replace)
    if not is_archive(source):
        raise UserError(f"{source} is {'not an archive' if source.exists() else 'missing'}: give a tar or a folder")
    with tempfile.TemporaryDirectory() as folder:
        # An archive that was packed by hand may contain more folders and files; only files of results are read.
        unpack(source, Path(folder), layout.place, LIMIT)
        return _add(source, Path(folder), store, replace)


def _add(source: Path, folder: Path, store: Store, replace: bool) -> list[Entry]:
    files = Store(folder).files()
    if not files:
        raise UserError(f"no results in {source}: their paths have the form PROTOCOL/ARCHITECTURE/RUN.json")
    sound, problems = _sound(files)
    refused = [Entry(each.path.relative_to(folder).as_posix(), "refused", each.why) for each in problems]
    return [*(_merge(stored, store, replace) for stored in sound), *refused]


def _merge(new: Stored, store: Store, replace: bool) -> Entry:
    """Add one valid result unless an existing result of the run takes precedence."""
    with store.locked(path := store.path(new.record)):
        return _merge_locked(new, store, path, replace)


def _merge_locked(new: Stored, store: Store, path: Path, replace: bool) -> Entry:
    name = path.relative_to(store.root).as_posix()
    if not path.exists():
        store.import_(new)
        return Entry(name, "added")
    old = read(path)
    if isinstance(old, Newer) and not replace:
        return Entry(name, "refused", f"the existing result was {old.why}; overwrite it with --replace")
    if isinstance(old, Stored) and old.record == new.record and not check(path):
        return Entry(name, "present")
    why = _replaceable(old, new)
    if why or replace:
        store.import_(new)
        return Entry(name, "replaced", why or "by --replace")
    assert isinstance(old, Stored)
    if new.record.status != "ok":
        outcome = "succeeded" if old.record.status == "ok" else "failed, too"
        return Entry(name, "kept", f"the existing result {outcome}")
    return Entry(name, "refused", "a different result of the same run exists: overwrite it with --replace")


def _replaceable(old: Stored | Problem, new: Stored) -> str | None:
    """Return the reason why the existing result may be overwritten by another one of the same run, or None."""
    if isinstance(old, Problem):
        return f"the existing result could not be used: {old.why}"
    if problems := check(old.path):
        return f"the existing result was damaged: {problems[0].why}"
    if old.record.status != "ok" and new.record.status == "ok":
        return f"the status of the existing result was {old.record.status.replace('_', ' ')}"
    return None


def _sound(files: Iterable[Path]) -> tuple[list[Stored], list[Problem]]:
    """Split result files into valid results and problems, at most one for each file."""
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
    """Return the first problem of a result, or None."""
    counts = stored.path.with_suffix(".npz")
    strange = [each.name for each in stored.record.artifacts if each.file not in (None, counts.name)]
    if strange:
        return Problem(stored.path, f"names files other than its confusion matrices: {', '.join(strange)}")
    if _inflated(counts) > COUNTS_LIMIT:
        return Problem(counts, f"is larger than {COUNTS_LIMIT >> 30} GiB when decompressed")
    return next(iter(check(stored.path)), None)


def _inflated(counts: Path) -> int:
    """Return the decompressed size of a file of arrays in bytes; 0 if it is unreadable, which another check reports."""
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
