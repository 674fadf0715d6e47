"""Results and rankings as pandas frames, in full precision: for notebooks, plots and the report."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args, get_type_hints

import pandas as pd

from benchmark.analysis import marks
from benchmark.analysis.ranking import Standing, ranking
from benchmark.results.record import Record
from benchmark.results.summary import Summary

DTYPES = {str: "string", int: "Int64", float: "float64"}
"""The type of a column, by the type of its values. What is missing is missing, never 0."""


def frame(runs: Iterable[Summary]) -> pd.DataFrame:
    """One row a run: protocol, fingerprint, and the columns of `Summary`."""
    shared = {"protocol": "string", "fingerprint": "string"}
    rows = [(run.conditions.protocol, run.conditions.fingerprint, *run[1:]) for run in runs]
    return _frame(rows, shared | _columns(Summary, Summary._fields[1:]))


def leaderboard(runs: Iterable[Summary]) -> pd.DataFrame:
    """One row an architecture, best first, with the columns of `Standing`; see `benchmark.analysis.ranking`.

    Args:
        runs: with equal protocol and fingerprint.
    """
    return table(ranking(runs))


def table(standings: Iterable[Standing]) -> pd.DataFrame:
    """Return a ranking as a frame."""
    return _frame(standings, _columns(Standing, Standing._fields))


def class_iou(records: Iterable[Record]) -> pd.DataFrame:
    """Intersection over union in percent of the last checkpoint on test: a row an architecture, a column a class.

    Means over the seeds that ended well; missing where a class is neither in the ground truth nor predicted.
    """
    rows = [
        pd.Series(evaluation.iou, dtype="float64", name=record.architecture)
        for record in records
        if record.status == "ok" and (evaluation := record.evaluation())
    ]
    table = pd.DataFrame(rows)
    return table.groupby(level=0).mean()


def pareto(table: pd.DataFrame, cost: str) -> pd.Series[bool]:
    """Whether no other architecture is at least as accurate at no more cost, and better in one of them.

    It takes the figures as they are; the column `front` of a leaderboard leaves out what does not compare.

    Args:
        table: a leaderboard.
        cost: one of its columns, less is better. Rows without a score or a cost are on no front.
    """
    points = table[["miou_percent", cost]].astype(object).where(table[["miou_percent", cost]].notna(), None)
    return pd.Series(marks.pareto(list(points.itertuples(index=False, name=None))), index=table.index)


def _columns(row: type, names: Iterable[str]) -> dict[str, str]:
    hints = get_type_hints(row)
    return {name: DTYPES[next(iter(get_args(hints[name])), hints[name])] for name in names}


def _frame(rows: Iterable[tuple[Any, ...]], columns: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(columns), dtype=object).astype(columns)
