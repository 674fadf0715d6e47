"""Verdicts on the published accuracies of a store: of its trainings, and of published weights that it has evaluated."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmark.analysis.diagnosis import label_errors
from benchmark.analysis.margin import check_margin
from benchmark.analysis.ranking import groups
from benchmark.catalog import mmseg_zoo
from benchmark.catalog.references import ACCURACY, Reference
from benchmark.results import weights
from benchmark.results.reading import Problem, Stored
from benchmark.results.store import Store
from benchmark.results.summary import Summary
from benchmark.verdicts import accuracy
from benchmark.verdicts import weights as published_weights
from benchmark.verdicts.verdict import Verdict


def published(names: Collection[str] = (), metrics: Collection[str] = ACCURACY) -> list[Reference]:
    """Return the published figures, of our metafiles and of mmsegmentation's zoo.

    Args:
        names: architectures; all if empty.
        metrics: of these metrics.
    """
    return [
        each
        for each in mmseg_zoo.everything().values()
        if each.metric in metrics and (not names or {each.architecture, each.ours} & set(names))
    ]


def trained(
    results: Path,
    runs: Sequence[Summary],
    references: Iterable[Reference],
    margin: float = accuracy.MARGIN,
    metric: str = "miou",
    *,
    names: Collection[str] = (),
    sequential: bool = False,
) -> list[Verdict]:
    """Return the verdicts on results trained here; one that differs ends with possible label errors of the result.

    Args:
        results: folder of the store.
        runs: the runs of all architectures, which estimate the variance.
        references: published accuracies.
        margin: equivalence margin in points.
        metric: miou, macc or aacc.
        names: the architectures that get a verdict; all if empty.
        sequential: reduce the level of tests that are repeated with further seeds.

    Raises:
        UserError: the margin is none.
    """
    check_margin(margin)
    found = accuracy.verdicts(runs, references, margin, metric, sequential=sequential)
    return _diagnosed([each for each in found if not names or each.architecture in names], runs, results)


def evaluated(
    results: Path,
    references: Iterable[Reference],
    metric: str = "miou",
    *,
    protocol: str | None = None,
    names: Collection[str] = (),
) -> tuple[list[Verdict], list[Problem]]:
    """Return the verdicts on stored evaluations of published weights, and the files that could not be read.

    Args:
        results: folder of the store.
        references: published accuracies.
        metric: miou, macc or aacc.
        protocol: the protocol of the evaluations; all if None.
        names: the architectures that get a verdict; all if empty.
    """
    stored, problems = weights.scan(results, protocol)
    found = published_weights.verdicts(stored, [each for each in references if each.metric == metric])
    return [each for each in found if not names or each.architecture in names], problems


def _diagnosed(found: Iterable[Verdict], runs: Iterable[Summary], results: Path) -> list[Verdict]:
    """Return the verdicts; append possible label errors of the result to one that differs."""
    of_group = ((group.title, run) for group in groups(runs) for run in group.runs if run.status == "ok")
    behind = {(title, run.architecture): run.run_id for title, run in of_group}

    def diagnosed(verdict: Verdict) -> Verdict:
        if verdict.outcome != "differs":
            return verdict
        stored = Store(results).find(behind[verdict.protocol or "", verdict.architecture])
        if not isinstance(stored, Stored):
            return verdict
        looks = [finding.describe(stored.record.dataset.classes) for finding in label_errors(stored)]
        return replace(verdict, reason="; ".join([verdict.reason, *looks]))

    return [diagnosed(each) for each in found]
