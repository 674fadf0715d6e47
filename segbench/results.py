"""Results as DataFrames; runs, comparisons and reports."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_type_hints

from benchmark import arguments
from benchmark.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.execution.executor import Executor, ProgressListener

OVERRIDES = ("max_iters", "batch_size", "val_interval", "precision", "init", "crf")
"""What `run` may change of a protocol."""


class Results:
    """The results below a folder, as tables.

    Args:
        path: a folder of results, as `segbench run` leaves it.
        mix_code: average over results of an architecture made by different code.

    Attributes:
        path: that folder.
        mix_code: as given.
        problems: files that hold no result, or one that contradicts itself; a line each.

    Examples:
        >>> import segbench as sb
        >>> results = sb.load_results("results")
        >>> sorted(results.runs().protocol.unique())
        ['camvid_180x240_cpu', 'camvid_360x480_scratch']
    """

    def __init__(self, path: str | Path, *, mix_code: bool = False) -> None:
        from benchmark.analysis.code import stored_runs

        self.path, self.mix_code = Path(path), mix_code
        if not self.path.is_dir():
            raise UserError(f"{self.path} is not a folder: `segbench run` writes results to results/")
        self._runs, problems = stored_runs(self.path, mix_code=mix_code)
        self.problems = [str(problem) for problem in problems]

    def runs(self) -> pd.DataFrame:
        """Return one row a run.

        docs/api.md lists all columns, with dtypes and units; among them are `protocol`, `fingerprint` (equal exactly
        where runs may be ranked together), `architecture`, `seed`, `status`, `miou_percent`, `macc_percent`,
        `aacc_percent`, `params`, `macs` (multiply-accumulates of one image), `latency_ms` (median), `latency_ratio` (to
        the anchor network), `inference_memory_bytes`, `training_memory_bytes`, `training_seconds`, `device`.

        Examples:
            >>> import segbench as sb
            >>> runs = sb.load_results("results").runs()
            >>> len(runs.query("architecture == 'enet' and protocol == 'camvid_180x240_cpu'"))
            3
        """
        from benchmark.analysis.leaderboard import frame

        return frame(self._runs)

    def leaderboard(self, protocol: str, fingerprint: str | None = None) -> pd.DataFrame:
        """Return one row an architecture, best first.

        docs/api.md lists all columns, with dtypes and units; among them are `rank` (of the mean), `rank_low` and
        `rank_high` (ranks that tests of all pairs leave open), `architecture`, `seeds`, `miou_percent` (mean over
        seeds), `miou_sd_percent`, `params`, `macs`, `latency_ms`, `latency_ratio`, `inference_memory_bytes`, `device`.

        Args:
            protocol: name of a protocol, or path of a protocol file.
            fingerprint: of the protocol as it was run. By default the protocol as it is defined, or where nothing was
                run without overrides, what has the most runs; a warning names the fingerprints that are not shown.

        Raises:
            UserError: there are no results of it.

        Examples:
            >>> import segbench as sb
            >>> board = sb.load_results("results").leaderboard("camvid_180x240_cpu")
            >>> board.architecture[0]
            'espnet-c'
        """
        from benchmark.analysis.leaderboard import table

        return table(self._group(protocol, fingerprint).table)

    def verdicts(self, margin: float = 1.0) -> pd.DataFrame:
        """Return one row for each published accuracy and protocol on its dataset, as `segbench verify` prints them.

        Evaluations of published weights that are stored here have rows, too, with the figures of those weights.

        Columns: `reference`, `architecture`, `metric`, `unit`, `published`, `measured`, `difference` (percent),
        `outcome` (reproduced, differs, inconclusive or not comparable), `reason`, `protocol`, `interval_low` and
        `interval_high` (90 %, of measured less published), `margin`, `further_seeds`.

        Args:
            margin: equivalence margin in points.

        Raises:
            UserError: the margin is none.

        Examples:
            >>> import segbench as sb
            >>> sorted(set(sb.load_results("results").verdicts().outcome))
            ['not comparable', 'reproduced']
        """
        from benchmark.verdicts import stored
        from benchmark.verdicts.verdict import Verdict

        references = stored.published()
        of_runs = stored.trained(self.path, self._runs, references, margin)
        of_weights, problems = stored.evaluated(self.path, references)
        _warn(problems)
        return _frame([*of_runs, *of_weights], Verdict)

    def per_class(self, protocol: str, fingerprint: str | None = None) -> pd.DataFrame:
        """Return intersection over union in percent: one row an architecture, one column a class.

        It is that of the last checkpoint on test, in the mean over seeds; missing where a class is neither in the
        ground truth nor predicted.

        Args:
            protocol: as in `leaderboard`.
            fingerprint: as in `leaderboard`.

        Raises:
            UserError: there are no results of it.

        Examples:
            >>> import segbench as sb
            >>> sb.load_results("results").per_class("camvid_180x240_cpu").shape
            (7, 11)
        """
        from benchmark.analysis.leaderboard import class_iou
        from benchmark.results.store import Store

        group = self._group(protocol, fingerprint)
        wanted = {run.run_id for run in group.runs}
        stored, _ = Store(self.path).scan(group.protocol)
        return class_iou(each.record for each in stored if each.record.run_id in wanted)

    def latex(
        self,
        protocol: str,
        fingerprint: str | None = None,
        *,
        rows: str | Sequence[str] = (),
        columns: Sequence[str] = (),
        sort: str | None = None,
        label: str | None = None,
        caption: str | None = None,
        environment: Literal["table", "table*", "longtable"] | None = None,
    ) -> str:
        r"""Return the leaderboard as a LaTeX table, as `segbench leaderboard --format latex` prints it.

        It needs the packages that its first line names and the entries of `bibtex`.

        Args:
            protocol: as in `leaderboard`.
            fingerprint: as in `leaderboard`.
            rows: only these architectures: names, globs or methods; marks are those among them.
            columns: names of columns of `leaderboard`; by default a choice of them.
            sort: a column, the best first; `-COLUMN` for the worst first; `given` for the order of `rows`.
            label: for `\ref`; by default `tab:` and the protocol.
            caption: text, or LaTeX where it has a backslash; by default facts of the protocol.
            environment: of the float; by default `table` or `table*`, by width.

        Raises:
            UserError: there are no results of it, or no such row or column.

        >>> import segbench as sb
        >>> text = sb.load_results("results").latex("camvid_180x240_cpu", rows=["enet", "espnet*"], sort="params")
        >>> text.splitlines()[-1]
        '\\end{table*}'
        """
        from benchmark.analysis import view
        from benchmark.reporting.latex_table import latex_table

        columns = arguments.names("columns", columns) if columns else ()
        group = self._group(protocol, fingerprint, rows)
        ordered = view.ordered(group.table, sort, view.split([rows] if isinstance(rows, str) else rows))
        label = label or f"tab:{group.protocol}"
        return latex_table(
            group, ordered, columns, label=label, caption=caption, environment=environment, remarks=group.notes
        )

    def bibtex(self, protocol: str, fingerprint: str | None = None, *, rows: str | Sequence[str] = ()) -> str:
        """Return the BibTeX of a leaderboard, as `segbench cite` prints it: methods, data, the suite and the results.

        Args:
            protocol: as in `leaderboard`.
            fingerprint: as in `leaderboard`.
            rows: as in `latex`.

        Raises:
            UserError: there are no results of it, or no such row.

        >>> import segbench as sb
        >>> print(sb.load_results("results").bibtex("camvid_180x240_cpu", rows="enet").splitlines()[0])
        @article{badrinarayanan2017segnet,
        """
        from benchmark.reporting import citation

        group = self._group(protocol, fingerprint, rows)
        return citation.bibliography([group], group.table)

    def figure(
        self,
        kind: Literal["pareto", "curves", "iou", "predictions"],
        protocol: str,
        output: str | Path,
        fingerprint: str | None = None,
        *,
        rows: str | Sequence[str] = (),
        width: float | None = None,
        cost: str = "macs",
        photographs: bool = False,
    ) -> Path:
        """Draw a figure for a paper, as `segbench figure` does.

        Args:
            kind: accuracy against a cost, training curves, IoU of classes, or predictions of the same test images.
            protocol: as in `leaderboard`.
            output: FILE.pdf, FILE.svg or FILE.png.
            fingerprint: as in `leaderboard`.
            rows: as in `latex`.
            width: in inches; by default that of a column of LaTeX's article, 229pt.
            cost: of `pareto`: macs, params, latency_ms, latency_ratio or inference_memory_bytes.
            photographs: show dataset images and ground truth above predictions; do not redistribute.

        Returns:
            The file.

        Raises:
            UserError: the results lack what the figure shows, or the file cannot be written.

        >>> import tempfile
        >>> import segbench as sb
        >>> output = tempfile.mkdtemp() + "/pareto.pdf"
        >>> sb.load_results("results").figure("pareto", "camvid_180x240_cpu", output).name
        'pareto.pdf'
        """
        from benchmark.reporting import figure

        output = Path(output)
        group = self._group(protocol, fingerprint, rows)
        options: dict[str, Any] = {"cost": cost, "photographs": photographs}
        if width is not None:
            options["width"] = width
        _warn(figure.write(kind, self.path, group, group.table, output, **options))
        return output

    def bundle(
        self,
        protocol: str,
        output: str | Path,
        fingerprint: str | None = None,
        *,
        rows: str | Sequence[str] = (),
        title: str | None = None,
        authors: Sequence[str] = (),
        license: Literal["CC-BY-4.0", "CC0-1.0", "MIT"] = "CC-BY-4.0",
    ) -> Path:
        """Pack results and what belongs to them into an archive to cite, as `segbench bundle` does.

        Args:
            protocol: as in `leaderboard`.
            output: FILE.zip.
            fingerprint: as in `leaderboard`.
            rows: as in `latex`.
            title: of the archive; by default that of the protocol.
            authors: names, "Family, Given".
            license: of the results.

        Returns:
            The archive, which `segbench validate` checks.

        Raises:
            UserError: there are no results of it, or the archive cannot be written.

        >>> import tempfile
        >>> import segbench as sb
        >>> output = tempfile.mkdtemp() + "/camvid.zip"
        >>> sb.load_results("results").bundle("camvid_180x240_cpu", output, rows="enet").name
        'camvid.zip'
        """
        from benchmark.reporting.bundle import pack

        output, authors = Path(output), arguments.names("authors", authors) if authors else ()
        group = self._group(protocol, fingerprint, rows)
        made = pack(self.path, group, output, protocol=protocol, title=title, authors=authors, license=license)
        _warn(f"config not packed: {why}" for why in made.missing)
        return output

    def _group(self, protocol: str, fingerprint: str | None, rows: str | Sequence[str] = ()) -> Any:
        from benchmark.analysis import view
        from benchmark.catalog import catalog

        protocol = catalog.protocol_name(protocol)
        runs = [run for run in self._runs if run.conditions.protocol == protocol]
        patterns = view.split([rows] if isinstance(rows, str) else rows)
        found = [replace(group, not_run=()) for group in view.groups_of(runs, patterns) if group.runs]
        chosen = next((group for group in found if fingerprint in (None, group.fingerprint)), None)
        known = ", ".join(f"{group.title} ({group.fingerprint})" for group in found if group is not chosen)
        if chosen is None:
            what = f"{protocol} of fingerprint {fingerprint}" if fingerprint else protocol
            raise UserError(f"{self.path} has no results of {what}{f'; there are {known}' if known else ''}")
        if known and fingerprint is None:
            shown = f"{chosen.title} ({chosen.fingerprint})"
            text = f"results of {shown} are shown; not comparable with them, and asked for by fingerprint: {known}"
            warnings.warn(text, stacklevel=3)
        return chosen


def _frame(rows: Iterable[Any], kind: type) -> pd.DataFrame:
    """Return one row for each dataclass, of the same columns and dtypes where there is none.

    An interval makes two columns.
    """
    import pandas as pd

    from benchmark.analysis.leaderboard import DTYPES

    hints = get_type_hints(kind)
    hints.pop("interval")
    columns = {name: DTYPES.get(next(iter(get_args(hint)), hint), "string") for name, hint in hints.items()}
    found = [[*(getattr(row, name) for name in columns), *(row.interval or (None, None))] for row in rows]
    columns |= {"interval_low": "float64", "interval_high": "float64"}
    return pd.DataFrame(found, columns=list(columns), dtype=object).astype(columns)


def _warn(problems: Iterable[object]) -> None:
    """Warn of files that were left out, where the caller called."""
    for problem in problems:
        warnings.warn(str(problem), stacklevel=3)


def load_results(path: str | Path = "results", *, mix_code: bool = False) -> Results:
    """Load the results below a folder.

    Args:
        path: as `segbench run` leaves it.
        mix_code: average over results of an architecture made by different code.

    Raises:
        UserError: it is no folder.

    Examples:
        >>> import segbench as sb
        >>> sb.load_results("results").problems
        []
    """
    return Results(path, mix_code=mix_code)


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
    executor: str | Callable[[ProgressListener], Executor] = "local",
    retry: int = 0,
    gpus: int = 1,
    **overrides: Any,
) -> Results:
    """Profile, train and evaluate architectures, and store what is not in the store yet.

    Args:
        names: architectures.
        protocol: name of a protocol, or path of a protocol file.
        seeds: one run for each.
        results: folder of the store.
        work_dir: folder for weights and logs.
        root: folder of the dataset; by default where `segbench data get` puts it.
        device: "cpu", "cuda", "cuda:N" or "auto".
        latency: whether latency is measured.
        executor: "local" makes runs in worker processes, so that one that crashes costs itself alone. "debug" makes
            them in this process. For another machine or scheduler, a class of your own, or its name as of
            `segbench run --executor`; docs/executors.md describes what it must do.
        retry: how often a run that was killed, exited, hung or ran out of memory is repeated from its last state.
        gpus: number of GPUs that share each run, without changing what is computed: docs/several-gpus.md.
        overrides: what is changed of the protocol: max_iters, batch_size, val_interval, precision, init, crf.

    Returns:
        All results of the store. A run that fails is a result whose `status` says so.

    Raises:
        UserError: an unknown name, a value that is none, a network that cannot work under the protocol, or a folder
            that cannot be written.

    Examples:
        >>> import tempfile
        >>> import segbench as sb
        >>> folder = tempfile.mkdtemp()
        >>> places = {"results": folder, "work_dir": folder + "/work"}
        >>> found = sb.run("espnet-c", max_iters=1, latency=False, executor="debug", device="cpu", **places)
        >>> found.runs().status.tolist()
        ['ok']
    """
    architectures, seeds = arguments.names("names", names), arguments.seeds("seeds", seeds)
    retry, gpus = arguments.whole("retry", retry, 0, arguments.MOST_RETRIES), arguments.whole("gpus", gpus)
    arguments.keys("overrides", overrides, OVERRIDES)

    from benchmark.cli.progress import shown
    from benchmark.engine import device as devices

    on = devices.select(device, gpus)

    from benchmark.execution import batch
    from benchmark.execution.interrupted import clear
    from benchmark.execution.plan import plan

    executor = batch.executor_of(executor)
    wanted = batch.specs(
        architectures,
        protocol,
        seeds,
        on,
        deterministic=on == "cpu",
        latency=latency,
        overrides=overrides,
        root=Path(root) if root is not None else None,
        results=Path(results),
        work_dir=Path(work_dir),
        retries=retry,
        gpus=gpus,
    )
    with shown() as listener:
        _, refused = batch.trainable(wanted, partial(listener.step, "checking"), isolate=executor != "debug")
        if refused:
            raise next(iter(refused.values()))
        planned = plan(wanted)
        for job in planned:
            if job.stored:
                clear(job.spec.folder, keep=job.spec.keeps_weights)
        jobs = [job for job in planned if not job.stored]
        listener.expect(jobs)
        batch.run(jobs, listener, executor=executor)
    return Results(results)


def compare(
    base: str | Path | Results,
    new: str | Path | Results,
    margin: float = 0.5,
    *,
    images: bool = False,
    latency_margin: float = 0.05,
    budgets: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Compare two sets of results, as `segbench compare` does.

    Args:
        base: the results before: a folder, a result file, `REVISION:PATH` of git, or what `load_results` returned.
        new: the results now.
        margin: points of mIoU that may be lost.
        images: include the sampling error of images (bootstrap).
        latency_margin: allowed relative increase of latency.
        budgets: upper limits for the results now, by figure: `latency_ratio`, `params`, `macs` or
            `inference_memory_bytes`.

    Returns:
        One row for each figure of each architecture: `protocol`, `fingerprint`, `architecture`, `gate` (kind of
        figure), `figure`, `base`, `new`, `change` (mIoU in points, others as a share of the base), `interval_low`,
        `interval_high`, `outcome`, `reason`, `alarm` (the loss in points that would have been shown).

    Raises:
        UserError: a side has no results, or the margin is none.

    Examples:
        >>> import segbench as sb
        >>> changes = sb.compare("results", "results")
        >>> set(changes.outcome[changes.figure == "miou_percent"])
        {'same'}
    """
    from benchmark.analysis import regression
    from benchmark.results.source import source

    sides = [
        replace(source(str(side.path), side.path), runs=side._runs)
        if isinstance(side, Results)
        else source(str(side), Path("results"))
        for side in (base, new)
    ]
    _warn(dict.fromkeys(problem for side in sides for problem in side.problems))
    found = regression.compare_results(sides[0], sides[1], margin, images, latency_margin, budgets)
    return _frame(found.changes, regression.Change)


def report(
    results: str | Path | Results = "results",
    output: str | Path = "reports",
    *,
    photographs: bool = False,
) -> Path:
    """Render the HTML report of results, as `segbench report` does; the table of a README is the command's alone.

    Args:
        results: their folder, or what `load_results` returned.
        output: folder of the report.
        photographs: embed dataset images and their ground truth; do not redistribute.

    Returns:
        The page.

    Examples:
        >>> import tempfile
        >>> import segbench as sb
        >>> sb.report("results", tempfile.mkdtemp()).name
        'index.html'
    """
    from benchmark.reporting.report import make

    loaded = results if isinstance(results, Results) else Results(results)
    made = make(loaded.path, Path(output), photographs, mix_code=loaded.mix_code)
    _warn(made.problems)
    made.write()
    return made.page
