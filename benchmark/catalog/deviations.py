"""Deviations from a paper that are known: what an architecture of ours has where its authors have something else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.catalog.references import TEXT, FieldRule, check_fields, one_of
from benchmark.errors import UserError

ORIGINS = ("mmsegmentation", "protocol", "this suite")
"""Where a deviation comes from: a module or config of mmsegmentation, the protocols, which train every network alike,
or a choice of this suite."""


@dataclass(frozen=True)
class Deviation:
    """A deviation from a method's paper or its authors' code.

    Attributes:
        ours: what the architectures have.
        paper: what the authors have.
        source: where they say so: section, table, or path in their repository.
        origin: one of `ORIGINS`.
        architectures: those that it is of.
    """

    ours: str
    paper: str
    source: str
    origin: str
    architectures: tuple[str, ...]

    @property
    def text(self) -> str:
        """The deviation in one line."""
        return f"{self.ours}; the authors: {self.paper} ({self.source}). Origin: {self.origin}."


FIELDS = {"ours": TEXT, "paper": TEXT, "source": TEXT, "origin": one_of(*ORIGINS)}
"""What an entry of `deviations` holds, beside `architectures` where it is not of all."""


def parse(entry: Mapping[str, Any], architectures: Sequence[str], place: str) -> Deviation:
    """Return an entry of `deviations` in a metafile, checked.

    Args:
        entry: as read from the file.
        architectures: those of the method.
        place: the file and the number of the entry, for the message.

    Raises:
        UserError: the entry has a mistake; the message names the file, the entry and the field.
    """
    members = FieldRule(
        lambda value: isinstance(value, list) and bool(value) and all(name in architectures for name in value),
        f"a list of {', '.join(architectures)}",
        required=False,
    )
    check_fields(entry, FIELDS | {"architectures": members}, place)
    if entry["ours"].strip() == entry["paper"].strip():
        raise UserError(f"{place}: ours and paper are the same, which is no deviation")
    texts = {name: entry[name].strip() for name in FIELDS}
    return Deviation(**texts, architectures=tuple(entry.get("architectures", architectures)))
