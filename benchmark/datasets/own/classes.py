"""Read the classes of a user's labels: names, colours and values, from the command line or a file of any common form.

A file has one class a line, with its numbers before or after the name: `road`, `road 128 64 128`, `128 64 128 road`,
`7 road`, `road = 7`, `road = 7+8`, `#804080 road`; or it is a CSV file with a heading such as `name,r,g,b`; or JSON or
YAML: a list of names or of dicts, a dict of names to colours or values, or of values to names. Lines of one name are
joined, so that several values or colours may mean one class.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.datasets.listing import read_lines
from benchmark.errors import UserError

RGB = tuple[int, int, int]

VOID_NAMES = {"void", "unlabelled", "unlabeled", "ignore", "ignored"}
"""Names, in lower case, that files of colours give to what is no class."""

FILES = (".txt", ".csv", ".tsv", ".json", ".yaml", ".yml", ".names", ".gpl")

COLUMNS = {
    "name": ("name", "names", "class", "class_names", "label", "class_name", "classname", "label_name", "category"),
    "r": ("r", "red"),
    "g": ("g", "green"),
    "b": ("b", "blue"),
    "colour": ("colour", "color", "hex", "rgb"),
    "value": ("value", "id", "index", "label_id", "class_id", "pixel", "pixel_value"),
}
"""Headings of the columns of a CSV file, in lower case."""

LONGEST_NAME = 256
"""A text of so many characters or more is a list of names, as no file system has a longer name."""

HEX = re.compile(r"#([0-9a-fA-F]{6})\b")

THREE = re.compile(r"\W*\d+\W+\d+\W+\d+\W*")
"""A colour in text."""

NO_CLASS = re.compile(r"#(?![0-9a-fA-F]{6}\b)|//|GIMP Palette|Name:|Columns:")
"""Beginning of a comment, or of the heading of a palette of GIMP."""

NUMBERS = r"[+-]?\d+(?:\s*[\s,;:|]\s*\d+)*"


@dataclass(frozen=True)
class ClassEntry:
    """A class, as it was given.

    Attributes:
        name: its name; None where only its colour is known.
        colours: its colours; the first is that of figures.
        values: the values that mean it.
    """

    name: str | None
    colours: tuple[RGB, ...] = ()
    values: tuple[int, ...] = ()


def parse(text: str) -> list[ClassEntry]:
    """Return the classes that an argument names: `a,b,c`, `a=1,b=2+3`, or a file.

    Raises:
        UserError: the file cannot be read, or something is no class.
    """
    if len(text) < LONGEST_NAME and (Path(text).suffix.lower() in FILES or Path(text).is_file()):
        return read(Path(text))
    found = []
    for part in text.split(","):
        name, separator, values = (piece.strip() for piece in part.partition("="))
        if not name or (separator and not re.fullmatch(r"\d+(\s*\+\s*\d+)*", values)):
            raise UserError(
                f"--classes {text!r}: names with commas between them, such as a,b,c or a=1,b=2+3, or a file"
            )
        found.append(ClassEntry(name, values=tuple(map(int, values.split("+"))) if separator else ()))
    return _joined(found, "--classes", again=False)


def read(path: Path) -> list[ClassEntry]:
    """Read classes from a file.

    Raises:
        UserError: it cannot be read, or has something that is no class.
    """
    try:
        if path.suffix.lower() in (".json", ".yaml", ".yml"):
            found = list(_structured(_load(path), path))
        else:
            lines = [(number, line) for number, line in read_lines(path) if not NO_CLASS.match(line)]
            found = _of_table(lines, path) or list(_of_lines(lines, path))
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    if not found:
        raise UserError(f"{path} names no class")
    return _joined(found, str(path), again=True)


def _of_lines(lines: Sequence[tuple[int, str]], path: Path) -> Iterator[ClassEntry]:
    """Yield the classes of a text of one a line."""
    split = [(number, line, _split(line)) for number, line in lines]
    lead = all(
        len(before) in (1, 4) for _, _, (before, _, _, _) in split
    )  # else 2 in "2 wheeler" is a part of the name
    for number, line, (before, name, after, separated) in split:
        colours = [_of_hex(code) for code in HEX.findall(line)]
        if not name and not colours:
            before, after = [], before
        if len(before) == 1 and not lead:
            before, name = [], f"{before[0]} {name}"
        if len(after) in (1, 4) and not separated and name:  # as in "class 1 255 0 0"
            name, after = f"{name} {after[0]}", after[1:]
        numbers = before + after
        if not name and len(numbers) == 1:
            name, numbers = str(numbers[0]), []
        if before and after and len(before) not in (1, 3):
            numbers = [0] * 9  # refused below
        if len(numbers) == 3:
            yield ClassEntry(name or None, (*colours, _rgb(numbers)))
        elif len(numbers) == 4:
            value, rgb = (numbers[3], numbers[:3]) if len(before) == 3 else (numbers[0], numbers[1:])
            yield ClassEntry(name or None, (*colours, _rgb(rgb)), (value,))
        elif len(numbers) == 1 or (numbers and "+" in line):
            yield ClassEntry(name or None, tuple(colours), tuple(numbers))
        elif not numbers and (name or colours):
            yield ClassEntry(name or None, tuple(colours))
        else:
            raise UserError(f"{path}, line {number}: not a class, its colour or its value: {line[:80]!r}")


def _split(line: str) -> tuple[list[int], str, list[int], bool]:
    """Split a line into the numbers before a name, the name, the numbers after it, whether a sign parts them."""
    line = HEX.sub(" ", line).strip().strip(",;:=| \t")
    line = re.sub(r"[\[\](){}]", " ", line).strip()
    if re.fullmatch(rf"{NUMBERS}", line):
        return _integers(line), "", [], True
    found = re.fullmatch(
        rf"(?:({NUMBERS})(\s*[,;:=|\t]\s*|\s+))?(.*?)(?:(\s*[,;:=|\t]\s*|\s+)({NUMBERS}(?:\s*\+\s*\d+)*))?", line
    )
    assert found is not None
    before, _, name, separator, after = found.groups()
    separated = bool(separator and separator.strip(" "))
    return _integers(before), name.strip().strip("\"'"), _integers(after), separated


def _of_table(lines: Sequence[tuple[int, str]], path: Path) -> list[ClassEntry]:
    """Return the classes of a table with a heading; none where there is no heading."""
    if not lines:
        return []
    heading = lines[0][1]
    delimiter = next((each for each in ",;\t" if each in heading), None)
    columns = {}
    for index, cell in enumerate(heading.split(delimiter)):
        kind = next(
            (kind for kind, names in COLUMNS.items() if cell.strip().strip('"').lower().replace(" ", "_") in names),
            None,
        )
        if kind and kind not in columns:
            columns[kind] = index
    if len(columns) < 2 or not ({"r", "g", "b"} <= columns.keys() or {"colour", "value"} & columns.keys()):
        return []
    found = []
    for number, row in zip(
        (number for number, _ in lines[1:]),
        csv.reader([line for _, line in lines[1:]], delimiter=delimiter or " ", skipinitialspace=True),
        strict=True,
    ):
        try:
            cells = {kind: row[index].strip() for kind, index in columns.items()}
            colours: list[RGB] = []
            if "r" in cells:
                colours = [_rgb([int(cells[part]) for part in "rgb"])]
            elif "colour" in cells:
                colours = [_colour(cells["colour"])]
            values = (int(cells["value"]),) if "value" in cells else ()
        except (IndexError, ValueError) as error:
            raise UserError(f"{path}, line {number}: not a row of {heading!r}") from error
        found.append(ClassEntry(cells.get("name") or None, tuple(colours), values))
    return found


def _load(path: Path) -> Any:
    import yaml

    try:
        text = path.read_text(encoding="utf-8-sig")
        return json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error


def _structured(found: Any, path: Path) -> Iterator[ClassEntry]:
    """Yield the classes of JSON or YAML."""
    if isinstance(found, Mapping):
        inner = next((found[key] for key in ("classes", "names", "labels", "categories") if key in found), None)
        if isinstance(inner, list | Mapping):
            yield from _structured(inner, path)
            return
        colours = all(_is_rgb(value) or isinstance(value, str) for value in found.values())
        for key, value in found.items():
            yield _of_item(key, value, colours, path)
    elif isinstance(found, list):
        for each in found:
            if isinstance(each, Mapping):
                yield _of_dict(each, path)
            elif isinstance(each, str):
                yield ClassEntry(None, (_of_hex(each[1:]),)) if HEX.fullmatch(each) else ClassEntry(each)
            elif _is_rgb(each):
                yield ClassEntry(None, (_rgb(each),))
            else:
                raise UserError(f"{path}: {each!r} is not a class")
    else:
        raise UserError(f"{path} has neither a list nor a dict of classes")


def _of_item(key: Any, value: Any, colours: bool, path: Path) -> ClassEntry:
    """Return the class of an item of a dict: of a name to what means it, or the other way round."""
    try:
        if isinstance(value, Mapping):
            return _of_dict({"name": key} | dict(value), path)
        if isinstance(value, str) and not (
            HEX.fullmatch(value) or THREE.fullmatch(value)
        ):  # a value or a colour to a name
            if isinstance(key, int) or re.fullmatch(r"\d+", str(key)):
                return ClassEntry(value, values=(int(key),))
            return ClassEntry(value, (_colour(str(key)),))
        name = str(key)
        if isinstance(value, str):
            return ClassEntry(name, (_colour(value),))
        if isinstance(value, int):
            return ClassEntry(name, values=(value,))
        if colours:
            return ClassEntry(name, (_rgb(value),))
        if isinstance(value, list) and value and all(_is_rgb(each) for each in value):
            return ClassEntry(name, tuple(map(_rgb, value)))
        if isinstance(value, list) and all(isinstance(each, int) for each in value):
            return ClassEntry(name, values=tuple(value))
    except ValueError:
        pass
    raise UserError(f"{path}: {key!r}: {value!r} is not a class, its colour or its values")


def _of_dict(given: Mapping[str, Any], path: Path) -> ClassEntry:
    """Return the class of a dict with its name, colour and value."""
    parts = {str(key).lower(): value for key, value in given.items()}
    found = {kind: next((parts[name] for name in names if name in parts), None) for kind, names in COLUMNS.items()}
    values = parts.get("values", parts.get("labels", found["value"]))
    try:
        colour = found["colour"]
        if colour is None and None not in (found["r"], found["g"], found["b"]):
            colour = [found["r"], found["g"], found["b"]]
        colours = () if colour is None else ((_colour(colour),) if isinstance(colour, str) else (_rgb(colour),))
        numbers = () if values is None else tuple(values) if isinstance(values, list) else (values,)
        if not all(isinstance(each, int) for each in numbers):
            raise ValueError
        return ClassEntry(None if found["name"] is None else str(found["name"]), colours, numbers)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: {dict(given)!r} is not a class") from error


def _joined(found: Iterable[ClassEntry], where: str, again: bool) -> list[ClassEntry]:
    """Join the entries of one name.

    Raises:
        UserError: a name comes twice where it may not, or without anything that differs.
    """
    by_name: dict[str | int, ClassEntry] = {}
    for number, entry in enumerate(found):
        if len(entry.name or "") > 100:
            raise UserError(f"{where}: the name of a class is longer than 100 characters: {(entry.name or '')[:40]}...")
        key = number if entry.name is None else entry.name
        known = by_name.get(key)
        if known is None:
            by_name[key] = entry
            continue
        more = ClassEntry(
            entry.name,
            tuple(dict.fromkeys(known.colours + entry.colours)),
            tuple(dict.fromkeys(known.values + entry.values)),
        )
        if more == known or not (again or entry.values):
            raise UserError(f"{where} names {entry.name} twice")
        by_name[key] = more
    return list(by_name.values())


def parse_void(words: Sequence[str]) -> tuple[list[int | RGB | str], bool]:
    """Return the values, colours and class names that are void, and whether everything that is no class is.

    Raises:
        UserError: a colour has not three parts.
    """
    text = " ".join(words)
    found: list[int | RGB | str] = []
    for word in [
        part for each in words for part in ([each] if re.fullmatch(r"\d+,\d+,\d+", each) else each.split(","))
    ]:
        if word == "others":
            continue
        if re.fullmatch(r"-?\d+", word):
            found.append(int(word))
        elif HEX.fullmatch(word) or re.fullmatch(r"\d+,\d+,\d+", word):
            try:
                found.append(_colour(word))
            except ValueError as error:
                raise UserError(f"--void {text}: {word} is not a colour") from error
        elif word:
            found.append(word)
    return found, "others" in words


def _colour(text: str) -> RGB:
    if found := HEX.fullmatch(text):
        return _of_hex(found[1])
    return _rgb([int(part) for part in re.findall(r"-?\d+", text)])


def _of_hex(code: str) -> RGB:
    return int(code[:2], 16), int(code[2:4], 16), int(code[4:6], 16)


def _rgb(parts: Sequence[Any]) -> RGB:
    """Return a colour; raises `ValueError` where it is none. An opaque alpha is dropped."""
    if len(parts) == 4 and parts[3] == 255:
        parts = parts[:3]
    if len(parts) != 3:
        raise ValueError(f"{list(parts)} is not a colour: it has red, green and blue")
    red, green, blue = (int(part) for part in parts)
    if not all(0 <= part <= 255 for part in (red, green, blue)):
        raise ValueError(f"{list(parts)} is not a colour: red, green and blue are 0 to 255")
    return red, green, blue


def _is_rgb(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 3 and all(isinstance(part, int) for part in value)


def _integers(text: str | None) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", text or "")]
