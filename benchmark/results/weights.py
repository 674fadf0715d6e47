"""Evaluations of published weights, one JSON file each.

These weights were not trained by segbench, so the evaluations are not results of runs: they are not in leaderboards or
comparisons and only answer whether the published scores of the weights are reproduced. A file contains the confusion
matrix, from which `segbench validate` recomputes all scores.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.configs.normalisation import of_plain, of_protocol
from benchmark.confusion import VoidRule, scores
from benchmark.errors import UserError
from benchmark.files.atomic import replacing
from benchmark.results import layout
from benchmark.results.checks.catalog import check_dataset, check_method, check_name, check_size
from benchmark.results.checks.environment import check_environment, check_time
from benchmark.results.checks.identity import check_classes
from benchmark.results.checks.protocol import check_fingerprint, check_protocol
from benchmark.results.migrations import EVALUATION
from benchmark.results.reading import Problem, load, validated
from benchmark.results.record import Dataset, Environment, Model, Percent, Protocol, Sha256, Split

TOLERANCE = 1e-9
"""Maximum difference between a stored and a recomputed score in percent."""


class WeightScores(Model):
    """Accuracy on the whole split."""

    miou: Percent
    macc: Percent
    aacc: Percent


class Evaluated(Model):
    """An evaluation of published weights."""

    schema_version: Literal[2] = 2
    weights_sha256: Sha256 = Field(description="SHA-256 of the published file")
    architecture: str
    method: str
    protocol: Protocol
    size: tuple[int, int] = Field(description="height and width of the network's input")
    dataset: Dataset
    split: Split
    images: int = Field(ge=1)
    counts: list[list[Annotated[int, Field(ge=0, lt=2**63)]]] = Field(
        description="confusion matrix over all images, (K + 1) x (K + 1); the last row and column are void"
    )
    scores: dict[VoidRule, WeightScores] = Field(description="scores by void rule")
    environment: Environment
    started: str = Field(description="ISO 8601, UTC")

    @property
    def matrix(self) -> NDArray[np.int64]:
        """The confusion matrix, shape (K + 1, K + 1)."""
        return np.array(self.counts, dtype=np.int64)

    @property
    def normalisation(self) -> str | None:
        """How images were normalised, and who said so, in one line; None where it was as the protocol says."""
        found = self.protocol.overrides.get("normalisation")
        if not isinstance(found, dict):
            return None
        facts = {name: value for name, value in found.items() if name != "source"}
        return f"{of_plain(facts, self.architecture).text} (of {found.get('source')})"


def scores_of(counts: NDArray[np.integer]) -> dict[VoidRule, WeightScores]:
    """Compute scores under every void rule.

    Args:
        counts: confusion matrix, shape (K + 1, K + 1).
    """
    found = {rule: scores(counts, rule) for rule in get_args(VoidRule)}
    return {rule: WeightScores(miou=each.miou, macc=each.macc, aacc=each.aacc) for rule, each in found.items()}


def add(root: Path, evaluated: Evaluated) -> Path:
    """Store an evaluation, in place of an earlier one of the same weights, protocol and split.

    Raises:
        UserError: the folder is not writable.
    """
    path = root / _place(evaluated)
    with replacing(path) as temporary:
        temporary.write_text(evaluated.model_dump_json(indent=None) + "\n", encoding="utf-8")
    return path


def scan(root: Path, protocol: str | None = None) -> tuple[list[Evaluated], list[Problem]]:
    """Return the evaluations of published weights, or those of one protocol, and a problem for any other file."""
    found, problems = [], []
    for path in (root / name for name in names(root, protocol)):
        evaluated = read(path)
        wrong = [evaluated] if isinstance(evaluated, Problem) else _problems(path, evaluated)
        if isinstance(evaluated, Problem) or wrong:
            problems += wrong[:1]
        else:
            found.append(evaluated)
    return found, problems


def names(root: Path, protocol: str | None = None) -> list[str]:
    """List the evaluations in a store, or of one protocol, sorted by their path relative to its root."""
    return [f"{layout.WEIGHTS}/{name}" for name in layout.json_files(root / layout.WEIGHTS, protocol)]


def check(path: Path) -> list[Problem]:
    """Return the problems of a file; empty if all values follow from the confusion matrix."""
    evaluated = read(path)
    return [evaluated] if isinstance(evaluated, Problem) else _problems(path, evaluated)


def read(path: Path) -> Evaluated | Problem:
    """Read the evaluation in a JSON file and check it against the schema."""
    data = load(path)
    return data if isinstance(data, Problem) else validated(path, data, Evaluated, EVALUATION)


def _place(evaluated: Evaluated) -> Path:
    return layout.evaluation(evaluated.protocol.name, evaluated.architecture, evaluated.weights_sha256, evaluated.split)


def _problems(path: Path, evaluated: Evaluated) -> list[Problem]:
    return [Problem(path, why) for why in _whys(path, evaluated)]


def _whys(path: Path, evaluated: Evaluated) -> Iterator[str]:
    protocol, bins = evaluated.protocol, len(evaluated.dataset.classes) + 1
    place = _place(evaluated)
    if path.resolve().parts[-len(place.parts) :] != place.parts:
        yield f"the file should be {place.as_posix()}"
    yield from check_fingerprint(protocol)
    code = evaluated.environment.code
    yield from check_protocol(protocol, evaluated.dataset)
    yield from check_environment(evaluated.environment)
    yield from check_time(evaluated.started, 0.0)
    yield from check_classes(evaluated.dataset)
    yield from check_dataset(evaluated.dataset)
    yield from check_method(evaluated.architecture, evaluated.method, code)
    yield from check_name(protocol, evaluated.dataset, code)
    yield from check_size(protocol, evaluated.size, code)
    yield from _normalisation(protocol)
    if evaluated.dataset.images.get(evaluated.split) != evaluated.images:
        expected = evaluated.dataset.images.get(evaluated.split, 0)
        yield f"{evaluated.images} images were evaluated, but the split has {expected}"
    if [len(row) for row in evaluated.counts] != [bins] * bins:
        yield f"the confusion matrix is not {bins}x{bins}, for {bins - 1} classes and void"
        return
    for rule, found in scores_of(evaluated.matrix).items():
        for name, computed in found:
            stored = getattr(evaluated.scores.get(rule), name, None)
            if stored is None or not abs(stored - computed) <= TOLERANCE:
                yield f"{name} with void {rule} is {stored}, but the confusion matrix gives {computed}"


def _normalisation(protocol: Protocol) -> Iterator[str]:
    """Compare the normalisation that replaced that of the protocol with the input in the axes."""
    found = protocol.overrides.get("normalisation")
    if found is None:
        return
    try:
        stated = of_plain({name: value for name, value in found.items() if name != "source"}, "the override")
        used = of_protocol({"data_preprocessor": protocol.axes["input"]})
    except (UserError, AttributeError, LookupError, TypeError):
        yield "the override normalisation is damaged, or the axes have no input"
        return
    if stated != used:
        yield f"the override normalisation is {stated.text}, but input in the axes {used.text}"
