"""Dataset cards: a user's own folders of images and labels, described by one YAML file.

A card has the folders relative to itself, the rule by which an image finds its label, the classes with their colours
and the values or colours that mean them in the label files, what is void, the images of each split by name, and the
SHA-256 of the pixels of each split, so that data that have changed are noticed. `segbench data add` writes it.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, WrapValidator, model_validator

from benchmark.confusion import VOID
from benchmark.datasets.annotation import Encoding, decode_annotation, packed, unpacked
from benchmark.datasets.decoding import ANY_FORMAT, SIDEWAYS, decode_image, orientation, size
from benchmark.datasets.listing import by_name
from benchmark.datasets.source import SPLITS, AbsentError, PublishedSplit, Split
from benchmark.errors import UserError, unknown_key
from benchmark.files import unique_keys
from benchmark.files.atomic import replacing

SUFFIXES = (".yaml", ".yml")
"""How the names of cards end: a dataset that is named so is a card."""

MOST_CLASSES = 254
"""Maximum number of classes: labels have 8 bits, of which 255 is void."""

NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
"""Pattern of the names of datasets, which are parts of file names."""

HEADING = """\
# A dataset for segbench: `segbench run --data {name}`, `segbench data show {name}`, `segbench data verify {name}`.
# Folders are relative to this file. Fill in the licence; docs/your-data.md explains the rest.
"""


def _worded(message: str) -> WrapValidator:
    """Return a validator that says in one message what a value should be, instead of pydantic's for each part of it."""

    def check(value: Any, validate: Callable[[Any], Any]) -> Any:
        try:
            return validate(value)
        except ValidationError as error:
            raise ValueError(message) from error

    return WrapValidator(check)


Byte = Annotated[int, Field(ge=0, le=255)]
Triple = Annotated[tuple[Byte, Byte, Byte], Field(strict=False)]  # YAML has lists
Value = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]  # of labels of 32 bits
COLOUR = "a colour, [red, green, blue] of 0 to 255"
CODE = f"a whole number of 32 bits, or {COLOUR}"
Colour = Annotated[Triple, _worded(f"should be {COLOUR}")]
Code = Annotated[Value | Triple, _worded(f"should be {CODE}")]
Void = Annotated[Value | Triple | Literal["others"], _worded(f"should be {CODE}, or others")]
Pattern = Annotated[
    str,
    Field(pattern=r"^[^/{}]*\{name\}[^/{}]*$"),
    _worded("should be {name} with what names have before and after it, such as '{name}_mask'"),
]
Names = Annotated[list[str] | Literal["val"], _worded("should be a list of names in quotes, or for test val")]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$"), _worded("should be 64 hexadecimal digits")]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Pairing(_Part):
    """How the name of an image makes the names of its two files, whose folders and suffixes do not matter.

    Attributes:
        image, label: `{name}`, with what the names of images and of labels have before and after it.
    """

    image: Pattern = "{name}"
    label: Pattern = "{name}"


class CardClass(_Part):
    """One class.

    Attributes:
        name: its name.
        colour: its colour in figures.
        labels: the values, or the colours, that mean it in the label files.
    """

    name: Annotated[str, Field(min_length=1, max_length=100)]
    colour: Colour
    labels: list[Code] = Field(min_length=1)


class Statistics(_Part):
    """What was computed of the training split.

    Attributes:
        mean, std: of each channel, red first, 0 to 255.
        class_weights: by median frequency balancing (Eigen, Fergus, ICCV 2015, section 6.3.1).
    """

    mean: list[Finite] = Field(min_length=3, max_length=3)
    std: list[Finite] = Field(min_length=3, max_length=3)
    class_weights: list[Finite]


class Content(_Part):
    """The content of a card, as the file has it.

    Attributes:
        card: version of the format.
        name: name of the dataset in results and tables.
        licence: terms under which the data may be used, for readers.
        images, labels: folders, relative to the card.
        pairing: see `Pairing`.
        orientation: whether the EXIF orientation of images is applied.
        encoding: what tells the class of a pixel: the stored value of the label, or its colour.
        classes: the classes, in the order of their indices.
        void: values or colours without ground truth; `others` for all that are no class.
        splits: the images of each split by name; for test also `val`, whose images then serve as both.
        digest: SHA-256 of the pixels and labels of each split.
        statistics: see `Statistics`.
    """

    card: Literal[1] = 1
    name: Annotated[
        str,
        Field(pattern=f"^{NAME}$"),
        _worded("should be up to 64 letters, digits, dots, dashes and underscores, a letter or digit first"),
    ]
    licence: str = ""
    images: str
    labels: str
    pairing: Pairing = Pairing()
    orientation: Literal["stored", "applied"] = "stored"
    encoding: Encoding
    classes: list[CardClass] = Field(min_length=1, max_length=MOST_CLASSES)
    void: list[Void] = []
    splits: dict[Split, Names]
    digest: dict[Split, Digest] = {}
    statistics: Statistics | None = None

    @model_validator(mode="after")
    def _is_sound(self) -> Content:
        if (twice := _duplicate([each.name for each in self.classes])) is not None:
            raise ValueError(f"two classes are named {twice}")
        codes: list[Any] = [code for each in self.classes for code in each.labels] + self.void
        if (twice := _duplicate(codes)) is not None:
            raise ValueError(f"{twice} means two things: two classes, or a class and void")
        wrong = [code for code in codes if code != "others" and isinstance(code, int) != (self.encoding == "index")]
        if wrong:
            raise ValueError(f"{wrong[0]} is not {'a value' if self.encoding == 'index' else 'a colour'}")
        if absent := [split for split in SPLITS if not self.splits.get(split)]:
            raise ValueError(f"the split {absent[0]} has no image")
        if "val" in (self.splits["train"], self.splits["val"]):
            raise ValueError("only test can be the images of val")
        names = [name for found in self.splits.values() if found != "val" for name in found]
        if (twice := _duplicate(names)) is not None:
            raise ValueError(f"the image {twice} is in the splits twice")
        return self


@dataclass(frozen=True, eq=False)
class Card:
    """A card that was read.

    Attributes:
        path: the file, absolute.
        content: what it says.
    """

    path: Path
    content: Content

    @property
    def images(self) -> Path:
        """The folder of the images."""
        return self.path.parent / self.content.images

    @property
    def labels(self) -> Path:
        """The folder of the labels."""
        return self.path.parent / self.content.labels

    @cached_property
    def split(self) -> type[CardSplit]:
        """The class of its splits."""
        return _split_class(self)


class CardSplit:
    """One split of a dataset that a card describes; `open_card` opens it.

    Args:
        split: "train", "val" or "test".

    Attributes:
        card: the card.

    Raises:
        AbsentError: a folder of the card does not exist.
        UserError: an image or a label of the split does not exist.
    """

    classes: ClassVar[Sequence[str]]
    palette: ClassVar[Sequence[tuple[int, int, int]]]
    published: ClassVar[Mapping[Split, PublishedSplit]]
    card: ClassVar[Card]

    def __init__(self, split: Split) -> None:
        content = self.card.content
        self.split = split
        self.names: Sequence[str] = sorted(names_of(content, split))
        self._images, self._labels = (
            self._found(folder, pattern)
            for folder, pattern in (
                (self.card.images, content.pairing.image),
                (self.card.labels, content.pairing.label),
            )
        )
        self._codes, self._classes = codes_of(content)

    def _found(self, folder: Path, pattern: str) -> list[Path]:
        """Return the file of every name below a folder."""
        if not folder.is_dir():
            raise AbsentError(f"{self.card.path}: {folder} is not there: correct the path of the folder in the card")
        files = by_name(folder)
        absent = [key for name in self.names if (key := stem(name, pattern)) not in files]
        if absent:
            more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
            raise UserError(
                f"{self.card.path} names {absent[0]}{more} for {self.split}, and no file below {folder} is named so: "
                "put it back, or write the card again with `segbench data add --force`"
            )
        found = []
        for name in self.names:
            key = stem(name, pattern)
            if len(files[key]) > 1:
                raise UserError(f"{files[key][0]} and {files[key][1].name} are of one name: remove or rename one")
            found += files[key]
        return found

    def __len__(self) -> int:
        return len(self.names)

    def __reduce__(self) -> tuple[Any, ...]:
        return open_card, (str(self.card.path), self.split)  # the class is made from the card, and is not pickled

    def pairs(self) -> Iterator[tuple[str, Path, Path]]:
        """Yield the name, the image and the label of each image, in the order of the split."""
        return zip(self.names, self._images, self._labels, strict=True)

    def files(self) -> list[Path]:
        """Return every image and label file."""
        return [*self._images, *self._labels]

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return the RGB image of shape (height, width, 3).

        Raises:
            UserError: the file is missing or cannot be decoded.
        """
        upright = self.card.content.orientation == "applied"
        return decode_image(self._images[index], formats=ANY_FORMAT, upright=upright)

    def label(self, index: int) -> NDArray[np.uint8]:
        """Return the class indices of shape (height, width); 255 where there is no ground truth.

        Raises:
            UserError: the file is missing, cannot be decoded, is not of the size of its image, or has a value or colour
                that the card does not name.
        """
        path, content = self._labels[index], self.card.content
        annotation = decode_annotation(path)
        codes = annotation.codes(content.encoding)
        if codes is None:
            raise UserError(f"{path}: the card says that labels hold {content.encoding} codes, and this one has none")
        if (wanted := self._size(index)) != annotation.shape:
            here, there = ("x".join(map(str, each)) for each in (annotation.shape, wanted))
            raise UserError(f"{path}: {here} pixels, but its image has {there}")
        places = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        known = self._codes[places] == codes
        label = self._classes[places]
        if not known.all():
            if "others" not in content.void:
                row, column = np.argwhere(~known)[0]
                what = shown(content.encoding, int(codes[row, column]))
                raise UserError(
                    f"{path}: {what} at row {row}, column {column} is of no class, and not void in the card"
                )
            label[~known] = VOID
        return label

    def _size(self, index: int) -> tuple[int, int]:
        """Return (height, width) of an image by its header."""
        path = self._images[index]
        height, width = size(path, ANY_FORMAT)
        turned = self.card.content.orientation == "applied" and orientation(path, ANY_FORMAT) in SIDEWAYS
        return (width, height) if turned else (height, width)


def is_card(dataset: str) -> bool:
    """Return whether the name of a dataset is the path of a card."""
    return dataset.endswith(SUFFIXES)


def open_card(root: str | Path, split: Split) -> CardSplit:
    """Open a split of a dataset by the path of its card.

    Raises:
        UserError: the card cannot be read or is malformed, or its data are not there.
    """
    return read(root).split(split)


def read(path: str | Path) -> Card:
    """Read a card.

    Raises:
        UserError: it cannot be read, or is malformed.
    """
    path = Path(path).expanduser()
    if not is_card(path.name):
        raise UserError(f"{path} is not a dataset card, a .yaml file: `segbench data add` writes one")
    try:
        stat = path.stat()
        return _read(path.absolute(), stat.st_mtime_ns, stat.st_size)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}: `segbench data add` writes a card") from error


def write(content: Content, path: Path) -> None:
    """Write a card atomically.

    Raises:
        UserError: the file cannot be written.
    """
    import yaml

    class CardDumper(yaml.SafeDumper):
        """Writes colours, and lists of them, in one line."""

        def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:
            short = not any(isinstance(each, str | dict) for each in sequence)
            return super().represent_sequence(tag, sequence, flow_style=short)

    plain = content.model_dump(mode="json", exclude_none=True)
    text = yaml.dump(plain, Dumper=CardDumper, sort_keys=False, allow_unicode=True, width=math.inf)
    with replacing(path) as temporary:
        temporary.write_text(HEADING.format(name=path.name) + text, encoding="utf-8")


def card_class(name: str, colour: Sequence[int], labels: Sequence[Any]) -> CardClass:
    """Return a class of a card.

    Raises:
        UserError: a field is not as it should be.
    """
    try:
        return CardClass(name=name, colour=colour, labels=list(labels))  # type: ignore[arg-type]
    except ValidationError as error:
        raise UserError(f"class {name[:40]!r}: {_said(error, CardClass)}") from error


def content(**fields: Any) -> Content:
    """Return the content of a card.

    Raises:
        UserError: a field is not as it should be.
    """
    try:
        return Content(**fields)
    except ValidationError as error:
        raise UserError(f"{fields['name']} makes no card: {_said(error)}") from error


def names_of(content: Content, split: Split) -> Sequence[str]:
    """Return the images of a split by name."""
    found = content.splits[split]
    return content.splits["val"] if found == "val" else found


def codes_of(content: Content) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Return the codes that mean something, sorted, and the class index of each, 255 for void; shape (N,) both."""
    found = {_code(label): index for index, each in enumerate(content.classes) for label in each.labels}
    found |= {_code(label): VOID for label in content.void if label != "others"}
    codes = sorted(found)
    return np.array(codes, np.int32), np.array([found[code] for code in codes], np.uint8)


def shown(encoding: Encoding, code: int) -> str:
    """Format a code of a label for a message."""
    return f"the value {code}" if encoding == "index" else f"the colour {unpacked(code)}"


def stem(name: str, pattern: str) -> str:
    """Return the path of a file below its folder, without suffix, by the name of the image and a pattern."""
    path = PurePosixPath(name)
    return path.with_name(pattern.replace("{name}", path.name)).as_posix()


@lru_cache(maxsize=16)
def _read(path: Path, _mtime: int, _size: int) -> Card:
    import yaml

    try:
        found = yaml.load(path.read_bytes(), Loader=unique_keys.loader())
    except (yaml.YAMLError, ValueError) as error:  # of text that is not UTF-8, or a date that is none
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise UserError(f"{path}{line}: is not YAML: {getattr(error, 'problem', None) or error}") from error
    if not isinstance(found, dict) or "classes" not in found:
        raise UserError(f"{path} is not a dataset card: `segbench data add` writes one")
    try:
        return Card(path, Content.model_validate(found))
    except ValidationError as error:
        raise UserError(f"{path}: {_said(error)}") from error


MESSAGES = {
    "missing": "is missing",
    "list_type": "should be a list",
    "model_type": "should be a mapping",
    "dict_type": "should be a mapping",
    "int_type": "should be a whole number",
    "float_type": "should be a number",
    "finite_number": "should be a finite number",
    "string_type": "should be a text",
    "string_too_short": "should be a text that is not empty",
    "invalid_key": "unknown key",
}
"""What pydantic's kinds of faults say in the words of YAML."""


def _said(error: ValidationError, model: type[BaseModel] = Content) -> str:
    """Return the first thing that is wrong in one line: the key, and what is wrong with its value."""
    first = error.errors(include_url=False)[0]
    *above, last = first["loc"] or ("",)
    if first["type"] == "extra_forbidden":
        message = unknown_key(str(last), _fields(model, above))
    elif last == "[key]":  # of splits or digest
        above, last = above[:-1], above[-1]
        message = unknown_key(str(last), SPLITS)
    else:
        said = first["msg"].replace(" after validation", "")
        for start in ("Value error, ", "Input ", "List ", "String "):
            said = said.removeprefix(start)
        message = MESSAGES.get(first["type"], f"{said[:1].lower()}{said[1:]}")
        if message.startswith("should") and isinstance(first["input"], str | int | float | None):
            message += f", not {first['input']!r}"[:80]
    place = ".".join(map(str, [*above, last]))
    return f"{' '.join(place.split())}: {message}" if place else message


def _fields(model: Any, place: Sequence[str | int]) -> Iterable[str]:
    """Return the keys of a part of a model."""
    for part in place:
        if isinstance(part, str):
            annotation = model.model_fields[part].annotation
            kinds = [annotation, *get_args(annotation)]
            model = next(each for each in kinds if isinstance(each, type) and issubclass(each, BaseModel))
    return model.model_fields  # type: ignore[no-any-return]


def _split_class(card: Card) -> type[CardSplit]:
    content = card.content
    rules = content.model_dump_json(include={"orientation", "encoding", "classes", "void"})
    known = {split: len(names) for split, names in content.splits.items() if names != "val"}
    facts = {
        "card": card,
        "classes": tuple(each.name for each in content.classes),
        "palette": tuple(each.colour for each in content.classes),
        "published": {split: PublishedSplit(number, content.digest.get(split)) for split, number in known.items()},
    }
    # a cached digest is that of files and the name of the class, which has the rules of decoding in it
    return type(f"CardSplit-{hashlib.sha256(rules.encode()).hexdigest()[:16]}", (CardSplit,), facts)


def _code(label: Any) -> int:
    return label if isinstance(label, int) else packed(label)


def _duplicate(items: Sequence[Any]) -> Any:
    seen: set[Any] = set()
    return next((item for item in items if item in seen or seen.add(item)), None)  # type: ignore[func-returns-value]


def relative(folder: Path, card: Path) -> str:
    """Return the path of a folder relative to the folder of a card, with slashes."""
    home = card.absolute().parent
    try:
        found = Path(os.path.relpath(folder.absolute(), home))
        if (home / found).resolve() != folder.resolve():  # `..` leads elsewhere from a folder that is a link
            found = Path(os.path.relpath(folder.resolve(), home.resolve()))
        return found.as_posix()
    except ValueError:  # another drive
        return folder.absolute().as_posix()
