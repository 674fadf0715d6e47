"""Check a bundle: its checksums, its results, and that everything else in it follows from the results.

Title, authors and licence are those of its `CITATION.cff`. Text that another version of segbench wrote is not compared,
as it may be worded differently; figures are.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile, zip_longest
from pathlib import Path
from typing import Any

import yaml

from benchmark import __version__
from benchmark.analysis.code import of_any_code
from benchmark.analysis.ranking import Group, Standing, groups
from benchmark.analysis.view import was_run
from benchmark.catalog import catalog, mmseg_zoo, own
from benchmark.reporting.bundle import (
    CITATION,
    CONFIGS,
    ENVIRONMENTS,
    LEADERBOARD,
    LICENSES,
    MISSING,
    PROTOCOL,
    README,
    REFERENCES,
    Bundle,
    json_text,
    members,
)
from benchmark.reporting.crate import METADATA, crate, packed_by, parts
from benchmark.results import layout
from benchmark.results.bundle import MANIFEST, RESULTS, changes, configs, opened, packing, present
from benchmark.results.reading import Problem, read_or_raise
from benchmark.results.store import Store
from benchmark.results.summary import EXTERNAL, Summary, summary_of
from benchmark.results.validate import validate

TESTED = {"rank_low", "rank_high", "best", "front"}
"""Columns of a leaderboard that follow from tests, which another version of segbench may do differently."""

_EXCLUDED = re.compile(
    r"\d+ older results? excluded: a newer run replaces it\.|"
    r"Excluded, because results of different code are not averaged: .*"
)
"""Notes of a leaderboard on results that are not in the bundle."""

_UNREADABLE = (KeyError, TypeError, ValueError, OSError, RecursionError, yaml.YAMLError)
"""Exceptions when reading a damaged file of metadata."""


@dataclass(frozen=True)
class CheckedBundle:
    """The outcome of a check.

    Attributes:
        results: number of results; 0 if checksums differ.
        problems: files that are not what they should be, below the path of the bundle.
        notes: what is remarkable about the archive, and what was not compared, and why.
    """

    results: int
    problems: Sequence[Problem]
    notes: Sequence[str]


def check(path: Path, *, recount: bool = False) -> CheckedBundle:
    """Check a bundle.

    Args:
        path: the archive, or the folder that it was unpacked to.
        recount: as in `benchmark.results.validate`.

    Raises:
        UserError: the archive is damaged or malicious, or no bundle.
    """
    with opened(path) as folder:
        if changed := [Problem(path / name, why) for name, why in changes(folder)]:
            return CheckedBundle(0, changed, [])
        wrong, remarkable = (None, None) if path.is_dir() else packing(path, folder)
        if wrong:
            return CheckedBundle(0, [Problem(path, wrong)], [])
        notes = [remarkable] if remarkable else []
        results, found = validate(folder / RESULTS, recount=recount)
        problems = [Problem(path / each.path.relative_to(folder), each.why) for each in found]
        if not problems:
            different, skipped = _compared(folder)
            problems = [Problem(path / name, why) for name, why in different.items()]
            notes += [f"not compared with the results: {', '.join(names)}: {why}" for why, names in skipped.items()]
        return CheckedBundle(results, problems, notes)


def _compared(folder: Path) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Compare the files of a bundle, whose results are valid, with what the results give.

    Returns:
        Why a file does not follow from the results, by its name, and names of the files that were not compared, by the
        reason.
    """
    files = present(folder)
    found = [read_or_raise(path) for path in Store(folder / RESULTS).files()]
    group = _group([summary_of(each) for each in found])  # in the order of a store
    stored = sorted(found, key=lambda each: (each.record.architecture, each.record.seed))
    if group is None:
        return {RESULTS: "are not those of one leaderboard, which `segbench bundle` packs"}, {}
    try:
        title, authors, license = _cited(files[CITATION])
    except _UNREADABLE:
        return {CITATION: "is missing or damaged; it has title, authors and licence"}, {}
    try:
        metadata = json.loads(files[METADATA].read_bytes())
    except _UNREADABLE:
        return {METADATA: "is missing or damaged; it is JSON"}, {}
    version = packed_by(metadata)
    if version is None:
        return {METADATA: "does not say which version of segbench packed the results"}, {}
    other = "" if version == __version__ else f"made by segbench {version}, not {__version__}"
    texts, missing = ({}, []) if other else configs((each.record for each in stored), group.protocol)
    bundle = Bundle(group, was_run(group.table), stored, texts, [], title, authors, license)
    described = {name: path for name, path in files.items() if name not in (METADATA, MANIFEST)}
    wanted = {**members(bundle), METADATA: json_text(crate(bundle, described))}
    reasons = {_config(name): f"{name}: {why}" for name, _, why in (each.partition(": ") for each in missing)}
    unmade = {_config(each.record.architecture) for each in stored} - wanted.keys()
    foreign = _foreign(bundle.rows)

    different: dict[str, str] = {}
    skipped: dict[str, list[str]] = {}
    for name in sorted(wanted.keys() | files.keys() - {MANIFEST}):
        unsure = other or (foreign if name in (REFERENCES, METADATA) else "")
        if name not in files:
            different[name] = "is missing, although the results give it"
        elif name in unmade:
            skipped.setdefault(other or reasons.get(name, "cannot be made here"), []).append(name)
        elif name not in wanted:
            different[name] = "is no file of a bundle of these results"
        elif (given := files[name].read_bytes()) != (again := _bytes(wanted[name])):
            if name == README and not other:
                given, again = _readme(given, unmade - files.keys()), _readme(again, ())
            if name == METADATA and unsure and set(parts(metadata)) == {*described, MANIFEST}:
                skipped.setdefault(unsure, []).append(name)
            elif unsure and name in _AGREES:
                if not _AGREES[name](given.decode("utf-8", "replace"), again.decode()):
                    different[name] = "does not agree with the results"
            elif unsure and name != METADATA:
                skipped.setdefault(unsure, []).append(name)
            elif given != again:
                of = f"{RESULTS} and {CITATION}" if name == METADATA else RESULTS
                different[name] = f"does not follow from {of}: {_first_difference(given, again)}"
    return different, skipped


def _group(runs: Sequence[Summary]) -> Group | None:
    """Return the group that has all of these results, of one code or averaged over codes; None if there is none."""
    for each in (runs, of_any_code(runs)):
        found = groups(each)
        if len(found) == 1 and len(found[0].runs) == len(runs):
            return found[0]
    return None


def _cited(path: Path) -> tuple[str, list[str], str]:
    """Return title, authors and licence of a `CITATION.cff`.

    Raises:
        Exception: one of `_UNREADABLE`.
    """
    facts = yaml.safe_load(path.read_text(encoding="utf-8"))
    authors = [
        each["name"] if "name" in each else f"{each['family-names']}, {each['given-names']}"
        for each in facts["authors"]
    ]
    if facts["license"] not in LICENSES or not all(isinstance(each, str) for each in (facts["title"], *authors)):
        raise ValueError(facts)
    "".join([facts["title"], *authors]).encode()  # no lone surrogates
    return facts["title"], authors, facts["license"]


def _foreign(rows: Sequence[Standing]) -> str:
    """Return that a network is of a user's catalog, on which its references depend; empty if none is."""
    root = catalog.config_root()
    for row in rows:
        shipped = row.method in (EXTERNAL, own.METHOD, *mmseg_zoo.METHODS) or (root / row.method).is_dir()
        if not shipped and ":" not in row.architecture:
            return f"{row.architecture} is of a catalog of its user's"
    return ""


def _readme(text: bytes, unmade: Collection[str]) -> bytes:
    """Return the lines of a README that follow from the results: not those on what is not in the bundle.

    Args:
        text: the README.
        unmade: configs that are not in the bundle, and are not made here.
    """
    lines = [line for line in text.decode("utf-8", "replace").splitlines() if line]
    listed = re.compile(r"- (.+?): .*")
    kept = [
        line
        for line in lines
        if line != MISSING
        and not _EXCLUDED.fullmatch(line)
        and not ((found := listed.fullmatch(line)) and _config(found[1].replace("\\", "")) in unmade)
    ]
    return "\n".join(kept).encode()


def _same_table(given: str, again: str) -> bool:
    """Return whether the figures of two leaderboards are equal in the columns of both."""
    try:
        rows, others = ([*csv.DictReader(io.StringIO(text))] for text in (given, again))
    except csv.Error:
        return False
    names = {name for row in rows[:1] for name in row} & {name for row in others[:1] for name in row} - TESTED
    return (
        len(rows) == len(others)
        and {"architecture", "miou_percent"} <= names
        and all(row[name] == other[name] for row, other in zip(rows, others, strict=True) for name in names)
    )


def _same_json(given: str, again: str) -> bool:
    """Return whether two JSON texts agree in the keys of both."""

    def agree(one: Any, other: Any) -> bool:
        if isinstance(one, dict) and isinstance(other, dict):
            return bool(one) == bool(other) and all(agree(one[key], other[key]) for key in one.keys() & other.keys())
        if isinstance(one, list) and isinstance(other, list):
            return len(one) == len(other) and all(map(agree, one, other))
        return type(one) is type(other) and bool(one == other)

    try:
        return agree(json.loads(given), json.loads(again))
    except (ValueError, RecursionError):
        return False


_AGREES: Mapping[str, Callable[[str, str], bool]] = {
    LEADERBOARD: _same_table,
    PROTOCOL: _same_json,
    ENVIRONMENTS: _same_json,
}
"""Comparisons of data that another version of segbench wrote."""


def _config(architecture: str) -> str:
    return f"{CONFIGS}/{layout.folder(architecture)}.py"


def _bytes(content: bytes | Path) -> bytes:
    return content if isinstance(content, bytes) else content.read_bytes()


def _first_difference(given: bytes, again: bytes) -> str:
    """Return the first line in which a text differs from what it should be, shortened."""
    texts = (text.decode("utf-8", "replace").splitlines() for text in (given, again))
    for one, other in zip_longest(*texts, fillvalue=""):
        if one != other:
            alike = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
            start = max(0, len(list(alike)) - 20)
            return f"{_shortened(one, start)} should be {_shortened(other, start)}"
    return "white space differs"


def _shortened(line: str, start: int) -> str:
    return repr(f"{'...' if start else ''}{line[start : start + 60]}{'...' if len(line) > start + 60 else ''}")
