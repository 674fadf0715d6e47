"""Decode every image and label of a user's, and gather what they hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmark.datasets.annotation import Encoding, decode_annotation
from benchmark.datasets.decoding import ANY_FORMAT, SIDEWAYS, decode_image, orientation
from benchmark.datasets.own.faults import SHOWN, counted, listed
from benchmark.datasets.prefetch import prefetch
from benchmark.errors import UserError

MOST_CODES = 1000
"""How many values or colours of a label are kept: one with more is no label."""


@dataclass
class LabelCode:
    """A value or a colour, and where it was seen.

    Attributes:
        pixels: number of pixels.
        files: number of labels.
        first: names of the first of them.
    """

    pixels: int = 0
    files: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, name: str, pixels: int) -> None:
        """Add a label that has it."""
        self.pixels += pixels
        self.files += 1
        if self.files <= SHOWN:
            self.first.append(name)


@dataclass(frozen=True)
class Seen:
    """What one image and its label hold.

    Attributes:
        name: name of the image.
        image: (height, width) of the image as stored; None where it cannot be decoded.
        orientation: EXIF orientation of the image.
        label: (height, width) of the label; None where it cannot be decoded.
        codes: number of pixels of each value and of each colour; None where the label has none of that kind.
        problems: why a file cannot be decoded.
    """

    name: str
    image: tuple[int, int] | None
    orientation: int
    label: tuple[int, int] | None
    codes: Mapping[Encoding, Mapping[int, int] | None]
    problems: tuple[str, ...]


@dataclass
class Survey:
    """What all images and labels hold.

    Attributes:
        seen: each of them.
        codes: where each value, and each colour, was seen.
    """

    seen: list[Seen]
    codes: dict[Encoding, dict[int, LabelCode]]

    def has(self, encoding: Encoding) -> bool:
        """Return whether all labels that can be decoded have codes of a kind."""
        return all(each.codes[encoding] is not None for each in self.seen if each.label is not None)

    def faults(self, upright: bool) -> list[str]:
        """Return what is wrong whatever the classes are, a line for each kind.

        Args:
            upright: the EXIF orientation of images is applied.
        """
        broken = [problem for each in self.seen for problem in each.problems]
        lines = []
        if broken:
            more = f" (and {len(broken) - 1} more files)" if len(broken) > 1 else ""
            lines.append(f"{broken[0]}{more}")
        wrong = [each for each in self.seen if each.image and each.label and _size(each, upright) != each.label]
        if wrong:
            shown = [f"{each.name} ({_by(_size(each, upright))}, label {_by(each.label or (0, 0))})" for each in wrong]
            lines.append(f"{counted(len(wrong), 'label')} of another size than the image: {listed(shown)}")
        return lines

    def orientation(self) -> tuple[bool, int]:
        """Return whether the labels fit images that are turned by their EXIF orientation, and how many have one.

        Labels tell by their size; where none does, orientations are not applied.
        """
        turned = [each for each in self.seen if each.orientation != 1 and each.image and each.label]
        telling = [
            each for each in turned if each.orientation in SIDEWAYS and each.image != (each.image or (0, 0))[::-1]
        ]
        upright = sum(_size(each, True) == each.label for each in telling)
        stored = sum(_size(each, False) == each.label for each in telling)
        return upright > stored, len(turned)


def survey(pairs: Sequence[tuple[str, Path, Path]], advance: Callable[[], None] = lambda: None) -> Survey:
    """Decode every image and label.

    Args:
        pairs: name, image and label of each.
        advance: called after each of them.
    """
    found = Survey([], {"index": {}, "colour": {}})
    for each in prefetch(lambda index: _seen(*pairs[index]), len(pairs)):
        advance()
        found.seen.append(each)
        for encoding, codes in each.codes.items():
            for code, pixels in (codes or {}).items():
                if code in found.codes[encoding] or len(found.codes[encoding]) < MOST_CODES:
                    found.codes[encoding].setdefault(code, LabelCode()).add(each.name, pixels)
    return found


def _seen(name: str, image: Path, label: Path) -> Seen:
    problems = []
    try:
        size = decode_image(image, formats=ANY_FORMAT).shape[:2]
    except UserError as error:
        size = None
        problems.append(str(error))
    codes: dict[Encoding, Mapping[int, int] | None] = {"index": None, "colour": None}
    shape = None
    try:
        annotation = decode_annotation(label)
    except UserError as error:
        problems.append(str(error))
    else:
        shape = annotation.shape
        for encoding in codes:
            found = annotation.codes(encoding)
            if found is not None:
                values, numbers = np.unique(found, return_counts=True)
                most = Counter(dict(zip(values.tolist(), numbers.tolist(), strict=True))).most_common(MOST_CODES)
                codes[encoding] = dict(most)
    return Seen(
        name,
        None if size is None else (size[0], size[1]),
        orientation(image, ANY_FORMAT),
        shape,
        codes,
        tuple(problems),
    )


def _size(seen: Seen, upright: bool) -> tuple[int, int]:
    """Return (height, width) of an image as it is used."""
    height, width = seen.image or (0, 0)
    return (width, height) if upright and seen.orientation in SIDEWAYS else (height, width)


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
