"""Figures over versions of the code, for the report: a plot for each architecture and figure, and the steps found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from benchmark.analysis.history import History, VersionStep, histories
from benchmark.analysis.ranking import groups
from benchmark.reporting import plot
from benchmark.reporting.anchor import anchor
from benchmark.reporting.title import titles
from benchmark.results.summary import Summary

TITLES = {
    "miou_percent": ("mIoU (%)", 1.0),
    "latency_ratio": ("Latency (ratio to the anchor)", 1.0),
    "params": ("Parameters (M)", 1e6),
    "macs": ("MACs (G)", 1e9),
}
"""Title and unit of each figure."""

PLOTTED = ("miou_percent", "latency_ratio", "params")
"""Figures that are plotted; those that are exact only where they changed."""


@dataclass(frozen=True)
class StepRow:
    """A step, as text.

    Attributes:
        step: the step.
        title: the figure.
        before, after: numbers of the versions, from 1 on.
        change: the change with its unit, and its interval.
    """

    step: VersionStep
    title: str
    before: int
    after: int
    change: str

    @property
    def anchor(self) -> str:
        """The id of the architecture's section."""
        return anchor(self.step.architecture)


@dataclass(frozen=True)
class HistorySection:
    """The history of a protocol.

    Attributes:
        history: the figures.
        title: the title of the protocol's leaderboard.
        steps: the steps, worse ones first.
        plots: by architecture, its plots; those with a step first.
    """

    history: History
    title: str
    steps: Sequence[StepRow]
    plots: Sequence[tuple[str, Sequence[Markup]]]


def history_sections(runs: Iterable[Summary]) -> list[HistorySection]:
    """Return a section for each protocol with results of several versions of the code.

    Args:
        runs: all results of a store, superseded ones included.
    """
    runs = list(runs)
    found = groups(runs)
    named = titles(found)
    by_protocol = {(each.protocol, each.fingerprint): named[each.title, each.fingerprint] for each in found}
    return [_section(each, by_protocol[each.protocol, each.fingerprint]) for each in histories(runs)]


def _section(history: History, title: str) -> HistorySection:
    changed = {step.architecture for step in history.steps}
    return HistorySection(
        history=history,
        title=title,
        steps=[
            StepRow(step, TITLES[step.figure][0], step.before + 1, step.version + 1, _change(step))
            for step in history.steps
        ],
        plots=[
            (name, _plots(history, name))
            for name in sorted(history.figures, key=lambda name: (name not in changed, name))
        ],
    )


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
        return "failed"
    form = "{:+.2f}" if step.figure == "miou_percent" else "{:+.1%}"
    interval = f" ({form} to {form})".format(*step.interval) if step.interval else ""
    return form.format(step.change) + interval
