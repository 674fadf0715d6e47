"""Bundles: archives of results to cite, with all that is needed to check and to repeat them.

A bundle is a zip file without compression, so that equal contents give equal bytes under any version of zlib, and no
member is larger than the file. `MANIFEST` has the SHA-256 of every other member, in the format of `sha256sum`.
"""

from __future__ import annotations

import hashlib
import re
import struct
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from filecmp import cmp
from pathlib import Path

from benchmark.errors import UserError
from benchmark.files.atomic import replacing
from benchmark.files.unpack import BLOCK, is_archive, unpack
from benchmark.results.arrays import file_sha256
from benchmark.results.record import Record

MANIFEST = "manifest-sha256.txt"

RESULTS = "results"
"""Folder of the store in a bundle."""

SUFFIX = ".zip"

DATED = (1980, 1, 1, 0, 0, 0)
"""Date of all members: the first that a zip file can have."""

ARCHIVES = (SUFFIX, ".tar", ".tar.gz", ".tgz")
"""Ends of the names of archives, also of those that cannot be read."""

LITTER = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")
"""What file managers add; the first is a folder."""

MODE = 0o644 << 16
"""Permissions of all members, where a zip file has them; without a type of file, which other tools add."""

UNIX = 3
"""System of all members, on any system."""

STREAMED = 0x8
"""Flag of a member whose sizes follow its content."""

LOCATOR_64 = b"PK\x06\x07"
"""First bytes of what is added to the end of archives of more than 4 GiB."""

MOST_FILES = 50_000

MOST_RATIO = 20
"""Maximum ratio of compression by other tools; confusion matrices are compressed already."""

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
        _zip(temporary, dict(sorted({**members, MANIFEST: "".join(lines).encode()}.items())))


def is_bundle(path: Path) -> bool:
    """Return whether a path is that of an archive of any kind, or the folder of an unpacked bundle."""
    if path.is_dir():
        return (path / MANIFEST).is_file()
    return path.is_file() and (path.name.endswith(ARCHIVES) or is_archive(path))


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """Yield the folder with the members of a bundle: an archive is unpacked to a temporary one.

    Args:
        path: the archive, or the folder that it was unpacked to.

    Raises:
        UserError: the archive is damaged or malicious, or has no manifest.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = path
        if not path.is_dir():
            folder = Path(place)
            size = path.stat().st_size
            if not unpack(path, folder, lambda member: member, MOST_RATIO * size + MOST_FILES * BLOCK):
                raise UserError(f"{path} is not a readable archive: it is empty; get it again")
            inner = [each for each in folder.iterdir() if not is_litter(each)]
            if len(inner) == 1 and (inner[0] / MANIFEST).is_file():  # the folder was packed, not what is in it
                folder = inner[0]
        if not (folder / MANIFEST).is_file():
            raise UserError(
                f"{path} is no bundle: it has no {MANIFEST}, which `segbench bundle` writes; results without it are "
                "read by `segbench results add`"
            )
        yield folder


def present(folder: Path) -> dict[str, Path]:
    """Return the files of an unpacked bundle by their paths in it, without those that file managers add."""
    files = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name.as_posix(): path for name, path in files.items() if not is_litter(name)}


def is_litter(path: Path) -> bool:
    """Return whether a file is one that file managers add to folders and archives."""
    return path.name in LITTER or LITTER[0] in path.parts


def changes(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the files of an unpacked bundle that are not as its manifest says, each with the reason."""
    wanted: dict[str, str] = {}
    try:
        lines = (folder / MANIFEST).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        yield MANIFEST, "is not text in UTF-8"
        return
    for number, line in enumerate(lines, 1):
        found = _LINE.fullmatch(line)
        if not found:
            yield MANIFEST, f"line {number} is not a SHA-256 and a path"
            return
        wanted[found[2]] = found[1]
    files = present(folder)
    del files[MANIFEST]
    for name in sorted(wanted.keys() | files.keys()):
        if name not in files:
            yield name, "is missing"
        elif name not in wanted:
            yield name, "was added: the manifest does not name it"
        elif file_sha256(files[name]) != wanted[name]:
            yield name, "was changed: its SHA-256 is not that of the manifest"


def packing(path: Path, folder: Path) -> tuple[str | None, str | None]:
    """Compare an archive with the bytes that `write` gives its members.

    What other tools write is no fault, as the manifest secures the members.

    Args:
        path: the archive.
        folder: the folder with its members.

    Returns:
        Why it must not be used, and what is remarkable about it; None each if nothing.
    """
    again = "was packed again by another tool: its members are those of the manifest"
    if not zipfile.is_zipfile(path):
        return None, again
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        unused = _unused(archive, path.stat().st_size)
    if any(map(_is_ours, members)):
        if _is_as_written(path, folder, [each.filename for each in members]):
            return None, None
        return "has changes outside of its members: get it again, or unpack it and validate the folder", None
    return None, f"{again}, but {unused} bytes are outside of them" if unused else again


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


def _is_as_written(path: Path, folder: Path, names: Sequence[str]) -> bool:
    """Return whether an archive has the bytes that `write` gives its members, in their order in it."""
    if not all((folder / name).is_file() for name in names):
        return False
    with tempfile.TemporaryDirectory() as place:
        again = Path(place, "again.zip")
        _zip(again, {name: folder / name for name in names})
        return cmp(again, path, shallow=False)


def _zip(path: Path, members: Mapping[str, bytes | Path]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, DATED)
            entry.external_attr = MODE
            entry.create_system = UNIX
            archive.writestr(entry, content if isinstance(content, bytes) else content.read_bytes())


def _is_ours(member: zipfile.ZipInfo) -> bool:
    """Return whether an entry of an archive is as `write` makes it; other tools give it a date or a type of file."""
    found = (member.date_time, member.external_attr, member.create_system, member.compress_type, member.extra)
    return found == (DATED, MODE, UNIX, zipfile.ZIP_STORED, b"")


def _unused(archive: zipfile.ZipFile, size: int) -> int:
    """Return the number of bytes of an archive that belong neither to a member nor to the directory: comments, gaps.

    Sizes are those of headers and records in APPNOTE.TXT 6.3.10, section 4.3.

    Args:
        archive: the archive.
        size: of its file, in bytes.
    """
    used = 22
    with Path(str(archive.filename)).open("rb") as file:
        for member in archive.infolist():
            file.seek(member.header_offset + 26)
            name, extra = struct.unpack("<HH", file.read(4))
            used += 30 + name + extra + member.compress_size + 46 + name + len(member.extra)
            used += 16 if member.flag_bits & STREAMED else 0
        file.seek(max(0, size - 42 - len(archive.comment)))
        used += 76 if file.read(4) == LOCATOR_64 else 0
    return max(0, size - used)


def _sha256(content: bytes | Path) -> str:
    return hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else file_sha256(content)
