"""Results as DataFrames; runs, comparisons and reports."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_type_hints

from benchmark.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


class Results:
    """The results in a folder, as tables.

    Args:
            path: a folder of results, as written by `segbench run`.

    Attributes:
        path: that folder.
            problems: files without a valid result, in one line each.

    >>> import segbench as sb
    >>> results = sb.load_results("results")
    >>> sorted(results.runs().protocol.unique())
    ['camvid_180x240_cpu', 'camvid_360x480_scratch']
    """

    def __init__(self, path: str | Path) -> None:
        from benchmark.results.store import Store

        self.path = Path(path)
        if not self.path.is_dir():
            raise UserError(f"{self.path} is not a folder: `segbench run` writes results to results/")
        self._runs, problems = Store(self.path).summaries()
        self.problems = [str(problem) for problem in problems]

    def runs(self) -> pd.DataFrame:
        """Return one row per run.

        docs/api.md lists all columns, with dtypes and units; among them are `protocol`, `fingerprint` (equal only for
        runs that may be ranked together), `architecture`, `seed`, `status`, `miou_percent`, `macc_percent`,
        `aacc_percent`, `params`, `macs` (multiply-accumulates of one image), `latency_ms` (median), `latency_ratio` (to
        the anchor network), `inference_memory_bytes`, `training_memory_bytes`, `training_seconds`, `device`.

        >>> import segbench as sb
        >>> len(sb.load_results("results").runs().query("architecture == 'enet' and protocol == 'camvid_180x240_cpu'"))
        3
        """
        from benchmark.analysis.leaderboard import frame

        return frame(self._runs)

    def leaderboard(self, protocol: str, fingerprint: str | None = None) -> pd.DataFrame:
        """Return one row per architecture, best first.

        docs/api.md lists all columns, with dtypes and units; among them are `rank` (of the mean), `rank_low` and
        `rank_high` (ranks compatible with pairwise tests), `architecture`, `seeds`, `miou_percent` (mean over
        seeds), `miou_sd_percent`, `params`, `macs`, `latency_ms`, `latency_ratio`, `inference_memory_bytes`, `device`.

        Args:
            protocol: name of a protocol.
                fingerprint: fingerprint of the protocol with its overrides. By default that without overrides or,
                    without such runs, the one with the most runs; a warning names the other fingerprints.

        Raises:
            UserError: no results match.

        >>> import segbench as sb
        >>> board = sb.load_results("results").leaderboard("camvid_180x240_cpu")
        >>> board.architecture[0]
        'espnet-c'
        """
        from benchmark.analysis.leaderboard import table

        return table(self._group(protocol, fingerprint).table)

    def verdicts(self, margin: float = 1.0) -> pd.DataFrame:
        """Return one row for each published accuracy and protocol on its dataset.

        Columns: `reference`, `architecture`, `metric`, `unit`, `published`, `measured`, `difference` (percent),
        `outcome` (reproduced, differs, inconclusive or not comparable), `reason`, `protocol`, `interval_low` and
        `interval_high` (90 %, of measured less published), `margin`, `further_seeds`.

        Args:
            margin: equivalence margin in points.

        >>> import segbench as sb
        >>> set(sb.load_results("results").verdicts().outcome)
        {'not comparable'}
        """
        from benchmark.catalog import mmseg_zoo
        from benchmark.catalog.references import ACCURACY
        from benchmark.verdicts.accuracy import verdicts
        from benchmark.verdicts.verdict import Verdict

        references = [each for each in mmseg_zoo.everything().values() if each.metric in ACCURACY]
        return _frame(verdicts(self._runs, references, margin), Verdict)

    def per_class(self, protocol: str, fingerprint: str | None = None) -> pd.DataFrame:
        """Return intersection over union in percent: one row per architecture, one column per class.

        The values are those of the last checkpoint on test, averaged over seeds; missing if a class is neither in the
        ground truth nor predicted.

        Args:
            protocol: as in `leaderboard`.
            fingerprint: as in `leaderboard`.

        Raises:
            UserError: no results match.

        >>> import segbench as sb
        >>> sb.load_results("results").per_class("camvid_180x240_cpu").shape
        (7, 11)
        """
        from benchmark.analysis.leaderboard import class_iou
        from benchmark.results.store import Store

        wanted = {run.run_id for run in self._group(protocol, fingerprint).runs}
        stored, _ = Store(self.path).scan(protocol)
        return class_iou(each.record for each in stored if each.record.run_id in wanted)

    def _group(self, protocol: str, fingerprint: str | None) -> Any:
        from benchmark.analysis.ranking import groups

        found = [group for group in groups(self._runs) if group.protocol == protocol]
        chosen = next((group for group in found if fingerprint in (None, group.fingerprint)), None)
        known = ", ".join(f"{group.title} ({group.fingerprint})" for group in found if group is not chosen)
        if chosen is None:
            what = f"{protocol} of fingerprint {fingerprint}" if fingerprint else protocol
            raise UserError(f"{self.path} has no results of {what}{f'; it has {known}' if known else ''}")
        if known and fingerprint is None:
            shown = f"{chosen.title} ({chosen.fingerprint})"
            text = f"results of {shown} are shown; others are not comparable, select them by fingerprint: {known}"
            warnings.warn(text, stacklevel=3)
        return chosen


def _frame(rows: Iterable[Any], kind: type) -> pd.DataFrame:
    """Return one row per dataclass, with the same columns and dtypes if there are no rows.

    An interval has two columns.
    """
    import pandas as pd

    from benchmark.analysis.leaderboard import DTYPES

    hints = get_type_hints(kind)
    hints.pop("interval")
    columns = {name: DTYPES.get(next(iter(get_args(hint)), hint), "string") for name, hint in hints.items()}
    found = [[*(getattr(row, name) for name in columns), *(row.interval or (None, None))] for row in rows]
    columns |= {"interval_low": "float64", "interval_high": "float64"}
    return pd.DataFrame(found, columns=list(columns), dtype=object).astype(columns)


def load_results(path: str | Path = "results") -> Results:
    """Load the results in a folder.

    Args:
            path: the folder, as written by `segbench run`.

    Raises:
        UserError: it is not a folder.

    >>> import segbench as sb
    >>> sb.load_results("results").problems
    []
    """
    return Results(path)


def run(
    names: str | Sequence[str],
    protocol: str = "shapes_64x64_smoke",
    *,
    seeds: Iterable[int] = (0,),
    results: str | Path = "results",
    work_dir: str | Path = "work_dirs",
    root: str | Path | None = None,
    device: str = "auto",
    latency: bool = True,
    executor: Literal["local", "debug"] = "local",
    **overrides: Any,
) -> Results:
    """Profile, train and evaluate architectures, and store results that the store does not contain yet.

    Args:
        names: architectures.
        protocol: name of a protocol.
        seeds: seeds of the runs, one run each.
        results: folder of the store.
        work_dir: folder for weights and logs.
        root: folder of the dataset; by default that of `segbench data get`.
        device: "cpu", "cuda", "cuda:N" or "auto".
        latency: whether latency is measured.
            executor: "local" runs in worker processes, so that a crash affects a single run. "debug" runs in this
                process.
            overrides: overrides of the protocol: max_iters, batch_size, val_interval, precision, init, crf.

    Returns:
            All results of the store. A failed run has a result with a `status` other than ok.

    Raises:
            UserError: a name is unknown, or a folder is not writable.

    >>> import tempfile
    >>> import segbench as sb
    >>> folder = tempfile.mkdtemp()
    >>> places = {"results": folder, "work_dir": folder + "/work"}
    >>> found = sb.run("espnet-c", max_iters=1, latency=False, executor="debug", device="cpu", **places)
    >>> found.runs().status.tolist()
    ['ok']
    """
    from benchmark.cli.progress import shown
    from benchmark.engine import device as devices

    on = devices.select(device)

    from benchmark.execution import batch
    from benchmark.execution.plan import plan

    wanted = batch.specs(
        [names] if isinstance(names, str) else list(names),
        protocol,
        list(seeds),
        on,
        deterministic=on == "cpu",
        latency=latency,
        overrides=overrides,
        root=Path(root) if root is not None else None,
        results=Path(results),
        work_dir=Path(work_dir),
    )
    jobs = [job for job in plan(wanted) if not job.stored]
    with shown(len(jobs)) as listener, _main_not_imported():
        batch.run(jobs, listener, executor=executor)
    return Results(results)


@contextmanager
def _main_not_imported() -> Iterator[None]:
    """Keep worker processes from importing the main script, which they do not need.

    multiprocessing would run it again in every worker, so that a script without `if __name__ == "__main__":` would
    start runs in each of them.
    """
    main = sys.modules["__main__"]
    hidden: dict[str, Any] = {
        name: main.__dict__.pop(name) for name in ("__file__", "__spec__") if name in main.__dict__
    }
    main.__spec__ = None
    try:
        yield
    finally:
        main.__dict__.update(hidden)


def compare(base: str | Path | Results, new: str | Path | Results, margin: float = 0.5) -> pd.DataFrame:
    """Compare two sets of results, like `segbench compare`.

    Args:
            base: the earlier results: a folder, a result file, `REVISION:PATH` of git, or the return value of
                `load_results`.
            new: the newer results.
            margin: acceptable loss of mIoU in points.

    Returns:
            One row for each figure of each architecture: `protocol`, `fingerprint`, `architecture`, `gate` (kind of
                figure),
            `figure`, `base`, `new`, `change` (mIoU in points, others relative to the base), `interval_low`,
            `interval_high`, `outcome`, `reason`, `alarm` (the smallest loss in points that would be detected).

    Raises:
        UserError: a side has no results.

    >>> import segbench as sb
    >>> changes = sb.compare("results", "results")
    >>> set(changes.outcome[changes.figure == "miou_percent"])
    {'same'}
    """
    from benchmark.analysis import regression
    from benchmark.results.source import source

    sides = [source(str(side.path if isinstance(side, Results) else side), Path("results")) for side in (base, new)]
    counts: regression.CountsOf = {"base": sides[0].counts, "new": sides[1].counts}
    found = regression.compare(sides[0].runs, sides[1].runs, counts, margin)
    return _frame(found.changes, regression.Change)


def report(results: str | Path | Results = "results", output: str | Path = "reports") -> Path:
    """Render the HTML report of results.

    Args:
            results: folder of the results.
        output: folder of the report.

    Returns:
        The page.

    >>> import tempfile
    >>> import segbench as sb
    >>> sb.report("results", tempfile.mkdtemp()).name
    'index.html'
    """
    from benchmark.reporting.report import make

    made = make(results.path if isinstance(results, Results) else Path(results), Path(output))
    made.write()
    return made.page
