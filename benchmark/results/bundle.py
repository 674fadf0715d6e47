"""Bundles: archives of results to cite, with all that is needed to check and to repeat them.

A bundle is a zip file without compression, so that equal contents give equal bytes under any version of zlib, and no
member is larger than the file. `MANIFEST` has the SHA-256 of every other member, in the format of `sha256sum`.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from filecmp import cmp
from pathlib import Path

from benchmark.errors import UserError
from benchmark.files.atomic import replacing
from benchmark.files.unpack import BLOCK, unpack
from benchmark.results.arrays import file_sha256
from benchmark.results.reading import Problem
from benchmark.results.record import Record
from benchmark.results.validate import validate

MANIFEST = "manifest-sha256.txt"

RESULTS = "results"
"""Folder of the store in a bundle."""

SUFFIX = ".zip"

DATED = (1980, 1, 1, 0, 0, 0)
"""Date of all members: the first that a zip file can have."""

MOST_FILES = 50_000

ROOT = "/DATA"
"""Folder of the datasets while a config is composed."""

_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")


def write(out: Path, members: Mapping[str, bytes | Path]) -> None:
    """Write a bundle; equal members give equal bytes.

    Args:
        out: the archive.
        members: content of each member, or the file with it, by path in the archive.

    Raises:
        UserError: the archive's name does not end in .zip, or it is not writable.
    """
    if out.suffix != SUFFIX:
        raise UserError(f"{out}: the name of a bundle must end in {SUFFIX}")
    lines = [f"{_sha256(content)}  {name}\n" for name, content in sorted(members.items())]
    with replacing(out) as temporary:
        _zip(temporary, {**members, MANIFEST: "".join(lines).encode()})


def validate_bundle(path: Path, *, recount: bool = False) -> tuple[int, list[Problem]]:
    """Check a bundle, and every result in it.

    Args:
        path: the archive, or the folder that it was unpacked to.
        recount: as in `validate`.

    Returns:
        The number of results, and the problems: members that are changed, missing or added, or, where there are none,
        those of the results.

    Raises:
        UserError: the archive is damaged or malicious, or no bundle.
    """
    if path.is_dir():
        problems = list(_differences(path, path))
        return (0, problems) if problems else validate(path / RESULTS, recount=recount)
    with _unpacked(path) as folder:
        problems = list(_differences(folder, path))
        if not problems and not _is_as_written(path, folder):
            problems = [
                Problem(path, "has changes outside of its members: get it again, or unpack it and validate the folder")
            ]
        if problems:
            return 0, problems
        count, found = validate(folder / RESULTS, recount=recount)
        return count, [Problem(path / each.path.relative_to(folder), each.why) for each in found]


def is_bundle(path: Path) -> bool:
    """Return whether a path is an archive of any kind, or the folder of an unpacked bundle."""
    return (path / MANIFEST).is_file() if path.is_dir() else path.is_file() and zipfile.is_zipfile(path)


def configs(records: Iterable[Record], protocol: str) -> tuple[dict[str, str], list[str]]:
    """Compose the configs of results, as text that mmsegmentation's own tools read.

    Args:
        records: the results of one protocol.
        protocol: its name, or the path of its file.

    Returns:
        The config of each architecture, with the dataset in `data`, and why others are missing.
    """
    from benchmark.configs import axes, compose

    found: dict[str, str] = {}
    missing: dict[str, str] = {}
    for record in records:
        name, overrides = record.architecture, record.protocol.overrides
        if name in found or name in missing:
            continue
        if record.source is not None or {"init", "data"} & overrides.keys():
            missing[name] = "depends on files of the user's"
            continue
        try:
            config = compose.compose(name, protocol, seed=record.seed, root=Path(ROOT), **overrides)
        except (UserError, TypeError) as error:
            missing[name] = str(error)
            continue
        if axes.config_hash(config) == record.config_sha256:
            found[name] = config.pretty_text.replace(ROOT, "data")
        else:
            version = record.environment.code.version
            missing[name] = f"its config in this version is another one than that of the result, by version {version}"
    return found, [f"{name}: {why}" for name, why in missing.items()]


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """Yield a temporary folder with the members of an archive."""
    with tempfile.TemporaryDirectory() as folder:
        unpack(path, Path(folder), lambda member: member, path.stat().st_size + MOST_FILES * BLOCK)
        yield Path(folder)


def _differences(folder: Path, shown: Path) -> Iterator[Problem]:
    """Yield the files of a folder that are not as its manifest says."""
    try:
        lines = (folder / MANIFEST).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise UserError(f"{shown} is no bundle: it has no {MANIFEST}, which `segbench bundle` writes") from None
    wanted: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        found = _LINE.fullmatch(line)
        if not found:
            yield Problem(shown / MANIFEST, f"line {number} is not a SHA-256 and a path")
            return
        wanted[found[2]] = found[1]
    present = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    del present[MANIFEST]
    for name in sorted(wanted.keys() | present.keys()):
        if name not in present:
            yield Problem(shown / name, "is missing")
        elif name not in wanted:
            yield Problem(shown / name, "was added: the manifest does not name it")
        elif file_sha256(present[name]) != wanted[name]:
            yield Problem(shown / name, "was changed: its SHA-256 is not that of the manifest")


def _is_as_written(path: Path, folder: Path) -> bool:
    """Return whether an archive has the bytes that `write` gives its members."""
    with tempfile.TemporaryDirectory() as place:
        again = Path(place, "again.zip")
        _zip(again, {each.relative_to(folder).as_posix(): each for each in folder.rglob("*") if each.is_file()})
        return cmp(again, path, shallow=False)


def _zip(path: Path, members: Mapping[str, bytes | Path]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in sorted(members.items()):
            entry = zipfile.ZipInfo(name, DATED)
            entry.external_attr = 0o644 << 16
            entry.create_system = 3  # Unix, on any system
            archive.writestr(entry, content if isinstance(content, bytes) else content.read_bytes())


def _sha256(content: bytes | Path) -> str:
    return hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else file_sha256(content)
