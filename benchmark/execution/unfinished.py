"""What a run that is stopped leaves in its folder: what it has measured, so that the next call goes on from there.

The state of its training lies beside it and is the engine's; here is the rest of what goes into the result.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from benchmark.atomic import replacing
from benchmark.results.record import Record

FILE = "unfinished.json"


@dataclass(frozen=True)
class Unfinished:
    """A run that goes on.

    Attributes:
        iteration: iterations of its training that are done.
        record: what is measured of it so far, and the seconds that it took.
    """

    iteration: int
    record: Record


def save(folder: Path, unfinished: Unfinished) -> None:
    """Keep it in the folder of the run."""
    content = {"iteration": unfinished.iteration, "record": unfinished.record.model_dump(mode="json")}
    with replacing(folder / FILE) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")


def find(folder: Path) -> Unfinished | None:
    """What the folder of a run has of it; None if that is nothing, or cannot be read."""
    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return Unfinished(content["iteration"], Record.model_validate_json(json.dumps(content["record"]), strict=True))
    except (OSError, ValueError, LookupError, TypeError):
        return None


def forget(folder: Path) -> None:
    """Remove it: the run has ended."""
    (folder / FILE).unlink(missing_ok=True)
