"""The results of one side of a comparison: from a folder, a file, a git revision, or a version in a store."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import UserError
from benchmark.results.reading import Problem, read, read_or_raise
from benchmark.results.revision import unpacked
from benchmark.results.store import Store
from benchmark.results.summary import Summary, summary_of


@dataclass(frozen=True)
class ResultSet:
    """The results of one side.

    Attributes:
        path: the folder of their store, or the one file.
        runs: one row for each result.
        problems: files without a usable result.
        is_unpacked: whether they are from a git revision, in the cache of this machine.
    """

    path: Path
    runs: Sequence[Summary]
    problems: Sequence[Problem]
    is_unpacked: bool = False

    def file(self, run: Summary) -> Path:
        """Return the JSON file of a result."""
        return Store(self.path).path(run) if self.path.is_dir() else self.path

    def counts(self, run: Summary) -> NDArray[Any]:
        """Return the confusion matrices of a result on test: int64, shape (images, K + 1, K + 1), sorted by image name.

        Raises:
            UserError: they are not readable.
        """
        # Imported here because comparisons from a snapshot do not need it.
        from benchmark.results.arrays import read_arrays

        stored = read_or_raise(self.file(run))
        evaluation = stored.record.evaluation()
        if evaluation is None:
            raise UserError(f"{stored.path} was not evaluated on test")
        arrays = read_arrays(stored, evaluation.counts, "names_test")
        if isinstance(arrays, Problem):
            raise UserError(str(arrays))
        return arrays[evaluation.counts][np.argsort(arrays["names_test"])]


def source(name: str, store: Path) -> ResultSet:
    """Return the results that a name refers to.

    Args:
        name: a folder of results or a result file; `REVISION:PATH`, the same in git; or, in the store, a version of
            segbench or the first digits of a commit or a digest of code.
        store: the folder of results that is searched for the latter.

    Raises:
        UserError: nothing with that name exists, or it contains no result.
    """
    path = Path(name)
    is_unpacked = not path.exists() and ":" in name
    if is_unpacked:
        path = unpacked(name)
    if path.is_file():
        found = _one(path)
    elif path.is_dir():
        found = ResultSet(path, *Store(path).summaries())
    else:
        found = _version(name, store)
    if not found.runs:
        raise UserError(str(found.problems[0]) if found.problems else f"no results in {name}")
    return replace(found, is_unpacked=is_unpacked)


def _one(path: Path) -> ResultSet:
    from benchmark.results.validate import quick_check

    stored = read(path)
    problem = stored if isinstance(stored, Problem) else quick_check(stored)
    if isinstance(stored, Problem) or problem:
        return ResultSet(path, [], [problem] if problem else [])
    return ResultSet(path, [summary_of(stored)], [])


def _version(name: str, store: Path) -> ResultSet:
    runs, problems = Store(store).summaries()
    found = [run for run in runs if _is_of(run, name)]
    if not found:
        versions = sorted({run.version for run in runs})
        known = f"which has {', '.join(versions)}" if versions else "which has no results"
        raise UserError(
            f"{name!r} is not a folder, a file, a revision such as v0.1:results or a version in {store}, {known}"
        )
    return ResultSet(store, found, problems)


def _is_of(run: Summary, name: str) -> bool:
    """Return whether a result has a version, or a commit or a digest of code with the given first digits."""
    known = [run.code.split()[1], *(run.revision or "").split()[:1]]
    digits = re.fullmatch("[0-9a-f]{7,64}", name) is not None
    return run.version == name or (digits and any(each.startswith(name[: len(each)]) for each in known))
