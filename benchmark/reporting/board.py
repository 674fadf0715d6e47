"""A leaderboard as data of the page's scripts, which filter, sort, plot and export it.

Values are in full precision up to the last bits of a mean, which depend on the machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmark.analysis import marks
from benchmark.analysis.coverage import NOT_RUN
from benchmark.analysis.ranking import Group, Standing, by_architecture
from benchmark.catalog import catalog
from benchmark.reporting import citation
from benchmark.reporting.anchor import anchor
from benchmark.reporting.backbone import backbone
from benchmark.reporting.latex import CAPITAL, OTHER, WIDTHS, breakable, escaped
from benchmark.reporting.latex_table import BOLD, LAYOUTS, LINES, NARROWEST, SCALED
from benchmark.reporting.short_name import short_names
from benchmark.reporting.table import Cell, Column, Table, table
from benchmark.results.record import Record
from benchmark.results.summary import EXTERNAL, Summary

FPS = Column(
    "fps",
    "Frame rate",
    "fps",
    decimals=1,
    good="max",
    meaning="Images per second, one at a time: 1000 ms divided by the latency.",
    is_optional=True,
)
TRAINING_TIME = Column(
    "training_seconds",
    "Training time",
    "min",
    scale=60,
    decimals=1,
    good="min",
    meaning="Wall time of training without evaluation, median over seeds.",
    is_optional=True,
)

NO_METHOD = "not stated"
"""Method of a result that names none."""

OF_A_SEED = (
    *("miou_percent", "best_miou_percent", "macc_percent", "aacc_percent", "latency_ms", "latency_ratio"),
    *("inference_memory_bytes", "training_memory_bytes", "training_seconds"),
)
"""Figures of a run that the page shows for each seed."""


def cells(rows: Sequence[Standing], runs: Sequence[Summary]) -> Table:
    """Return the leaderboard with all columns that a page offers.

    Args:
        rows: the ranking, with the rows that were not run.
        runs: its results.
    """
    found = table(rows, optional=True)
    times = _training_seconds(runs)
    added = {
        FPS: [1000 / row.latency_ms if row.latency_ms else None for row in rows],
        TRAINING_TIME: [times.get(row.architecture) for row in rows],
    }
    added = {column: values for column, values in added.items() if any(value is not None for value in values)}
    extra = [[Cell(value, column.show(value)) for value in values] for column, values in added.items()]
    return Table([*found.columns, *added], [[*row, *new] for row, *new in zip(found.rows, *extra, strict=True)])


def shown(cells: Table, rows: Sequence[Standing]) -> list[str]:
    """Return the names of the columns that a page shows at first."""
    is_all_ok = all(row.status in ("ok", NOT_RUN) and not row.failed for row in rows)
    left = {"status"} if is_all_ok else set()
    return [column.name for column in cells.columns if not column.is_optional and column.name not in left]


def board(
    name: str,
    title: str,
    group: Group,
    cells: Table,
    rows: Sequence[Standing],
    records: Mapping[str, tuple[Record, str]],
) -> dict[str, Any]:
    """Return a leaderboard as plain data.

    Args:
        name: anchor of its section.
        title: title of its section.
        group: its results.
        cells: its cells, from `cells`.
        rows: its rows.
        records: the results by run id, with links to their files.
    """
    runs_of = by_architecture(sorted(group.runs, key=lambda run: run.seed))
    record = records[group.runs[0].run_id][0]
    doubtful, ignored = _doubtful(group.runs, rows), _ignored(rows)
    labels = short_names(row.architecture for row in rows)
    return {
        "id": name,
        "protocol": group.protocol,
        "title": title,
        "tex": breakable(title),
        "fingerprint": group.fingerprint,
        "cite": list(
            dict.fromkeys(
                [
                    citation.SUITE,
                    *citation.protocol_keys(record.protocol.axes | {"data": {"dataset": record.dataset.name}}),
                ]
            )
        ),
        "shown": shown(cells, rows),
        "of_a_seed": OF_A_SEED,
        "columns": [
            {
                "name": column.name,
                "title": column.title,
                "unit": column.unit,
                "tex": escaped(column.heading),
                "scale": column.scale,
                "decimals": column.decimals,
                "good": column.good,
            }
            for column in cells.columns
        ],
        "rows": [
            {
                "name": row.architecture,
                "tex": breakable(row.architecture),
                "label": labels[row.architecture],
                "anchor": anchor(row.architecture),
                "method": row.method or NO_METHOD,
                "title": _title(row.method),
                "backbone": backbone(row.architecture),
                "source": _source(row, [records[run.run_id][0] for run in runs_of.get(row.architecture, [])]),
                "status": row.status,
                "ranks": [row.rank, row.rank_low, row.rank_high],
                "cite": citation.keys(row.architecture, row.method),
                "values": [] if row.status == NOT_RUN else [_number(cell.value) for cell in of_row],
                "doubtful": doubtful.get(row.architecture, []),
                "ignored": ignored.get(row.architecture, []),
                "runs": [_run(run, records[run.run_id][1]) for run in runs_of.get(row.architecture, [])],
            }
            for row, of_row in zip(rows, cells.rows, strict=True)
        ],
    }


def bibtex(boards: Sequence[Mapping[str, Any]], runs: Sequence[Summary]) -> dict[str, str]:
    """Return the BibTeX entries that leaderboards cite, by key."""
    keys = {key for each in boards for key in each["cite"]}
    keys |= {key for each in boards for row in each["rows"] for key in row["cite"]}
    return citation.entries(keys, runs)


def latex() -> dict[str, Any]:
    """Return what a view needs to be laid out as LaTeX: layouts, and widths of characters in points at 10 pt."""
    floats = [each for each in LAYOUTS if each.environment != "longtable"]  # which does not work in two columns
    return {
        "layouts": [asdict(each) | {"lines": LINES[each.size]} for each in floats],
        "narrowest": NARROWEST,
        "bold": BOLD,
        "scaled": SCALED,
        "widths": WIDTHS,
        "capital": CAPITAL,
        "other": OTHER,
        "url_package": citation.URL_PACKAGE,
    }


def _training_seconds(runs: Sequence[Summary]) -> dict[str, float | None]:
    """Return the median over the successful runs of each architecture; None if they are of several devices."""
    found: dict[str, float | None] = {}
    for name, alike in by_architecture(run for run in runs if run.status == "ok").items():
        times = sorted(run.training_seconds for run in alike if run.training_seconds is not None)
        if times:
            is_alike = len({run.device for run in alike}) == 1
            found[name] = (times[(len(times) - 1) // 2] + times[len(times) // 2]) / 2 if is_alike else None
    return found


def _title(method: str) -> str:
    known = catalog.methods().get(method)
    return f"{known.title} ({known.year})" if known else method


def _source(row: Standing, records: Sequence[Record]) -> str:
    if row.method == EXTERNAL:
        return "external predictions"
    if row.architecture.startswith(catalog.ZOO_PREFIX):
        return "mmsegmentation zoo"
    sources = [record.source for record in records if record.source]
    if sources:
        return "library" if sources[0].kind in ("torchvision", "smp", "hf", "timm") else "own"
    return "suite"


def _doubtful(runs: Sequence[Summary], rows: Sequence[Standing]) -> dict[str, list[str]]:
    """Return, by architecture, the costs that cannot be on a front, as they are unsteady or do not compare."""
    runs_of = by_architecture(runs)
    ran = [row for row in rows if row.architecture in runs_of]
    found: dict[str, list[str]] = {}
    for column in marks.COSTS:
        for name, interval in marks.intervals(ran, runs_of, column).items():
            if not interval.may_be_marked:
                found.setdefault(name, []).append(column)
    is_mixed = len({run.device for run in runs}) > 1
    for row in ran:
        columns = found.get(row.architecture, [])
        more = ["fps"] * ("latency_ms" in columns) + ["training_memory_bytes", "training_seconds"] * is_mixed
        if more:
            found[row.architecture] = [*columns, *more]
    return found


def _ignored(rows: Sequence[Standing]) -> dict[str, list[str]]:
    """Return, by architecture, the costs that were stated and not measured: a front is computed without them."""
    return {
        row.architecture: [*marks.TIMED, "fps"] for row in rows if row.method == EXTERNAL and row.latency_ms is not None
    }


def _run(run: Summary, link: str) -> list[Any]:
    return [str(run.seed), run.status.replace("_", " "), link, *(_number(getattr(run, name)) for name in OF_A_SEED)]


def _number(value: Any) -> Any:
    return float(f"{value:.9g}") if isinstance(value, float) else value
