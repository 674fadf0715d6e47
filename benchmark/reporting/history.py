"""Figures over versions of the code, for the report: a plot for each architecture and figure, and the steps found."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from benchmark.analysis.history import History, Version, VersionStep, histories
from benchmark.analysis.ranking import groups
from benchmark.reporting import plot
from benchmark.reporting.page import link
from benchmark.reporting.title import titles
from benchmark.results.reading import Stored
from benchmark.results.summary import summarise

TITLES = {
    "miou_percent": ("mIoU (%)", 1.0),
    "latency_ratio": ("Relative latency", 1.0),
    "params": ("Parameters (M)", 1e6),
    "macs": ("MACs (G)", 1e9),
    "inference_memory_bytes": ("Memory at inference", 2**20),
    "training_memory_bytes": ("Memory at training", 2**20),
}
"""Title and unit of each figure."""

PLOTTED = ("miou_percent", "latency_ratio", "params")
"""Figures that are plotted; those that are exact only where they changed."""


@dataclass(frozen=True)
class SeedLink:
    """A result: its seed, its id with the status of a failed run, and the link to its file."""

    seed: int
    title: str
    link: str


@dataclass(frozen=True)
class StepRow:
    """A step, as text.

    Attributes:
        step: the step.
        title: the figure.
        before, after: numbers of the versions, from 1 on.
        change: the change with its unit, and its interval.
        base, new: results of the versions.
    """

    step: VersionStep
    title: str
    before: int
    after: int
    change: str
    base: Sequence[SeedLink]
    new: Sequence[SeedLink]


@dataclass(frozen=True)
class HistorySection:
    """The history of a protocol.

    Attributes:
        history: the figures.
        title: the title of the protocol's leaderboard.
        anchor: the id of the results in the page.
        results: by architecture, its results at each version.
        steps: the steps, worse ones first.
        undecided: the costs of which nothing is decided.
        plots: by architecture, its plots; those with a step first.
    """

    history: History
    title: str
    anchor: str
    results: Mapping[str, Sequence[Sequence[SeedLink]]]
    steps: Sequence[StepRow]
    undecided: Sequence[StepRow]
    plots: Sequence[tuple[str, Sequence[Markup]]]


def history_sections(stored: Collection[Stored], folder: Path) -> list[HistorySection]:
    """Return a section for each protocol with results of several versions of the code.

    Args:
        stored: all results of a store, superseded ones included.
        folder: folder of the page, to which links are relative.
    """
    runs = [summarise(each.record) for each in stored]
    links = {each.record.run_id: link(each.path, folder) for each in stored}
    found = groups(runs)
    named = titles(found)
    by_protocol = {(each.protocol, each.fingerprint): named[each.title, each.fingerprint] for each in found}
    return [_section(each, by_protocol[each.protocol, each.fingerprint], links) for each in histories(runs)]


def _section(history: History, title: str, links: Mapping[str, str]) -> HistorySection:
    changed = {step.architecture for step in history.steps}
    names = sorted({run.architecture for version in history.versions for run in version.results})
    results = {name: [_links(version, name, links) for version in history.versions] for name in names}

    def rows(steps: Iterable[VersionStep]) -> list[StepRow]:
        return [
            StepRow(
                step=step,
                title=TITLES[step.figure][0],
                before=step.before + 1,
                after=step.version + 1,
                change=_change(step),
                base=results[step.architecture][step.before],
                new=results[step.architecture][step.version],
            )
            for step in steps
        ]

    return HistorySection(
        history=history,
        title=title,
        anchor=f"history-{history.protocol}-{history.fingerprint}",
        results=results,
        steps=rows(history.steps),
        undecided=rows(history.undecided),
        plots=[
            (name, _plots(history, name))
            for name in sorted(history.figures, key=lambda name: (name not in changed, name))
        ],
    )


def _links(version: Version, architecture: str, links: Mapping[str, str]) -> list[SeedLink]:
    return [
        SeedLink(
            run.seed,
            run.run_id if run.status == "ok" else f"{run.run_id}, {run.status.replace('_', ' ')}",
            links[run.run_id],
        )
        for run in sorted(version.results, key=lambda run: (run.seed, run.run_id))
        if run.architecture == architecture
    ]


def _plots(history: History, name: str) -> list[Markup]:
    found = history.figures[name]
    return [
        plot.versions(
            [(value.version, [each / TITLES[figure][1] for each in value.values]) for value in found[figure]],
            len(history.versions),
            {s.version: s.kind for s in history.steps if (s.architecture, s.figure) == (name, figure)},
            TITLES[figure][0],
        )
        for figure in PLOTTED
        if figure in found and (figure != "params" or len({value.mean for value in found[figure]}) > 1)
    ]


def _change(step: VersionStep) -> str:
    """Format a change: mIoU in points, others in percent."""
    if step.change is None:
        return "-" if step.kind == "undecided" else "failed"
    form = "{:+.2f}" if step.figure == "miou_percent" else "{:+.1%}"
    interval = f" ({form} to {form})".format(*step.interval) if step.interval else ""
    return form.format(step.change) + interval
