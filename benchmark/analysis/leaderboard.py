"""Results and rankings as pandas DataFrames in full precision."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args, get_type_hints

import pandas as pd

from benchmark.analysis import marks
from benchmark.analysis.ranking import Standing, ranking
from benchmark.results.record import Record
from benchmark.results.summary import Summary

DTYPES = {str: "string", int: "Int64", float: "float64"}
"""The dtype of a column, by the type of its values; missing values are NA."""


def frame(runs: Iterable[Summary]) -> pd.DataFrame:
    """Return a row for each run: protocol, fingerprint, and the columns of `Summary`."""
    shared = {"protocol": "string", "fingerprint": "string"}
    rows = [(run.conditions.protocol, run.conditions.fingerprint, *run[1:]) for run in runs]
    return _frame(rows, shared | _columns(Summary, Summary._fields[1:]))


def leaderboard(runs: Iterable[Summary]) -> pd.DataFrame:
    """Return a row for each architecture, best first, with the columns of `Standing`; see `benchmark.analysis.ranking`.

    Args:
        runs: with equal protocol and fingerprint.
    """
    return table(ranking(runs))


def table(standings: Iterable[Standing]) -> pd.DataFrame:
    """Convert a ranking to a DataFrame."""
    return _frame(standings, _columns(Standing, Standing._fields))


def class_iou(records: Iterable[Record]) -> pd.DataFrame:
    """Return the IoU in percent of the last checkpoint on test: a row for each architecture, a column for each class.

    Means over successful seeds; NA if a class is neither in the ground truth nor predicted.
    """
    rows = [
        pd.Series(evaluation.iou, dtype="float64", name=record.architecture)
        for record in records
        if record.status == "ok" and (evaluation := record.evaluation())
    ]
    table = pd.DataFrame(rows)
    return table.groupby(level=0).mean()


def pareto(table: pd.DataFrame, cost: str) -> pd.Series[bool]:
    """Select the Pareto front: no other architecture is at least as accurate at no higher cost and better in one.

    This uses all values as they are; the column `front` of a leaderboard excludes values that are not comparable.

    Args:
        table: a leaderboard.
        cost: one of its columns, lower is better. Rows without a score or a cost are not on the front.
    """
    points = table[["miou_percent", cost]].astype(object).where(table[["miou_percent", cost]].notna(), None)
    return pd.Series(marks.pareto(list(points.itertuples(index=False, name=None))), index=table.index)


def _columns(row: type, names: Iterable[str]) -> dict[str, str]:
    hints = get_type_hints(row)
    return {name: DTYPES[next(iter(get_args(hints[name])), hints[name])] for name in names}


def _frame(rows: Iterable[tuple[Any, ...]], columns: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(columns), dtype=object).astype(columns)
