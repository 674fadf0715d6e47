"""The page of a comparison of two sets of results: what got worse first, with intervals, by class, with links."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from benchmark.analysis.class_changes import ClassChange, class_changes
from benchmark.analysis.ranking import by_architecture, groups
from benchmark.analysis.regression import WORSE, Change, Comparison
from benchmark.reporting import plot
from benchmark.reporting.comparison import TITLES, amount, conclusion, lacking, overall_change, unmatched
from benchmark.reporting.report import environment
from benchmark.reporting.title import titles
from benchmark.results.reading import Problem, read
from benchmark.results.source import ResultSet
from benchmark.results.summary import Summary

SEVERITY = ("regression", "worse", "missing", "inconclusive", "not comparable", "not worse", "better", "same")
"""Outcomes, the most serious first: the order of the rows."""

MEANINGS = {
    "regression": "a loss beyond the margin is shown, or a cost exceeds its limit",
    "worse": "a loss is shown; it may be below the margin",
    "missing": "NEW has no result of it",
    "inconclusive": "neither a loss nor its absence is shown: more seeds may decide",
    "not comparable": "measured under other conditions, which the remark names",
    "not worse": "a loss as large as the margin is ruled out",
    "better": "lower cost than before",
    "same": "equal to the last digit",
}

Key = tuple[str, str, str]
"""Title of a protocol with its overrides, its fingerprint, and an architecture."""


@dataclass(frozen=True)
class Link:
    """A result: its seed, and the link to its file; None if the file is in a cache only."""

    seed: int
    run_id: str
    link: str | None


@dataclass(frozen=True)
class Row:
    """The changes of an architecture.

    Attributes:
        architecture: name of the architecture.
        outcome: the most serious outcome of its figures.
        figure: title of the figure that has it.
        accuracy: the change of mIoU.
        plot: its interval; None without one.
        costs: title and text of the other figures that changed, or might have.
        reasons: what the outcomes are based on.
        classes: change of each class, the largest loss first.
        base, new: results of both sides.
    """

    architecture: str
    outcome: str
    figure: str
    accuracy: Change
    plot: Markup | None
    costs: Sequence[tuple[str, str]]
    reasons: Sequence[str]
    classes: Sequence[ClassChange]
    base: Sequence[Link]
    new: Sequence[Link]

    @property
    def is_worse(self) -> bool:
        """Whether anything of it got worse or is missing."""
        return self.outcome in (*WORSE, "missing")


def comparison_page(
    comparison: Comparison,
    sides: tuple[ResultSet, ResultSet],
    names: tuple[str, str],
    margin: float,
    gates: Collection[str],
    folder: Path,
) -> str:
    """Render a comparison as a self-contained HTML page.

    Args:
        comparison: the comparison.
        sides: results of BASE and of NEW.
        names: what they were named in the command.
        margin: non-inferiority margin in points of mIoU.
        gates: kinds of figures whose regressions set the exit code.
        folder: folder of the page, to which links are relative.
    """
    runs = tuple(_runs(side) for side in sides)
    named = titles(group for side in sides for group in groups(side.runs))
    figures = [change for change in comparison.changes if change.gate != "budget"]
    protocols = [
        (named[key], key[1], _rows(list(changes), sides, runs, margin, folder))
        for key, changes in groupby(figures, lambda each: (each.protocol, each.fingerprint))
    ]
    return (
        environment()
        .get_template("comparison.html")
        .render(
            names=names,
            protocols=protocols,
            conclusion=conclusion(comparison.changes, margin, gates),
            overall=overall_change(comparison.overall) if comparison.overall else None,
            budgets=[change for change in comparison.changes if change.gate == "budget"],
            titles=TITLES,
            remarks=[*map(unmatched, comparison.apart), *map(lacking, comparison.missing)],
            meanings=MEANINGS,
            margin=margin,
        )
    )


def _runs(side: ResultSet) -> dict[Key, list[Summary]]:
    """Return the current runs of each architecture."""
    return {
        (group.title, group.fingerprint, name): list(members)
        for group in groups(side.runs)
        for name, members in by_architecture(group.runs).items()
    }


def _rows(
    changes: Sequence[Change],
    sides: tuple[ResultSet, ResultSet],
    runs: tuple[Mapping[Key, Sequence[Summary]], ...],
    margin: float,
    folder: Path,
) -> list[Row]:
    reach = max([margin, *(abs(end) for each in changes if _is_miou(each) for end in each.interval or (0.0,))])
    rows = []
    for name, alike in groupby(changes, lambda each: each.architecture):
        figures = {change.figure: change for change in alike}
        miou = figures["miou_percent"]
        worst = min(figures.values(), key=lambda each: SEVERITY.index(each.outcome))
        members = [each.get((miou.protocol, miou.fingerprint, name), []) for each in runs]
        iou = [_class_iou(side, each) for side, each in zip(sides, members, strict=True)]
        rows.append(
            Row(
                architecture=name,
                outcome=worst.outcome,
                figure=TITLES[worst.figure],
                accuracy=miou,
                plot=_plot(miou, margin, reach),
                costs=[
                    (TITLES[c.figure], amount(c)) for c in figures.values() if not _is_miou(c) and c.outcome != "same"
                ],
                reasons=[f"{TITLES[c.figure]}: {c.outcome}: {c.reason}" for c in figures.values()],
                classes=[] if miou.outcome == "same" else class_changes(*iou),
                base=_links(sides[0], members[0], folder),
                new=_links(sides[1], members[1], folder),
            )
        )
    return sorted(rows, key=lambda row: (SEVERITY.index(row.outcome), row.accuracy.change or 0.0, row.architecture))


def _is_miou(change: Change) -> bool:
    return change.figure == "miou_percent"


def _plot(change: Change, margin: float, reach: float) -> Markup | None:
    if change.change is None or change.interval is None:
        return None
    return plot.interval(change.change, change.interval, margin, reach)


def _class_iou(side: ResultSet, runs: Sequence[Summary]) -> list[Mapping[str, float | None]]:
    found: list[Mapping[str, float | None]] = []
    for run in runs:
        stored = read(side.file(run))
        evaluation = None if isinstance(stored, Problem) else stored.record.evaluation()
        if run.status == "ok" and evaluation is not None:
            found.append(evaluation.iou)
    return found


def _links(side: ResultSet, runs: Sequence[Summary], folder: Path) -> list[Link]:
    return [
        Link(run.seed, run.run_id, _link(side, run, folder))
        for run in sorted(runs, key=lambda run: (run.seed, run.run_id))
    ]


def _link(side: ResultSet, run: Summary, folder: Path) -> str | None:
    """Return the link to a result; None if it was unpacked from a revision into the cache of this machine."""
    if side.is_unpacked:
        return None
    return quote(Path(os.path.relpath(side.file(run), folder)).as_posix())
