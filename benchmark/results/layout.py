"""File names of a store, relative to its root. Only this module defines the layout:

<protocol>/<architecture>/<run id>.json    a result
<protocol>/<architecture>/<run id>.npz     its confusion matrices and stored predictions
<protocol>/samples-<digest>.npz            the test images of these predictions
weights/<protocol>/<architecture>/<SHA-256>-<split>.json    an evaluation of published weights
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

WEIGHTS = "weights"
"""The folder of the evaluations, which has the same layout."""

_RESULT = re.compile(r"[\w+.-]+/[\w+.-]+/[0-9a-f]{16}\.(json|npz)")


def folder(architecture: str) -> str:
    """Name the folder of an architecture: without the colon of `mmseg:NAME`, which some file systems refuse."""
    return re.sub(r"[^\w.+-]", "+", architecture)


def result(protocol: str, architecture: str, run_id: str) -> Path:
    """Return the path of the JSON file of a result."""
    return Path(protocol, folder(architecture), f"{run_id}.json")


def evaluation(protocol: str, architecture: str, sha256: str, split: str) -> Path:
    """Return the path of an evaluation of weights."""
    return Path(WEIGHTS, protocol, folder(architecture), f"{sha256[:16]}-{split}.json")


def samples(protocol: str, digest: str) -> Path:
    """Return the path of the sample images of a dataset."""
    return Path(protocol, f"samples-{digest[:12]}.npz")


def json_files(root: Path, protocol: str | None = None) -> dict[str, os.DirEntry[str]]:
    """List the JSON files of a store, or of one protocol, sorted by their path relative to the root."""
    return {
        f"{home}/{entry.name}": entry
        for home in _folders(root, protocol)
        for entry in _entries(root / home)
        if entry.name.endswith(".json")
    }


def find(root: Path, run_id: str) -> Path | None:
    """Return the JSON file of a run, or None."""
    paths = (root / home / f"{run_id}.json" for home in _folders(root))
    return next((path for path in paths if path.exists()), None)


def root_of(path: Path) -> Path:
    """Return the root of the store that contains a file of a result or an evaluation."""
    home = path.resolve().parent.parent.parent
    return home.parent if home.name == WEIGHTS else home


def is_evaluation(path: Path) -> bool:
    """Return whether a path is that of an evaluation of weights."""
    return path.resolve().parent.parent.parent.name == WEIGHTS


def place(path: PurePosixPath) -> PurePosixPath | None:
    """Return the path relative to the store's root of a file of a result; None for any other file."""
    inner = PurePosixPath(*path.parts[-3:])
    return inner if _RESULT.fullmatch(str(inner)) else None


def _folders(root: Path, protocol: str | None = None) -> Iterator[str]:
    for first in [protocol] if protocol else _names(root):
        for second in _names(root / first):
            yield f"{first}/{second}"


def _names(path: Path) -> list[str]:
    return [entry.name for entry in _entries(path) if entry.is_dir()]


def _entries(path: Path) -> list[os.DirEntry[str]]:
    """List a folder, sorted; empty if it is not a folder or not readable."""
    try:
        with os.scandir(path) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []
