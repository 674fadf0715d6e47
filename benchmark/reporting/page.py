"""The content of the report for each group of results: plain data for the templates."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from markupsafe import Markup

from benchmark.analysis import coverage
from benchmark.analysis.axes import flat
from benchmark.analysis.code import of_any_code
from benchmark.analysis.diagnosis import label_errors
from benchmark.analysis.leaderboard import class_iou
from benchmark.analysis.ranking import Group, Standing, groups
from benchmark.catalog.references import Reference
from benchmark.datasets.catalog import EMBEDDED
from benchmark.reporting import board, plot
from benchmark.reporting.palette import legend
from benchmark.reporting.picture import Picture, error_map, label_map, photo
from benchmark.reporting.predictions import Prediction, Predictions, predictions
from benchmark.reporting.published_comparison import PublishedComparison, published_comparison
from benchmark.reporting.table import Table
from benchmark.reporting.title import titles
from benchmark.results.reading import Problem, Stored
from benchmark.results.record import Environment, Record
from benchmark.results.store import Store
from benchmark.results.summary import summary_of

COSTS = {"macs": ("MACs (G)", 1e9), "latency_ratio": ("Relative latency", 1)}
"""Cost columns that accuracy is plotted against without JavaScript: title and unit."""


@dataclass(frozen=True)
class RunRow:
    """A result and the link to its file.

    Attributes:
        record: the result.
        link: its JSON file, relative to the page.
    """

    record: Record
    link: str


@dataclass(frozen=True)
class PageFigure:
    """A picture with caption and note.

    Attributes:
        picture: the picture.
        caption: its caption.
        note: a line below.
        architecture: the architecture whose prediction it shows; None for an image or its ground truth.
        errors: the errors of the prediction; None where the ground truth may not be shown.
    """

    picture: Picture
    caption: str
    note: str = ""
    architecture: str | None = None
    errors: Picture | None = None


@dataclass(frozen=True)
class Scene:
    """A test image: image and ground truth, if shown, then the prediction of each architecture."""

    name: str
    figures: Sequence[PageFigure]


@dataclass(frozen=True)
class Curves:
    """The training curves of an architecture."""

    architecture: str
    plots: Sequence[Markup]


@dataclass(frozen=True)
class Section:
    """A section of the report: one group of results.

    Attributes:
        anchor: anchor of the section in the page.
        title: title of the section, unlike that of any other.
        dataset: name of the dataset.
        group: results that may be ranked together.
        facts: short description of the protocol.
        rows: rows of the leaderboard: of the ranking, then those that were not run, in the first section of the
            protocol if it has no overrides.
        table: their cells, with all columns.
        board: the leaderboard as data of the page's scripts.
        not_run: architectures of the catalog without a result of the protocol without overrides; named once per
            protocol.
        published: comparison with published figures; None on an embedded dataset.
        label_errors: possible label errors, detected from confusion matrices.
        runs: the results of each architecture, by seed.
        stored: the same results with their files.
        plots: plots of accuracy against cost.
        legend: each class and its colour.
        scenes: predictions as pictures.
        predictions: predictions as labels.
        class_iou: classes, and their IoU by architecture (None for missing values).
        curves: training curves of the runs.
        failures: the failed runs.
        environments: environments of the runs, with the number of runs.
        axes: all axes of the fingerprint.
    """

    anchor: str
    title: str
    dataset: str
    group: Group
    facts: Sequence[tuple[str, str]]
    rows: Sequence[Standing]
    table: Table
    board: Mapping[str, Any]
    not_run: Sequence[str]
    published: PublishedComparison | None
    label_errors: Sequence[str]
    runs: Mapping[str, Sequence[RunRow]]
    stored: Mapping[str, Sequence[Stored]]
    plots: Sequence[Markup]
    legend: Sequence[tuple[str, str]]
    scenes: Sequence[Scene]
    predictions: Predictions
    class_iou: tuple[Sequence[str], Mapping[str, Sequence[float | None]]]
    curves: Sequence[Curves]
    failures: Sequence[RunRow]
    environments: Sequence[tuple[int, Sequence[tuple[str, str]]]]
    axes: Sequence[tuple[str, str]]

    @property
    def has_errors(self) -> bool:
        """Whether the predictions are shown with their errors."""
        return any(figure.errors for scene in self.scenes for figure in scene.figures)

    @property
    def command(self) -> str:
        """The command that runs the architectures without results."""
        return coverage.command(self.group.protocol)


def sections(
    store: Store,
    results: Sequence[Stored],
    folder: Path,
    references: Collection[Reference],
    photographs: bool = False,
    mix_code: bool = False,
) -> tuple[list[Section], list[Problem]]:
    """Return a section for each group of results.

    Args:
        store: the store of the results.
        results: results of the store.
        folder: folder of the page.
        references: published figures.
        photographs: show images and ground truth of any dataset next to the predictions.
        mix_code: average over results of an architecture made by different code.

    Returns:
        The sections, and files other than results that could not be used.
    """
    by_id = {each.record.run_id: each for each in results}
    made: list[Section] = []
    problems: list[Problem] = []
    runs = [summary_of(each) for each in results]
    found = groups(of_any_code(runs) if mix_code else runs)
    named = titles(found)
    for before, group in zip([None, *found], found, strict=False):
        members = [by_id[run.run_id] for run in group.runs]
        is_first = before is None or before.protocol != group.protocol
        missing = coverage.not_run(group.protocol, found) if is_first else []
        dataset = members[0].record.dataset.name
        comparison = (
            None
            if dataset in EMBEDDED
            else published_comparison(dataset, group.runs, [each.record for each in members], references)
        )
        title = named[group.title, group.fingerprint]
        section, damaged = _section(store, title, group, members, missing, comparison, folder, photographs)
        made.append(section)
        problems += damaged
    return made, problems


def _section(
    store: Store,
    title: str,
    group: Group,
    members: Sequence[Stored],
    missing: Sequence[str],
    comparison: PublishedComparison | None,
    folder: Path,
    photographs: bool,
) -> tuple[Section, list[Problem]]:
    order = [row.architecture for row in group.table]
    by_architecture: dict[str, list[Stored]] = {name: [] for name in order}
    for each in sorted(members, key=lambda each: each.record.seed):
        by_architecture[each.record.architecture].append(each)
    runs = {name: [RunRow(s.record, link(s.path, folder)) for s in stored] for name, stored in by_architecture.items()}
    records = [each.record for each in members]
    kept, problems = predictions(store, by_architecture, photographs)
    rows = [*group.table, *([] if group.overrides else map(coverage.row, missing))]
    cells = board.cells(rows, group.runs)
    name = f"{group.protocol}-{group.fingerprint}"
    links = {each.record.run_id: (each.record, link(each.path, folder)) for each in members}
    section = Section(
        anchor=name,
        title=title,
        dataset=records[0].dataset.name,
        group=group,
        facts=_facts(group, records),
        rows=rows,
        table=cells,
        board=board.board(name, title, group, cells, rows, links),
        not_run=missing,
        published=comparison,
        label_errors=list(_label_errors(by_architecture)),
        runs=runs,
        stored=by_architecture,
        plots=_plots(group.table),
        legend=[(name, "#{:02x}{:02x}{:02x}".format(*rgb)) for name, rgb in legend(kept.classes, kept.palette)],
        scenes=[_scene(kept, name) for name in kept.images],
        predictions=kept,
        class_iou=_class_iou(records, order),
        curves=_curves(by_architecture),
        failures=[run for each in runs.values() for run in each if run.record.status != "ok"],
        environments=_environments(records),
        axes=[(axis, str(value)) for axis, value in flat(records[0].protocol.axes)],
    )
    return section, problems


def _label_errors(by_architecture: Mapping[str, Sequence[Stored]]) -> Iterator[str]:
    """Yield possible label errors from the first successful run of each architecture."""
    for architecture, stored in by_architecture.items():
        first = next((each for each in stored if each.record.status == "ok"), None)
        if first is None:
            continue
        for finding in label_errors(first):
            if finding.mistake != "class absent from predictions":  # shown by the IoU by class; it learned little
                yield f"{architecture}: {finding.describe(first.record.dataset.classes)}"


def link(path: Path, folder: Path) -> str:
    """Return the link to a file, relative to the folder of the page."""
    return quote(Path(os.path.relpath(path, folder)).as_posix())


def _facts(group: Group, records: Sequence[Record]) -> list[tuple[str, str]]:
    data, void = records[0].dataset, records[0].protocol.void
    images = ", ".join(f"{count} {split}" for split, count in data.images.items())
    facts = [
        ("Dataset", f"{data.name}, {len(data.classes)} classes"),
        ("Images", images),
        ("Void pixels", "ignored" if void == "ignore" else "count as false positives, except where a column says so"),
        ("Fingerprint", group.fingerprint),
    ]
    training = next((record.training for record in records if record.status == "ok" and record.training), None)
    if training is not None:
        facts.insert(2, ("Training", f"{training.iterations} iterations, {training.images} images"))
    return facts


def _scene(kept: Predictions, name: str) -> Scene:
    figures = []
    if truth := kept.truth.get(name):
        figures.append(PageFigure(photo(truth.image), "Input"))
        figures.append(PageFigure(label_map(truth.labels, kept.palette), "Ground truth"))
    for architecture, images in kept.seen.items():
        if seen := images.get(name):
            errors = error_map(seen.labels, truth.labels) if truth else None
            picture = label_map(seen.labels, kept.palette)
            figures.append(PageFigure(picture, architecture, _image_miou(seen), architecture, errors))
    return Scene(name, figures)


def _image_miou(seen: Prediction) -> str:
    return "" if math.isnan(seen.miou) else f"mIoU {seen.miou:.1f} %"


def _plots(standings: Sequence[Standing]) -> list[Markup]:
    plots = []
    for cost, (title, scale) in COSTS.items():
        points = [
            plot.Point(
                row.architecture, value / scale, row.miou_percent, row.miou_sd_percent, front=cost in row.front.split()
            )
            for row in standings
            if row.miou_percent is not None and (value := getattr(row, cost))
        ]
        if len(points) > 1:
            plots.append(plot.scatter(points, title, "mIoU (%)"))
    return plots


def _class_iou(records: Iterable[Record], order: Sequence[str]) -> tuple[list[str], dict[str, list[float | None]]]:
    table = class_iou(records)
    rows = table.to_dict("index")
    iou = {
        name: [None if math.isnan(value) else value for value in rows[name].values()] for name in order if name in rows
    }
    return list(table.columns), iou


def _curves(by_architecture: Mapping[str, Sequence[Stored]]) -> list[Curves]:
    """Plot loss and mIoU on val of every run, all on the same axes."""
    trained = {
        name: [each.record.training for each in stored if each.record.training is not None]
        for name, stored in by_architecture.items()
    }
    everything = [training for runs in trained.values() for training in runs]
    losses = [loss for training in everything for _, loss in training.loss if loss > 0]
    if not losses:
        return []
    end = max(iteration for training in everything for iteration, _ in training.loss)
    # Logarithmic and clipped, as some networks add auxiliary losses, and a diverging one would flatten the others.
    high = float(np.quantile(losses, 0.995)) * 1.1
    low = min(min(losses) / 1.1, high / 4)
    top = max((value for training in everything for _, value in training.val_miou), default=0)
    return [
        Curves(
            name,
            [
                plot.curves([run.loss for run in runs], "training loss", end=end, low=low, high=high, log=True),
                plot.curves([run.val_miou for run in runs], "mIoU on val (%)", end=end, low=0, high=top or 1),
            ],
        )
        for name, runs in trained.items()
        if runs
    ]


def _environments(records: Sequence[Record]) -> list[tuple[int, list[tuple[str, str]]]]:
    """Return the distinct environments with their number of runs, the most frequent first."""
    found: dict[str, list[Environment]] = {}
    for record in records:
        found.setdefault(record.environment.model_dump_json(), []).append(record.environment)
    ordered = sorted(found.values(), key=len, reverse=True)
    return [(len(alike), _environment(alike[0])) for alike in ordered]


def _environment(found: Environment) -> list[tuple[str, str]]:
    code = found.code
    commit = f", commit {code.commit[:12]}{' with changes' if code.dirty else ''}" if code.commit else ""
    rows = [
        ("segbench", code.version + commit),
        *([("Code", code.digest)] if code.digest else []),
        ("Device", found.gpu or found.cpu),
        ("CPU", f"{found.cpu}, {found.cores} cores, {found.memory / 2**30:.0f} GiB"),
        ("CUDA, cuDNN, driver", ", ".join(v or "?" for v in (found.cuda, found.cudnn, found.driver))),
        ("Python", f"{found.python}, {found.platform}"),
        ("Packages", ", ".join(f"{name} {version}" for name, version in found.packages.items())),
        ("All packages", f"SHA-256 {found.packages_sha256[:16]}…"),
        ("Threads", str(found.threads)),
        ("Deterministic", "yes" if found.deterministic else "no"),
        ("Adapted", ", ".join(found.adaptations) or "nothing"),
    ]
    return rows if found.gpu else [row for row in rows if row[0] not in ("CUDA, cuDNN, driver", "Device")]
