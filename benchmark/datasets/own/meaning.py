"""Decide which value or colour of the labels means which class, and find those that mean none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmark.confusion import VOID
from benchmark.datasets.annotation import Encoding, packed, unpacked
from benchmark.datasets.card import MOST_CLASSES, CardClass, card_class
from benchmark.datasets.colours import distinct_colours
from benchmark.datasets.own.classes import RGB, VOID_NAMES, ClassEntry
from benchmark.datasets.own.faults import SHOWN, counted, listed
from benchmark.datasets.own.survey import LabelCode, Survey
from benchmark.errors import UserError


@dataclass(frozen=True)
class Meaning:
    """What the labels mean.

    Attributes:
        encoding: what tells the class of a pixel.
        classes: the classes, with what means them.
        void: values or colours without ground truth, and `others`.
        notes: what was decided.
        faults: what is wrong, a line for each kind.
    """

    encoding: Encoding
    classes: list[CardClass]
    void: list[Any]
    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def meaning(
    found: Survey,
    classes: Sequence[ClassEntry],
    palette: Sequence[ClassEntry],
    void: Sequence[int | RGB | str],
    others: bool,
    encoding: Encoding | None = None,
) -> Meaning:
    """Decide what the labels mean.

    Args:
        found: what the labels hold.
        classes: the classes as the user named them; empty for those of the palette, or else of the labels.
        palette: the colours of the classes.
        void: values, colours or names of classes without ground truth.
        others: everything that is no class is void.
        encoding: what tells the class of a pixel; None for what the labels and the palette say.

    Raises:
        UserError: classes, palette and void do not fit each other.
    """
    entries, named_void, notes = _entries(classes, palette, void)
    if len(entries) > MOST_CLASSES:
        raise UserError(f"there are {len(entries)} classes, and labels of 8 bits have room for {MOST_CLASSES} and void")
    coloured = [entry for entry in entries if entry.colours]
    encoding = encoding or _encoding(found, entries, named_void, void)
    if encoding == "colour":
        return _by_colour(found, entries, coloured, named_void, void, others, notes)
    return _by_value(found, entries, named_void, void, others, notes)


def _entries(
    classes: Sequence[ClassEntry], palette: Sequence[ClassEntry], void: Sequence[int | RGB | str]
) -> tuple[list[ClassEntry], list[ClassEntry], list[str]]:
    """Return the classes with their colours, the entries that are void by their names, and notes."""
    notes = []
    names = {word.lower() for word in void if isinstance(word, str)}
    given = list(classes)
    if not classes:
        given = list(palette)
    elif palette and all(each.name is None for each in palette):
        if len(palette) != len(classes):
            raise UserError(
                f"--palette has {counted(len(palette), 'colour')} without names, and --classes {len(classes)} names"
            )
        given = [ClassEntry(one.name, other.colours, one.values) for one, other in zip(classes, palette, strict=True)]
    elif palette:
        by_name = {(each.name or "").lower(): each for each in palette}
        lacking = [each.name or "" for each in classes if (each.name or "").lower() not in by_name]
        if lacking:
            raise UserError(f"--palette has no colour of {listed(lacking)}")
        found = [by_name[(each.name or "").lower()] for each in classes]
        given = [
            ClassEntry(one.name, other.colours, one.values or other.values)
            for one, other in zip(classes, found, strict=True)
        ]
    known = {(entry.name or "").lower() for entry in (*given, *palette)}
    if unknown := sorted(names - known):
        raise UserError(f"--void {unknown[0]}: neither a value, a colour, a class of --palette, nor `others`")
    implied = set() if classes else VOID_NAMES
    is_void = {name for name in known if name in names | implied}
    # a palette may have colours of more names than there are classes: only those that are void count
    left = [
        entry for entry in (*given, *(each for each in palette if classes)) if (entry.name or "").lower() in is_void
    ]
    kept = [entry for entry in given if (entry.name or "").lower() not in is_void]
    if hidden := [entry.name or "" for entry in left if (entry.name or "").lower() not in names]:
        notes.append(
            f"{listed(list(dict.fromkeys(hidden)))} of the palette is void (name it in --classes to make it a class)"
        )
    return kept, left, notes


def _encoding(
    found: Survey, entries: Sequence[ClassEntry], void: Sequence[ClassEntry], words: Sequence[int | RGB | str]
) -> Encoding:
    """Return what tells the classes: colours where they are known and are all that the labels show, else values."""
    colours = {packed(colour) for entry in (*entries, *void) for colour in entry.colours}
    colours |= {packed(word) for word in words if isinstance(word, tuple)}
    if not found.has("index"):
        return "colour"
    if colours and found.has("colour") and found.codes["colour"].keys() <= colours:
        return "colour"
    return "index"


def _by_colour(
    found: Survey,
    entries: Sequence[ClassEntry],
    coloured: Sequence[ClassEntry],
    named_void: Sequence[ClassEntry],
    words: Sequence[int | RGB | str],
    others: bool,
    notes: list[str],
) -> Meaning:
    seen = found.codes["colour"]
    if not coloured:
        by_size = sorted(seen, key=lambda code: -seen[code].pixels)
        colours = listed([str(unpacked(code)) for code in by_size], len(seen))
        raise UserError(
            f"the labels hold colours ({len(seen)} of them: {colours}), and nothing says which class each is: give "
            "--palette FILE with a line such as `road 128 64 128` for each class"
        )
    if bare := [entry.name or "" for entry in entries if not entry.colours]:
        raise UserError(f"there is no colour of {listed(bare)}: name it in --palette")
    if numbers := [word for word in words if isinstance(word, int)]:
        raise UserError(f"--void {numbers[0]} is a value, and the labels hold colours: write r,g,b, #rrggbb or a name")
    void = [colour for entry in named_void for colour in entry.colours]
    void = list(dict.fromkeys([*void, *(word for word in words if isinstance(word, tuple))]))
    classes = [_class(entry, index, entry.colours[0], entry.colours) for index, entry in enumerate(entries)]
    taken: dict[RGB, str] = dict.fromkeys(void, "void")
    for each in classes:
        for colour in each.labels:
            assert isinstance(colour, tuple)
            if taken.setdefault(colour, each.name) != each.name:
                raise UserError(
                    f"the colour {colour} is of {taken[colour]} and of {each.name}: a colour means one class"
                )
    codes = {packed(colour) for colour in taken}
    unknown = {code: where for code, where in seen.items() if code not in codes}
    faults = []
    if unknown and not others:
        shown = [f"{unpacked(code)} {_where(where)}" for code, where in _ordered(unknown)]
        smooth = "; lossy or smoothed labels?" if len(unknown) > 50 else ""
        faults.append(
            f"{counted(len(unknown), 'colour')} of no class: {_all(shown, len(unknown))}{smooth} (add them to "
            "--palette, or name them in --void, or write --void others)"
        )
    elif unknown:
        notes.append(f"{counted(len(unknown), 'colour')} of no class {'is' if len(unknown) == 1 else 'are'} void")
    notes.append(f"labels: colours of {len(classes)} classes{_void_note(void, others)}")
    return Meaning("colour", classes, [*void, *(["others"] if others else [])], notes, faults)


def _by_value(
    found: Survey,
    entries: Sequence[ClassEntry],
    named_void: Sequence[ClassEntry],
    words: Sequence[int | RGB | str],
    others: bool,
    notes: list[str],
) -> Meaning:
    seen = found.codes["index"]
    if not found.has("index"):
        raise UserError("the labels hold colours, and no values: omit --encoding index")
    if colours := [word for word in words if isinstance(word, tuple)]:
        raise UserError(f"--void {colours[0]} is a colour, and the labels hold values: write the value")
    void = [value for entry in named_void for value in entry.values]
    void += [word for word in words if isinstance(word, int)]
    said = {value for entry in entries for value in entry.values}
    binary = not words and not said and seen.keys() == {0, VOID} and len(entries) in (0, 2)
    if not words and not binary and VOID not in said:
        void.append(VOID)
    void = list(dict.fromkeys(void))
    if both := sorted(said & set(void)):
        raise UserError(f"the value {both[0]} is of a class and void: a value means one thing")
    if not entries:
        entries = [ClassEntry(f"class {value}", values=(value,)) for value in sorted(seen.keys() - set(void))]
        if not 0 < len(entries) <= MOST_CLASSES:
            raise UserError(f"the labels hold {len(entries)} values that are not void: name the classes with --classes")
        notes.append(f"classes named after the {len(entries)} values of the labels: give names with --classes")
    elif binary:
        entries = [
            ClassEntry(entry.name, entry.colours, (value,)) for entry, value in zip(entries, (0, VOID), strict=True)
        ]
        notes.append(
            f"the values are 0 and {VOID}: {VOID} is {entries[1].name} (where it is void, write --void {VOID})"
        )
    elif not said:
        free = (value for value in range(len(entries) + len(void)) if value not in void)
        entries = [ClassEntry(entry.name, entry.colours, (value,)) for entry, value in zip(entries, free, strict=False)]
    elif bare := [entry.name or "" for entry in entries if not entry.values]:
        raise UserError(f"there is no value of {listed(bare)}: give one to every class, or to none")
    colours_of = [tuple(int(part) for part in colour) for colour in distinct_colours(len(entries))]
    classes = []
    for index, (entry, colour) in enumerate(zip(entries, colours_of, strict=True)):
        red, green, blue = entry.colours[0] if entry.colours else colour
        classes.append(_class(entry, index, (red, green, blue), entry.values))
    owner: dict[int, str] = {}
    for each in classes:
        for value in each.labels:
            assert isinstance(value, int)
            if owner.setdefault(value, each.name) != each.name:
                raise UserError(f"the value {value} is of {owner[value]} and of {each.name}: a value means one class")
    unknown = {code: where for code, where in seen.items() if code not in owner and code not in void}
    faults = []
    if unknown and not others:
        shown = [f"{code} {_where(where)}" for code, where in _ordered(unknown)]
        faults.append(
            f"{counted(len(unknown), 'label value')} of no class: {_all(shown, len(unknown))} (classes are "
            f"{_span(list(owner))}, void is {_span(void) if void else 'no value'}{_from_one(seen.keys(), owner)}; add "
            "classes, say --classes NAME=VALUE+VALUE, or --void VALUE, or --void others)"
        )
    elif unknown:
        notes.append(f"{counted(len(unknown), 'value')} of no class {'is' if len(unknown) == 1 else 'are'} void")
    notes.append(f"labels: values of {len(classes)} classes{_void_note(void, others)}")
    return Meaning("index", classes, [*void, *(["others"] if others else [])], notes, faults)


def _class(entry: ClassEntry, index: int, colour: RGB, labels: Sequence[Any]) -> CardClass:
    return card_class(entry.name or f"class {index}", colour, labels)


def _ordered(codes: dict[int, LabelCode]) -> list[tuple[int, LabelCode]]:
    """Return the first codes, those of most pixels first."""
    return sorted(codes.items(), key=lambda item: (-item[1].pixels, item[0]))[:SHOWN]


def _all(shown: Sequence[str], total: int) -> str:
    more = total - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def _where(code: LabelCode) -> str:
    return f"in {listed(code.first, code.files)}"


def _span(values: Sequence[int]) -> str:
    ordered = sorted(values)
    if len(ordered) > 2 and ordered == list(range(ordered[0], ordered[-1] + 1)):
        return f"{ordered[0]} to {ordered[-1]}"
    return ", ".join(map(str, ordered))


def _from_one(seen: Any, owner: dict[int, str]) -> str:
    """Return a hint where the labels seem to count from 1."""
    count = len(owner)
    shifted = sorted(owner) == list(range(count)) and set(seen) - {VOID} <= set(range(count + 1)) and count in seen
    return "; where they count from 1, 0 is void: --void 0" if shifted else ""


def _void_note(void: Sequence[Any], others: bool) -> str:
    parts = [str(each) for each in void] + (["everything else"] if others else [])
    return f", void: {', '.join(parts)}" if parts else ", nothing is void"
