"""Splits of a user's images: by lists, by folders, or at random from a seed."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from benchmark.datasets.listing import IMAGE_SUFFIXES, read_lines
from benchmark.datasets.own.faults import counted, listed
from benchmark.datasets.source import SPLITS, Split
from benchmark.errors import UserError

Splits = dict[Split, list[str] | Literal["val"]]

SYNONYMS: Mapping[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""Other names of the splits."""

FRACTIONS = (70.0, 15.0, 15.0)

MOST = 1e9
"""Largest share; numbers of images are shares, too."""


@dataclass(frozen=True)
class Partition:
    """The images of each split.

    Attributes:
        splits: names, sorted; for test also `val`.
        how: how they were found, in a few words.
        faults: what is wrong, a line for each kind.
    """

    splits: Splits
    how: str
    faults: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Return the images of all splits."""
        return sorted({name for found in self.splits.values() if found != "val" for name in found})


def by_lists(words: Sequence[str], images: Mapping[str, str], folder: Path) -> Partition:
    """Return the splits that the user gave.

    Args:
        words: `train=A`, `val=B` and `test=C`, each a list of names or a folder below that of the images; or one folder
            with the lists `train.txt`, `val.txt` and `test.txt`. Without test the images of val stand for it.
        images: the images by name, each with its path without suffix.
        folder: folder of the images.

    Raises:
        UserError: a list cannot be read, or a split is unknown, missing or given twice.
    """
    places = dict(_places(words))
    for split in ("train", "val"):
        if split not in places:
            raise UserError(f"--split has no {split}: write train=LIST,val=LIST,test=LIST")
    found: dict[Split, list[str]] = {}
    faults = []
    for split, place in places.items():
        if (folder / place).is_dir():
            prefix = "" if PurePosixPath(place) == PurePosixPath(".") else f"{PurePosixPath(place)}/"
            found[split] = [name for name in images if name.startswith(prefix)]
        else:
            found[split], unknown = _listed(Path(place), images)
            if unknown:
                faults.append(
                    f"{place} names {counted(len(unknown), 'image')} that {_are(unknown)} not in {folder}: "
                    f"{listed(unknown)}"
                )
    return _made(found, "the lists given", faults)


def by_folders(images: Mapping[str, str]) -> Partition | None:
    """Return the splits that the folders of the images are named after; None where they are not."""
    found: dict[Split, list[str]] = {}
    for name in images:
        folder, separator, _ = name.partition("/")
        split = SYNONYMS.get(folder.lower()) if separator else None
        if split is None:
            return None
        found.setdefault(split, []).append(name)
    if "train" not in found or len(found) == 1:
        return None
    if "val" not in found:  # the images of test serve as both
        found["val"] = found.pop("test")
    return _made(found, "the folders of the images", [])


def at_random(names: Sequence[str], seed: int, fractions: Sequence[float]) -> Partition:
    """Draw the splits: the order of images is that of the SHA-256 of seed and name, the same on every machine.

    Args:
        names: the images.
        seed: seed of the order.
        fractions: shares of train, val and test, of any sum; without a third the images of val stand for test.
    """
    order = sorted(names, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
    splits = SPLITS[: len(fractions)]
    if len(order) < len(splits):
        return Partition({}, "", [f"{counted(len(order), 'image')} cannot be drawn into {len(splits)} splits"])
    total, found, start = sum(fractions), dict[Split, list[str]](), 0
    for index, split in enumerate(splits):
        left = len(splits) - index - 1  # splits that need an image each
        end = round(len(order) * sum(fractions[: index + 1]) / total)
        end = len(order) if not left else min(max(end, start + 1), len(order) - left)
        found[split] = order[start:end]
        start = end
    shares = ", ".join(f"{100 * share / total:g}" for share in fractions)
    return _made(found, f"drawn at random, seed {seed}, {shares} %", [])


def parse_fractions(text: str) -> list[float]:
    """Return the shares of train, val and test.

    Raises:
        UserError: they are not two or three numbers above 0, up to 1e9.
    """
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if len(found) not in (2, 3) or not all(0 < share <= MOST for share in found):
        raise UserError(f"--fractions {text!r}: three numbers above 0, up to {MOST:g}, such as 70,15,15")
    return found


def _places(words: Sequence[str]) -> Iterator[tuple[Split, str]]:
    parts = [part for word in words for part in word.split(",") if part]
    if len(parts) == 1 and "=" not in parts[0]:
        folder = Path(parts[0])
        files = sorted(folder.glob("*.txt")) if folder.is_dir() else []
        parts = [f"{path.stem}={path}" for path in files if path.stem.lower() in SYNONYMS]
        if not parts:
            raise UserError(f"--split {folder}: a folder with train.txt, val.txt and test.txt, or train=LIST,val=LIST")
    seen = set()
    for part in parts:
        name, separator, place = part.partition("=")
        split = SYNONYMS.get(name.strip().lower())
        if not separator or split is None or not place:
            raise UserError(f"--split {part!r}: write train=LIST,val=LIST,test=LIST")
        if split in seen:
            raise UserError(f"--split has {split} twice: join the two")
        seen.add(split)
        yield split, place.strip()


def _listed(path: Path, images: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return the images in a list, and the lines that name none."""
    known = {name: name for name in images} | {stem: name for name, stem in images.items()}
    bases = Counter(name.rpartition("/")[2] for name in known)
    known |= {key.rpartition("/")[2]: name for key, name in known.items() if bases[key.rpartition("/")[2]] == 1}
    found, unknown = [], []
    for _, line in read_lines(path):
        name = next((known[key] for key in _keys(line) if key in known), None)
        if name is None:
            unknown.append(line)
        else:
            found.append(name)
    return found, unknown


def _keys(line: str) -> Iterator[str]:
    """Yield what a line of a list may call an image: all of it, or its first path, and both without parent folders."""
    for text in (line, re.split(r"[\s,;]+", line)[0]):
        path = PurePosixPath(text.strip("\"'").replace("\\", "/"))
        if path.suffix.lower() in IMAGE_SUFFIXES:
            path = path.with_suffix("")
        for start in range(len(path.parts)):
            yield PurePosixPath(*path.parts[start:]).as_posix()


def _made(found: Mapping[Split, list[str]], how: str, faults: list[str]) -> Partition:
    faults = list(faults)
    for split in SPLITS:
        if split in found and not found[split]:
            faults.append(f"the split {split} has no image")
        twice = [name for name, times in Counter(found.get(split, [])).items() if times > 1]
        if twice:
            faults.append(f"{split} lists {counted(len(twice), 'image')} more than once: {listed(sorted(twice))}")
    splits = [split for split in SPLITS if split in found]
    for index, one in enumerate(splits):
        for other in splits[index + 1 :]:
            if shared := sorted(set(found[one]) & set(found[other])):
                faults.append(f"{counted(len(shared), 'image')} in both {one} and {other}: {listed(shared)}")
    made: Splits = {split: sorted(set(found[split])) for split in splits}
    return Partition(made if "test" in made else {**made, "test": "val"}, how, faults)


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
