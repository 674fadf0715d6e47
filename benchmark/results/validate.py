"""Recompute derived values of results, and compare values that are stored twice, in a file or in its store.

Independent values cannot be checked: which commit ran, on which device, whether seeds were left out. Running a result
again (`segbench rerun`) checks these.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmark.results import layout, weights
from benchmark.results.arrays import COUNTS, Arrays, file_sha256, read_arrays, read_totals, unpack_arrays
from benchmark.results.checks import catalog, confusion, cost, environment, identity, protocol, siblings, training
from benchmark.results.checks.siblings import Fact, SharedFact
from benchmark.results.lock import settled
from benchmark.results.reading import Problem, Stored, read
from benchmark.results.record import Artifact, Record

LIMITS = (
    "not visible in the files: which commit ran, on which device, whether seeds were left out, and forgeries "
    "without a contradiction; `segbench rerun` runs a result again"
)
"""The limits of validation, printed after a validation without problems."""

CHECKS: tuple[Callable[[Record], Iterator[str]], ...] = (
    identity.check_identity,
    lambda record: protocol.check_protocol(record.protocol, record.dataset),
    lambda record: environment.check_environment(record.environment),
    lambda record: environment.check_time(record.started, record.seconds),
    training.check_status,
    training.check_training,
    training.check_evaluations,
    cost.check_complexity,
    cost.check_latency,
    cost.check_memory,
    cost.check_artifacts,
    cost.check_seconds,
    catalog.check_catalog,
)
"""Checks of a record alone."""

ENOUGH = 4
"""Number of other results of the same data whose ground truth is read when single files are validated."""


class _Examined(NamedTuple):
    """The problems within one file, and its facts that other files state too."""

    problems: list[Problem]
    facts: list[Fact]
    figures: list[SharedFact]


def validate(path: Path, *, recount: bool = False) -> tuple[int, list[Problem]]:
    """Check a result file, or every result file in a folder, and compare them with the rest of their store.

    Args:
        path: the file or the folder.
        recount: build the network of each result and count its parameters and MACs again; needs torch.

    Returns:
        The number of checked files, and their problems.
    """
    paths = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    examined = {each: _examine_settled(each) for each in paths}
    root = next((root for each in paths if (root := _root(each))), None)
    everything = [*examined.values(), *_others(root, {each.resolve() for each in paths})]
    problems = {each: list(found.problems) for each, found in examined.items()}
    for problem in (
        *siblings.contradictions(fact for each in everything for fact in each.facts),
        *siblings.outliers(figure for each in everything for figure in each.figures),
    ):
        if problem.path in problems:
            problems[problem.path].append(problem)
    if recount:
        for each in paths:
            problems[each] += [Problem(each, why) for why in _recounted(each)]
    orphans = _orphans(path) if path.is_dir() else []
    return len(paths), [problem for each in (*problems.values(), orphans) for problem in each]


def check(path: Path) -> list[Problem]:
    """Return the problems within one result file and its artifacts; empty if it is valid."""
    return _examine_settled(path).problems


def read_whole(path: Path) -> Stored | Problem:
    """Return the result in a file; a problem if its confusion matrices are not the ones that it names."""

    def find() -> Stored | Problem:
        stored = read(path)
        why = None if isinstance(stored, Problem) else next(files(stored), None)
        return stored if why is None else Problem(path, why)

    return settled(path.parent, find, lambda found: isinstance(found, Stored))


def quick_check(stored: Stored) -> Problem | None:
    """Return why a result must not enter a table: a wrong identity, or scores that contradict its confusion matrices.

    Only the first problem, and only of values that tables and rankings use: cheap enough for every new result.
    """
    record = stored.record
    for why in identity.check_identity(record):
        return Problem(stored.path, why)
    totals = read_totals(stored)
    if isinstance(totals, Problem):
        return totals
    for evaluation in record.evaluations:
        for why in confusion.check_scores(record, evaluation, totals[evaluation.counts]):
            return Problem(stored.path, f"{evaluation.checkpoint} on {evaluation.split}: {why}")
    return None


def files(stored: Stored) -> Iterator[str]:
    """Compare the files of a result with its artifacts: each exists and is unchanged since the run."""
    counts = stored.path.with_suffix(".npz")
    for artifact in stored.record.artifacts:
        if why := _artifact(stored.path.parent, artifact):
            yield f"artifact {artifact.name}: {why}"
        elif artifact.name == COUNTS and artifact.file != counts.name:
            yield f"artifact {artifact.name}: {artifact.file} is not {counts.name}, the file that is read"
    if counts.exists() and COUNTS not in {artifact.name for artifact in stored.record.artifacts}:
        yield f"{counts.name} exists, but is not listed as an artifact"


def _read(path: Path) -> Stored | weights.Evaluated | Problem:
    return weights.read(path) if layout.is_evaluation(path) else read(path)


def _examine_settled(path: Path) -> _Examined:
    return settled(path.parent, lambda: _examine(path), lambda found: not found.problems)


def _examine(path: Path) -> _Examined:
    found = _read(path)
    if isinstance(found, Problem):
        return _Examined([found], [], [])
    if isinstance(found, weights.Evaluated):
        return _Examined(weights.check(path), list(siblings.weights_facts(path, found)), [])
    record = found.record
    whys = [*identity.check_place(found), *(why for each in CHECKS for why in each(record))]
    damaged = list(files(found))
    whys += damaged
    arrays: Arrays | Problem | None = None
    if record.evaluations and COUNTS not in {artifact.name for artifact in record.artifacts}:
        whys.append("has scores but no confusion matrices to recompute them from")
    elif record.evaluations and not any(why.startswith(f"artifact {COUNTS}:") for why in damaged):
        arrays = read_arrays(found)
        if not isinstance(arrays, Problem):
            whys += confusion.check_arrays(record, arrays)
            whys += confusion.check_samples(record, arrays, _samples(found))
    problems = [Problem(path, why) for why in whys]
    if isinstance(arrays, Problem):
        problems.append(arrays)
        arrays = None
    return _Examined(problems, list(siblings.facts(found, arrays)), list(siblings.figures(found)))


def _recounted(path: Path) -> Iterator[str]:
    found = _read(path)
    if isinstance(found, Stored):
        yield from catalog.check_recount(found.record)


def _samples(stored: Stored) -> Arrays | Problem:
    """Read labels and names of the sample images; a problem if the store has none."""
    name = layout.samples(stored.record.protocol.name, stored.record.dataset.digest)
    return unpack_arrays(layout.root_of(stored.path) / name, "labels", "names")


def _others(root: Path | None, known: set[Path]) -> Iterator[_Examined]:
    """Yield the facts of the other files of a store; of their arrays only as many as needed to find the usual values.

    Args:
        root: folder of the store, None without one.
        known: files to skip.
    """
    remaining: dict[str, int] = defaultdict(lambda: ENOUGH)  # by digest of the data
    names = (*layout.json_files(root), *weights.names(root)) if root else ()
    for path in sorted(root / name for name in names) if root else []:
        found = _read(path) if path.resolve() not in known else None
        if isinstance(found, weights.Evaluated):
            yield _Examined([], list(siblings.weights_facts(path, found)), [])
        elif isinstance(found, Stored):
            arrays: Arrays | Problem | None = None
            if found.record.evaluations and remaining[found.record.dataset.digest]:
                remaining[found.record.dataset.digest] -= 1
                arrays = read_arrays(found)
            facts = siblings.facts(found, None if isinstance(arrays, Problem) else arrays)
            yield _Examined([], list(facts), list(siblings.figures(found)))


def _root(path: Path) -> Path | None:
    """Return the folder of the store of a file, if the file's path has the layout of a store."""
    found = _read(path)
    if isinstance(found, Problem) or (isinstance(found, Stored) and any(identity.check_place(found))):
        return None
    return layout.root_of(path)


def _orphans(root: Path) -> list[Problem]:
    """Return confusion matrices without a result: of a run that was deleted, or killed while it was stored."""
    names = (path for path in sorted(root.rglob("*.npz")) if re.fullmatch("[0-9a-f]{16}", path.stem))
    lone = (path for path in names if not settled(path.parent, path.with_suffix(".json").exists, bool))
    return [Problem(path, "are confusion matrices without a result") for path in lone]


def _artifact(home: Path, artifact: Artifact) -> str | None:
    """Return the problem of an artifact; None if it is unchanged or stored elsewhere."""
    if artifact.file is None:
        return "is not stored" if artifact.name == COUNTS else None
    if Path(artifact.file).name != artifact.file:
        return f"{artifact.file} is missing"
    path = home / artifact.file
    try:
        if path.stat().st_size != artifact.bytes:
            return f"{path.name} has {path.stat().st_size} bytes, not {artifact.bytes}"
        if file_sha256(path) != artifact.sha256:
            return f"{path.name} is not the file that the run wrote: SHA-256 differs"
    except OSError as error:
        return f"{path.name}: {error.strerror}"
    return None
