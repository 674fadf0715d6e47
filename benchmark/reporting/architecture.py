"""The section of each architecture: its citation and stages, and its results under every protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.catalog import catalog
from benchmark.catalog.stages import Breakdown, Stage, breakdown
from benchmark.reporting import citation
from benchmark.reporting.anchor import anchor
from benchmark.reporting.confusion import Confusion, confusion
from benchmark.reporting.page import Curves, RunRow, Section
from benchmark.reporting.published_comparison import PublishedRow
from benchmark.results.record import Record
from benchmark.results.summary import EXTERNAL

CLASSES = 32
"""Maximum number of classes whose IoU is listed at once; of more, the lowest and the highest are, others folded."""

EXTREMES = 10
"""Number of the lowest, and of the highest."""


NOT_COMPARABLE = "not comparable"

HEADINGS = ("rank", "architecture", "status")
"""Columns of the leaderboard that are not figures."""


@dataclass(frozen=True)
class ClassIoU:
    """The IoU of a class on test, in percent: mean, lowest and highest value of the seeds."""

    name: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class ArchitectureResults:
    """The results of an architecture under one protocol.

    Attributes:
        section: the group of results that they belong to.
        figures: title and text of the headline figures.
        compared: published figures that are comparable with the results, and speeds, with verdicts.
        not_comparable: other published figures, with reasons.
        classes: IoU by class, in the order of the dataset; the lowest and highest ones if there are many.
        others: the other classes, in the order of the dataset.
        seeds: number of runs with an IoU by class.
        confusion: confusion matrix over all seeds; None without one.
        curves: training curves of all seeds; None without any.
        images: names of the test images whose predictions are stored.
        runs: the runs.
    """

    section: Section
    figures: Sequence[tuple[str, str]]
    compared: Sequence[PublishedRow]
    not_comparable: Sequence[PublishedRow]
    classes: Sequence[ClassIoU]
    others: Sequence[ClassIoU]
    seeds: int
    confusion: Confusion | None
    curves: Curves | None
    images: Sequence[str]
    runs: Sequence[RunRow]

    @property
    def short(self) -> str:
        """The protocol and the mIoU in a few words."""
        score = next((text for title, text in self.figures if title == "mIoU (%)"), None)
        return f"{self.section.title}: {f'mIoU {score} %' if score else 'no mIoU'}"


@dataclass(frozen=True)
class ArchitectureSection:
    """The section of an architecture.

    Attributes:
        name: name of the architecture.
        method: name of the method, as in its results.
        title: title of the method's paper; None if it is not in the catalog.
        bibtex: what to cite; empty if nothing is known.
        breakdown: its stages; None where they are not known.
        unknown_stages: why they are not known; empty where they are.
        results: its results, in the order of the report's sections.
    """

    name: str
    method: str
    title: str | None
    bibtex: str
    breakdown: Breakdown | None
    unknown_stages: str
    results: Sequence[ArchitectureResults]

    @property
    def anchor(self) -> str:
        """The id of the section in the page."""
        return anchor(self.name)


def architecture_sections(sections: Sequence[Section]) -> list[ArchitectureSection]:
    """Return a section for each architecture with results, in the order of the leaderboards."""
    names = dict.fromkeys(row.architecture for section in sections for row in section.group.table)
    return [_section(name, [each for each in sections if each.stored.get(name)]) for name in names]


def _section(name: str, sections: Sequence[Section]) -> ArchitectureSection:
    records = [stored.record for section in sections for stored in section.stored[name]]
    record = sections[0].stored[name][-1].record
    method = catalog.methods().get(record.method)
    keys = citation.keys(name, record.method)
    stages = _breakdown(records)
    return ArchitectureSection(
        name=name,
        method=record.method,
        title=method.title if method else None,
        bibtex=citation.bibtex(keys) if keys else "",
        breakdown=stages,
        unknown_stages="" if stages else _unknown_stages(records),
        results=[_results(name, section) for section in sections],
    )


def _breakdown(records: Sequence[Record]) -> Breakdown | None:
    """Return the stages of the newest result that has them, or of the architecture of the suite."""
    for counted in (record.complexity for record in reversed(records)):
        if counted and counted.stages:
            found = [Stage(**stage.model_dump()) for stage in counted.stages]
            return Breakdown(found, counted.size, counted.classes)
    return breakdown(records[-1].architecture) if records[-1].source is None else None


def _unknown_stages(records: Sequence[Record]) -> str:
    if all(record.method == EXTERNAL for record in records):
        return "Only its predictions are known, not its stages."
    if not any(record.complexity for record in records):
        return "Its parameters and MACs were not counted."
    return "These results have no parameters and MACs by stage: new runs count them."


def _results(name: str, section: Section) -> ArchitectureResults:
    stored = section.stored[name]
    records = [each.record for each in stored]
    published = _published(name, section)
    classes, seeds = _class_iou(records)
    shown = classes if len(classes) <= CLASSES else _extremes(classes)
    return ArchitectureResults(
        section=section,
        figures=_figures(name, section),
        compared=[check for check in published if check.verdict.outcome != NOT_COMPARABLE],
        not_comparable=[check for check in published if check.verdict.outcome == NOT_COMPARABLE],
        classes=shown,
        others=[each for each in classes if each not in shown],
        seeds=seeds,
        confusion=confusion(stored),
        curves=next((each for each in section.curves if each.architecture == name), None),
        images=list(section.predictions.seen.get(name, {})),
        runs=section.runs[name],
    )


def _figures(name: str, section: Section) -> list[tuple[str, str]]:
    """Return the cells of the leaderboard's row that have a value, with their titles."""
    row = next(
        cells for standing, cells in zip(section.rows, section.table.rows, strict=True) if standing.architecture == name
    )
    return [
        (column.heading, cell.text)
        for column, cell in zip(section.table.columns, row, strict=True)
        if column.name not in HEADINGS and cell.value is not None
    ]


def _published(name: str, section: Section) -> list[PublishedRow]:
    found = section.published
    everything = [*found.comparable, *found.speeds, *found.others] if found else []
    return [each for each in everything if each.verdict.architecture == name]


def _class_iou(records: Sequence[Record]) -> tuple[list[ClassIoU], int]:
    """Return the IoU of each class over the successful runs, and their number."""
    found = [each.iou for record in records if record.status == "ok" and (each := record.evaluation())]
    rows = []
    for name in found[0] if found else ():
        values = [value for iou in found if (value := iou.get(name)) is not None]
        if values:
            rows.append(ClassIoU(name, float(np.mean(values)), min(values), max(values)))
    return rows, len(found)


def _extremes(classes: Sequence[ClassIoU]) -> list[ClassIoU]:
    ordered = sorted(classes, key=lambda each: each.mean)
    return [*ordered[:EXTREMES], *ordered[-EXTREMES:]]
