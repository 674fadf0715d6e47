"""The caption of a LaTeX table: the facts of the protocol that a reader needs, in a few sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from benchmark.analysis.marks import ACCURACY
from benchmark.analysis.ranking import Group, Standing
from benchmark.reporting import citation
from benchmark.reporting.latex import breakable, cite, escaped
from benchmark.reporting.table import Column
from benchmark.results.summary import EXTERNAL, STATED

TITLES = {
    "ade20k": "ADE20K",
    "camvid": "CamVid",
    "cityscapes": "Cityscapes",
    "shapes": "Drawn shapes",
    "voc12": "PASCAL VOC 2012",
    "voc12aug": "PASCAL VOC 2012 with SBD",
}
"""The datasets by their names in results."""

REGIMES = {"end_to_end": "from the image to the label map", "device": "of the network on the device"}

_SETTING = re.compile(rf"(?P<regime>{'|'.join(REGIMES)}) .*?, batch (?P<batch>\d+), (?P<precision>\w+)")


def facts(group: Group, rows: Sequence[Standing], shown: Sequence[Column], bold: Sequence[Column]) -> str:
    """Return the facts that a reader needs: data, training, what the figures are, and what bold means.

    Args:
        group: the results.
        rows: the rows that are shown.
        shown: the columns.
        bold: the columns in which a figure is bold.
    """
    names = {column.name for column in shown}
    sentences = [_protocol(group)]
    if names & set(ACCURACY):
        sentences.append(_accuracy(group, rows, "miou_sd_percent" in names))
    if "macs" in names and (sizes := sorted({row.input for row in rows if row.input})):
        sentences.append(f"MACs: multiply-accumulates of one image of {_sizes(sizes)} pixels")
    if names & {"latency_ms", "latency_ratio"}:
        sentences += _latency(rows)
    if any(row.method == EXTERNAL for row in rows):
        sentences.append("External networks were not trained here, and their costs are as stated")
    if bold:
        tests = ", of accuracy by tests at a family-wise error of 5 %" if {c.name for c in bold} & set(ACCURACY) else ""
        sentences.append(f"Bold: better than every other row{tests}")
    first, *others = sentences
    return ". ".join([first, *map(escaped, others)]) + "."


def _protocol(group: Group) -> str:
    """Return the sentence on the data, the training and their sources, as LaTeX."""
    axes = group.runs[0].conditions.axes if group.runs else {}
    dataset = str(axes.get("data", {}).get("dataset", ""))
    name = escaped(TITLES.get(re.sub(r"_\d+x\d+$", "", dataset), dataset))
    keys = [key for key in citation.protocol_keys(axes) if key != citation.SUITE]
    data = f"{name}{cite(*keys)}, protocol" if name else "Protocol"
    iterations = axes.get("schedule", {}).get("iterations")
    start = "with a pre-trained backbone" if axes.get("pretraining") else "from random weights"
    trained = f", {iterations} iterations {start}" if iterations else ""
    results = [citation.result_key(group.protocol, group.fingerprint)] if group.runs else []
    return f"{data} {breakable(group.title)} of segbench{cite(citation.SUITE, *results)}{trained}"


def _accuracy(group: Group, rows: Sequence[Standing], has_deviation: bool) -> str:
    numbers = sorted(seeds(rows))
    over = f"{numbers[0]} seeds" if len(numbers) == 1 else "seeds"
    what = "of one seed" if numbers == [1] else f"mean {'and standard deviation ' if has_deviation else ''}over {over}"
    voids = {str(run.conditions.axes.get("void")) for run in group.runs}
    void = ", void pixels as false positives" if voids == {"false_positive"} else ""
    return f"Accuracy on test, {what}{void}"


def _sizes(sizes: Sequence[str]) -> str:
    return " or ".join(sizes).replace("x", "\N{MULTIPLICATION SIGN}")


def _latency(rows: Sequence[Standing]) -> Iterator[str]:
    timed = [row for row in rows if row.latency_ms is not None]
    settings, devices = ({getattr(row, name) for row in timed} for name in ("latency_setting", "device"))
    found = _SETTING.match(next(iter(settings)) or "") if len(settings) == 1 else None
    if found and len(devices) == 1:
        yield f"Latency: {REGIMES[found['regime']]}, batch {found['batch']}, {found['precision']}, {devices.pop()}"
    elif max(len(settings), len(devices)) > 1:
        what = "devices" if len(devices) > 1 else "settings"
        yield f"Latencies are of {max(len(settings), len(devices))} {what}, and do not compare"
    unsteady = [row.architecture for row in timed if row.latency_unsteady not in (None, STATED)]
    if unsteady:
        yield f"Latency was unsteady for {', '.join(unsteady) if len(unsteady) < 3 else f'{len(unsteady)} rows'}"


def seeds(rows: Sequence[Standing]) -> set[int]:
    """Return the numbers of successful seeds of the rows that have any."""
    return {row.seeds for row in rows if row.seeds}
