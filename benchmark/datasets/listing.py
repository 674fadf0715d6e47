"""List the images and labels of a dataset; used by verification and training.

A dataset consists of all files below a folder with the suffix; links are followed. Hidden files, whose names begin
with a dot, are ignored: macOS adds `._NAME.jpg` to `NAME.jpg`. A list is a UTF-8 text file with one name per line;
white space around names and empty lines are ignored.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from benchmark.errors import UserError

Pair = tuple[str, Path, Path]
"""Name, file of the image, and file of the label."""


def pairs_below(images: Path, image_suffix: str, labels: Path, label_suffix: str) -> list[Pair]:
    """List the images below a folder, each with the label of the same name below another.

    Args:
        images, labels: the folders.
        image_suffix, label_suffix: the endings of file names, in which an image and its label differ.

    Returns:
        Unsorted pairs; a name is the path below the folder without suffix.

    Raises:
        UserError: the name of a file is not UTF-8, or its suffix is another spelling of this one.
    """
    return [
        (
            PurePosixPath(file).with_suffix("").as_posix(),
            images / file,
            labels / (file.removesuffix(image_suffix) + label_suffix),
        )
        for file in files_below(images, (image_suffix,))
    ]


def pairs_of(names: Iterable[str], images: Path, image_suffix: str, labels: Path, label_suffix: str) -> list[Pair]:
    """Return the images of a list of names, each with its label; for the arguments see `pairs_below`."""
    return [(name, images / f"{name}{image_suffix}", labels / f"{name}{label_suffix}") for name in names]


def files_below(folder: Path, suffixes: Sequence[str]) -> list[str]:
    """List the files below a folder that have one of the suffixes; an empty list if the folder is missing.

    Returns:
        Paths below the folder, with slashes, unsorted.

    Raises:
        UserError: the name of a file is not UTF-8, or its suffix is another spelling of one of these.
    """
    found = []
    for path in _files(folder):
        if path.name.endswith(tuple(suffixes)):
            found.append(path.relative_to(folder).as_posix())
            if not _is_text(found[-1]):
                raise UserError(f"{os.fsencode(path)!r}: the name of a file is not UTF-8: rename it")
        elif _plain(path.name).endswith(tuple(map(_plain, suffixes))):
            wanted = " or ".join(suffixes)
            raise UserError(f"{path} would be ignored, because it does not end in {wanted}: {_remedy(path)} it")
    return found


IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
"""Suffixes of a user's images and labels, in lower case."""


def by_name(folder: Path) -> dict[str, list[Path]]:
    """List the images or labels below a folder of the user's, whose suffixes may differ in kind and case.

    Returns:
        The files of each path below the folder without suffix, with slashes, composed (NFC): macOS decomposes accents.

    Raises:
        UserError: the name of a file is not UTF-8.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted(_files(folder)):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            name = path.relative_to(folder).with_suffix("").as_posix()
            if not _is_text(name):
                raise UserError(f"{os.fsencode(path)!r}: the name of a file is not UTF-8: rename it")
            found.setdefault(unicodedata.normalize("NFC", name), []).append(path)
    return found


def other_files(folder: Path) -> list[str]:
    """List the files below a folder of the user's that are neither images nor labels, by their name."""
    return sorted(path.name for path in _files(folder) if path.suffix.lower() not in IMAGE_SUFFIXES)


def _files(folder: Path, above: Sequence[Path] = ()) -> Iterator[Path]:
    """Yield every file below a folder that is not hidden, without following links to a parent folder."""
    here = folder.resolve()
    if here in above or not folder.is_dir():
        return
    try:
        content = list(folder.iterdir())
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror}") from error
    for path in content:
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _files(path, (*above, here))
        else:
            yield path


def read_names(path: Path) -> list[str]:
    """Read a list of names.

    Raises:
        UserError: the list cannot be read, or a line is not a name or a duplicate.
    """
    found = read_lines(path)
    for number, line in found:
        if PurePosixPath(line).is_absolute() or ".." in PurePosixPath(line).parts:
            raise UserError(f"{path}, line {number}: not the name of an image: {line[:120]!r}")
    return require_unique(path, [line for _, line in found])


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Read a list: the lines that are not empty, stripped, with their numbers from 1.

    Raises:
        UserError: the list cannot be read, or is not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} cannot be read: it is not text in UTF-8 ({error.reason})") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    return [(number, line.strip()) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]


def require_unique(path: Path, found: Sequence[str]) -> list[str]:
    """Return the names in a list, each of which must occur once.

    Raises:
        UserError: a name occurs twice.
    """
    for name, times in Counter(found).items():
        if times > 1:
            raise UserError(f"{path} lists {name} {times} times")
    return list(found)


def require_file(path: Path) -> Path:
    """Return the path of a file that must exist.

    Raises:
        UserError: it does not exist, see `missing`.
    """
    if path.is_file():
        return path
    raise missing(path)


def missing(path: Path) -> UserError:
    """Return the error for a file that does not exist, mentioning a similar file."""
    if path.is_symlink():
        return UserError(f"{path} is missing: it is a link to {path.readlink()}, which does not exist")
    if path.exists():
        return UserError(f"{path} is missing: its path is not a file")
    like = similar_file(path)
    return UserError(f"{path} is missing" + (f", but {like.name} exists: {_remedy(like)} it" if like else ""))


def similar_file(path: Path) -> Path | None:
    """Return a file whose name is a variant spelling of this one, or None."""
    suffix = path.suffix
    endings = [suffix.upper(), suffix.title(), *([".jpeg", ".JPEG"] if suffix == ".jpg" else []), suffix + ".gz"]
    forms = [unicodedata.normalize(form, path.name) for form in ("NFC", "NFD")]  # macOS decomposes accents
    others = [path.with_name(name) for name in (*(path.stem + ending for ending in endings), *forms)]
    return next((other for other in others if other != path and other.is_file()), None)


def _plain(name: str) -> str:
    return name.lower().removesuffix(".gz").replace(".jpeg", ".jpg")


def _remedy(path: Path) -> str:
    return "unpack" if path.suffix == ".gz" else "rename"


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
