"""Text output of a comparison of two sets of results, for a terminal or a pull request."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from typing import Literal

from benchmark.analysis.regression import Change, Comparison, Missing, Overall, UnmatchedProtocol
from benchmark.reporting.table import MISSING, Cell, Column, Table, markdown, narrowed, plain, prose

COLUMNS = (
    Column("architecture", "Architecture"),
    Column("base", "mIoU base", "%", decimals=2),
    Column("new", "mIoU new", "%", decimals=2),
    Column("change", "Change", decimals=2),
    Column("interval", "Interval"),
    Column("accuracy", "Accuracy"),
    Column("params", "Params"),
    Column("macs", "MACs"),
    Column("latency_ratio", "Relative latency"),
    Column("inference_memory_bytes", "Inference memory"),
    Column("training_memory_bytes", "Training memory"),
)

TITLES = {
    "miou_percent": "mIoU",
    "params": "parameters",
    "macs": "MACs",
    "latency_ratio": "latency",
    "inference_memory_bytes": "memory at inference",
    "training_memory_bytes": "memory at training",
}
"""Titles of the figures."""

SIDES = {"base": "BASE", "new": "NEW"}


LEAST = ("training_memory_bytes", "inference_memory_bytes", "base", "interval", "latency_ratio", "macs", "params")
"""Names of columns in the order in which a narrow terminal does without them."""


def text(
    comparison: Comparison,
    margin: float,
    gates: Collection[str],
    format: Literal["table", "markdown"],
    width: int | None = None,
) -> str:
    """Format the comparison: a table for each protocol, remarks, and a conclusion.

    Args:
        comparison: the comparison.
        margin: non-inferiority margin in points of mIoU.
        gates: kinds of figures whose regressions set the exit code.
        format: aligned text, or GitHub-flavoured Markdown.
        width: width of the terminal in characters, which text fits by leaving out columns; None for no limit.
    """
    is_markdown = format == "markdown"
    parts = []
    rows = [change for change in comparison.changes if change.gate != "budget"]
    for (protocol, fingerprint), changes in groupby(rows, lambda each: (each.protocol, each.fingerprint)):
        title = f"{protocol} (fingerprint {fingerprint})"
        table, hidden = _table(list(changes)), list[str]()
        if width is not None:
            table, hidden = narrowed(table, width, LEAST)
        parts.append(f"### {prose(title)}\n\n{markdown(table)}" if is_markdown else f"{title}\n\n{plain(table)}")
        if hidden:
            parts.append(f"Not shown in {width} columns: {', '.join(hidden)}.")
    remarks = [*_reasons(comparison.changes), *map(unmatched, comparison.apart), *map(lacking, comparison.missing)]
    if comparison.overall:
        remarks.append(overall_change(comparison.overall))
    if remarks:
        parts.append("\n".join(f"- {prose(each)}" if is_markdown else each for each in remarks))
    parts.append(conclusion(comparison.changes, margin, gates))
    if width is not None:
        lines = "\n\n".join(parts).splitlines()
        return "\n".join(textwrap.fill(line, width) if len(line) > width else line for line in lines)
    return "\n\n".join(parts)


def _table(changes: Sequence[Change]) -> Table:
    rows = []
    for architecture, each in groupby(changes, lambda change: change.architecture):
        figures = {change.figure: change for change in each}
        rows.append(
            [architecture, *accuracy(figures["miou_percent"]), *(amount(figures.get(c.name)) for c in COLUMNS[6:])]
        )
    said = [index for index in range(len(COLUMNS)) if any(row[index] != MISSING for row in rows)]
    return Table(
        [COLUMNS[index] for index in said],
        [[Cell(None if row[index] == MISSING else row[index], row[index]) for index in said] for row in rows],
    )


def accuracy(change: Change) -> list[str]:
    """Format mIoU of both sides, change, interval and outcome."""
    points = [MISSING if value is None else f"{value:.2f}" for value in (change.base, change.new)]
    difference = MISSING if change.change is None else f"{change.change:+.2f}"
    interval = MISSING if change.interval is None else "{:+.2f} to {:+.2f}".format(*change.interval)
    if change.interval is not None and change.alarm is None:
        interval += " (images only)"  # with one seed, the variance between seeds is unknown
    return [*points, difference, interval, change.outcome]


def amount(change: Change | None) -> str:
    """Format the change of a figure, with its outcome unless that follows from the change."""
    if change is None:
        return MISSING
    if change.change is None or change.outcome == "same":
        return change.outcome
    amount = f"{change.change:+.1%}"
    if change.interval is not None:
        amount += " ({:+.1%} to {:+.1%})".format(*change.interval)
    return amount if change.outcome == "not worse" else f"{amount} {change.outcome}"


def _reasons(changes: Sequence[Change]) -> Iterator[str]:
    for change in changes:
        # Unchanged figures have a remark too if not all of BASE was compared.
        what = f"{change.architecture}, {'budget of ' if change.gate == 'budget' else ''}{TITLES[change.figure]}"
        if change.outcome not in ("same", "not worse", "better", "missing") or "not compared" in change.reason:
            yield f"{what}: {change.outcome}: {change.reason}"


def unmatched(apart: UnmatchedProtocol) -> str:
    """Say which protocol one side lacks."""
    here, there = SIDES[apart.side], SIDES["new" if apart.side == "base" else "base"]
    what = f"{apart.protocol} (fingerprint {apart.fingerprint}) is only in {here}, and not compared"
    if apart.other is None:
        return f"{what}: {there} has no results of it"
    axes = "; ".join(f"{axis} is {ours}, not {theirs}" for axis, (ours, theirs) in apart.differs.items())
    return f"{what} with {apart.other} of {there}: {axes}"


def lacking(missing: Missing) -> str:
    """Say which runs one side lacks."""
    if missing.reason == "no result":
        return f"{missing.architecture}, {missing.protocol}: only in {SIDES[missing.side]}"
    return f"{missing.architecture}, {missing.protocol}: NEW has {missing.reason}"


def overall_change(overall: Overall) -> str:
    """Format the mean change over all pairs of architecture and protocol."""
    low, high = overall.interval
    what = f"{overall.networks} architectures"
    if overall.pairs > overall.networks:
        networks = f"{overall.networks} architecture{'s' if overall.networks > 1 else ''}"
        what = f"{overall.pairs} pairs of architecture and protocol ({networks})"
    loss = "a loss is shown" if overall.outcome == "worse" else "no loss is shown"
    return f"mean of {what}: {overall.change:+.2f} ({low:+.2f} to {high:+.2f}): {loss}"


def conclusion(changes: Sequence[Change], margin: float, gates: Collection[str]) -> str:
    """Count the outcomes of the gates, and say which loss would have been found."""
    outcomes = Counter(change.outcome for change in changes if change.gate in (*gates, "budget"))
    found = ", ".join(f"{number} {outcome}" for outcome, number in outcomes.most_common()) or "nothing to compare"
    return f"{', '.join(sorted(gates))}: {found} (margin {margin:g} points of mIoU{_alarm(changes)})"


def _alarm(changes: Sequence[Change]) -> str:
    """Format the detectable losses: the median over architectures, and that of the noisiest."""
    needed = sorted((change.alarm, change.architecture) for change in changes if change.alarm is not None)
    if not needed:
        return ""
    middle, (most, name) = needed[(len(needed) - 1) // 2][0], needed[-1]
    if middle > 100:
        return "; no loss would give an alarm: seeds differ too much"
    worst = ""
    if most > 1.2 * middle:
        worst = f", and {most:.2g} of {name}" if most <= 100 else f", and of {name} none is large enough"
    return f"; an alarm needs a loss of about {middle:.2g}{worst}"
