"""The result of a run whose process or machine is gone without a word."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from benchmark.execution import interrupted
from benchmark.execution.run import add, blank
from benchmark.execution.spec import Spec
from benchmark.results.reading import Stored
from benchmark.results.record import printable


def lost(spec: Spec, error: str, started: datetime | None = None, **fields: Any) -> Stored:
    """Store the failure of a run, with its measurements so far where its folder has them.

    A repetition resumes from its last checkpoint. The failure does not replace an earlier successful result: if the run
    has stored its own in the meantime, that is kept and returned.

    Args:
        spec: the run.
        error: the reason in one line: "node3 does not answer".
        started: time of its start; None if it is unknown.
        fields: further fields of the record; by default status "failed" and cause "killed", which `--retry` repeats.

    Raises:
        UserError: the result cannot be stored.
    """
    end = {"status": "failed", "cause": "killed", "error": printable(error)} | fields
    draft, found = blank(spec, started or datetime.now(timezone.utc)), interrupted.find(spec.folder)
    if found and found.record.run_id == draft.run_id:
        draft = found.record
    return add(draft.model_copy(update=end), {}, spec.results)
