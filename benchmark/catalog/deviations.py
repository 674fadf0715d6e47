"""Known deviations of our architectures from their papers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.catalog.references import TEXT, FieldRule, check_fields, one_of
from benchmark.errors import UserError

ORIGINS = ("mmsegmentation", "protocol", "this suite")
"""Origins of deviations: a module or config of mmsegmentation, the protocols, which are common to all networks, or a
decision of this suite."""


@dataclass(frozen=True)
class Deviation:
    """A deviation from a method's paper or its authors' code.

    Attributes:
        ours: our architectures.
        paper: the authors' version.
        source: evidence: section, table, or path in their repository.
        origin: one of `ORIGINS`.
        architectures: names of the affected architectures.
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
"""The fields of an entry of `deviations`, in addition to `architectures` if it does not apply to all."""


def parse(entry: Mapping[str, Any], architectures: Sequence[str], place: str) -> Deviation:
    """Parse and check an entry of `deviations` in a metafile.

    Args:
        entry: as read from the file.
        architectures: names of the architectures of the method.
        place: the file and the number of the entry, for the message.

    Raises:
        UserError: the entry is invalid; the message contains file, entry and field.
    """
    members = FieldRule(
        lambda value: isinstance(value, list) and bool(value) and all(name in architectures for name in value),
        f"a list of {', '.join(architectures)}",
        required=False,
    )
    check_fields(entry, FIELDS | {"architectures": members}, place)
    if entry["ours"].strip() == entry["paper"].strip():
        raise UserError(f"{place}: ours and paper are equal, so there is no deviation")
    texts = {name: entry[name].strip() for name in FIELDS}
    return Deviation(**texts, architectures=tuple(entry.get("architectures", architectures)))
