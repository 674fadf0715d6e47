"""`segbench run`: run architectures under a protocol; store the results and render the report."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.arguments import MOST_RETRIES
from benchmark.catalog import catalog
from benchmark.cli import completion, devices, options, quantities, selection
from benchmark.cli.columns import terminal_width
from benchmark.cli.progress import Bars, Lines, of_other_code, restarted, shown, summary
from benchmark.errors import UserError
from benchmark.files.atomic import writing

if TYPE_CHECKING:
    from benchmark.cli.progress import Bars, Lines
    from benchmark.execution.plan import Job
    from benchmark.execution.spec import Spec


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    selection.networks(parser, "one of every method")
    parser.add_argument("--all", action="store_true", help="all architectures of the catalog")
    options.protocol(parser)
    options.models(parser, arguments=True)
    parser.add_argument(
        "--seeds",
        type=quantities.seeds,
        default=[0],
        metavar="S,S,...",
        help="seeds, separated by commas; one run for each (default: 0)",
    )
    options.overrides(parser)
    options.crf(parser)
    options.dataset(parser)
    options.data(parser)
    devices.device(parser)
    devices.gpus(parser)
    devices.speed(parser)
    options.results(parser, "folder of the results: those in it are skipped, new ones are added")
    options.reports(parser, "--reports")
    options.work_dir(parser)
    options.track(parser)
    parser.add_argument(
        "--jobs",
        type=quantities.count,
        metavar="N",
        help="maximum number of concurrent runs (default: on a CPU cores / threads per run; of Slurm or an executor of "
        "yours, as many as it takes); one on a GPU of this machine",
    )
    executor = parser.add_argument(
        "--executor",
        default="local",
        metavar="NAME",
        help="executor of the runs: local, worker processes; slurm, jobs of a cluster; debug, this process; or one of "
        "yours, FILE.py:CLASS, package.module:CLASS or the name that its package gives it (default: local)",
    )
    completion.words(executor, "executors", lambda: ("local", "slurm", "debug"), files=True)
    devices.slurm(parser)
    options.time_budget(parser)
    parser.add_argument(
        "--run-timeout",
        type=quantities.duration,
        metavar="T",
        help="time limit of a run (25m, 90s, 1h30m; default: none); a run that exceeds it is recorded as failed",
    )
    parser.add_argument(
        "--hang-timeout",
        type=quantities.duration,
        default="30m",
        metavar="T",
        help="end a run that makes no progress for this time and record it as hung, with its stacks in the log "
        "(default: %(default)s; profiling and compilation may take minutes without progress)",
    )
    parser.add_argument(
        "--retry",
        type=quantities.whole(0, MOST_RETRIES),
        default=0,
        metavar="N",
        help="repeat a run up to N times that was killed, exited, hung or ran out of memory; it resumes from its state "
        "(default: %(default)s)",
    )
    parser.add_argument("--no-latency", dest="latency", action="store_false", help="do not measure latency")
    parser.add_argument("--force", action="store_true", help="repeat runs that have a stored result")
    options.any_code(parser)
    parser.add_argument(
        "--keep-weights",
        action=argparse.BooleanOptionalAction,
        help="keep the weights (default: as set by the protocol)",
    )


def run(args: argparse.Namespace) -> int:
    """Execute the runs that have no stored result; print the leaderboard, the report's path, and runs left."""
    if devices.is_left_to_first():
        return 0
    deadline = _deadline(args)
    names = chosen(args)
    with shown(len(names)) as listener:
        on = devices.selected_device(args)

        from benchmark.execution import batch  # after the selection, as mmengine initializes the driver
        from benchmark.execution.sweep import tidy
        from benchmark.results.store import Store

        store = Store(args.results)
        executor = devices.slurm_request(args) or batch.executor_of(args.executor, args.jobs)
        devices.check_speed(args, on)
        options.prepare_tracker(args)
        for folder in (args.results, args.reports, args.work_dir):
            _check_writable(folder)
        wanted, left_out = composed(specs(names, on, args), listener, isolate=args.executor != "debug")
        waiting = wanted if args.force else _waiting(wanted, args.any_code)
        if not waiting:
            tidy(args.work_dir.absolute())  # of a call that was killed when its last run had a result
        jobs = batch.ordered(waiting, deadline, partial(listener.step, "planning"))
        before = _states(jobs)
        listener.expect(jobs)
        made = batch.run(
            jobs,
            listener,
            executor=executor,
            most=args.jobs,
            deadline=deadline,
            leave=lambda jobs: _leaves(jobs, listener),
            command=args.command_line,
        )
    if jobs:
        options.print_viewer(args)
    if store.files():  # there may have been no time for a single run
        _print_leaderboard(wanted[0])

        with shown() as listener:
            listener.step("reporting", "", 0, 1)
            from benchmark.reporting.report import make

            report = make(args.results, args.reports)
            report.write()
        print(report.page)
    if made.left:
        print(f"\ninterrupted: {summary(made)}")
        is_elsewhere = any(run.elsewhere for run in made.interrupted)
        is_idle = not is_elsewhere and len(made.left) == len(jobs) and _states(jobs) == before
        if is_idle and args.time_budget is None:
            raise UserError(f"--executor {args.executor} ended without having made a run")
        if is_idle:
            print(
                f"nothing was done: --time-budget {args.time_budget} is shorter than the start-up; allow a few minutes"
            )
        else:
            print(f"to resume: {args.command_line}")
        return 3
    if made.failed:
        return 1
    is_incomplete = not args.architectures and catalog.faults()  # what was meant by "all" is not known
    return 2 if left_out or is_incomplete else 0


def _leaves(jobs: int, listener: Lines | Bars) -> bool:
    """Ask whether jobs of Slurm are left running; they are where nobody can be asked."""
    listener.close()
    if not isinstance(sys.exc_info()[1], KeyboardInterrupt):  # it is ended by a signal or an error
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    from benchmark.execution.slurm.executor import runs_are, them

    while True:
        question = f"{runs_are(jobs)} with Slurm: [l]eave {them(jobs)} running, or [c]ancel {them(jobs)}? "
        print(question, end="", file=sys.stderr, flush=True)
        line = ""
        try:
            line = sys.stdin.readline()
        finally:
            if not line.endswith("\n"):  # Ctrl-D, or Ctrl-C again
                print(file=sys.stderr)
        answer = line.strip().lower()
        if answer in ("", "l", "leave", "c", "cancel"):
            return not answer.startswith("c")


def _states(jobs: Sequence[Job]) -> list[tuple[int, bool, bool] | None]:
    """Return the progress of each interrupted run: iterations, and whether it is profiled and trained."""
    from benchmark.execution.interrupted import find

    found = [find(job.spec.folder) for job in jobs]
    return [(each.iteration, bool(each.record.memory), bool(each.record.training)) if each else None for each in found]


def _deadline(args: argparse.Namespace) -> float | None:
    """Return the deadline on the clock of `time.monotonic`."""
    if args.time_budget is None:
        return None
    if args.executor == "slurm":
        raise UserError("--time-budget does not limit jobs of Slurm, which resume at the end of --time: use --time")
    if args.force:
        raise UserError("--force restarts every run in every call, so that none resumes: omit --time-budget")
    return time.monotonic() + quantities.seconds(args.time_budget)


def chosen(args: argparse.Namespace) -> list[str]:
    """Return the architectures to run, by name, and say on stderr which are those of a method or a glob.

    Raises:
        UserError: an unknown architecture or protocol, or names together with `--all`.
    """
    if args.all and args.architectures:
        raise UserError("give architectures or --all, not both")
    everything = list(catalog.architectures()) if args.all else catalog.representatives()
    names = selection.architectures(args.architectures)
    catalog.protocol(args.protocol)
    if further := [name for name in names if name not in args.architectures]:
        print(f"segbench: {', '.join(args.architectures)} includes {', '.join(further)}", file=sys.stderr)
    return names or everything


def specs(names: list[str], device: str, args: argparse.Namespace) -> list[Spec]:
    """Return the runs that the arguments request."""
    from benchmark.execution import batch

    options.require_use_of_root(args)
    options.check_data(args)
    return batch.specs(
        names,
        args.protocol,
        args.seeds,
        device,
        deterministic=args.deterministic or device == "cpu",
        latency=args.latency,
        overrides=options.chosen_overrides(args),
        root=args.root,
        results=args.results,
        work_dir=args.work_dir,
        keep_weights=args.keep_weights,
        resident=args.resident,
        compile=args.compile,
        timeout=args.run_timeout,
        gpus=devices.chosen_gpus(args),
        nodes=devices.chosen_nodes(args),
        hang_timeout=args.hang_timeout,
        retries=args.retry,
        track=args.track,
    )


def composed(
    wanted: list[Spec], listener: Lines | Bars, *, isolate: bool = True
) -> tuple[list[Spec], dict[Spec, UserError]]:
    """Skip runs whose architecture the protocol cannot train, and print why.

    Args:
        wanted: the runs.
        listener: shows the progress.
        isolate: see `batch.trainable`.

    Returns:
        The remaining runs, and the skipped ones with the reason.

    Raises:
        UserError: no run remains.
    """
    from benchmark.execution import batch

    left, reasons = batch.trainable(wanted, partial(listener.step, "checking"), isolate=isolate)
    for spec, reason in reasons.items():
        print(f"segbench: {spec.architecture} seed {spec.seed} is skipped: {reason}", file=sys.stderr)
    return left, reasons


def _waiting(wanted: Sequence[Spec], any_code: bool) -> list[Spec]:
    """Return the runs without a stored result; print which are stored, and which of those are of other code."""
    from benchmark.execution.interrupted import clear
    from benchmark.execution.plan import lookup
    from benchmark.results.reading import Problem

    waiting, others = [], list[str | None]()
    for spec, found in zip(wanted, lookup(wanted, any_code), strict=True):
        name = f"{spec.architecture} seed {spec.seed}"
        if found.stored:
            if found.stored.stem == spec.identity.run_id:
                clear(spec.folder, keep=spec.keeps_weights)
            of = f", made by other code ({found.other_code})" if found.other_code else ""
            print(f"{name}: skipped, {found.stored} has it{of}", file=sys.stderr)
            continue
        if isinstance(found.result, Problem):
            print(f"{name}: run again, {found.result}", file=sys.stderr)
        waiting.append(spec)
        others.append(found.other_code)
    for line in (*of_other_code(others), *restarted(waiting)):
        print(line, file=sys.stderr)
    return waiting


def _print_leaderboard(spec: Spec) -> None:
    """Print the leaderboard of the runs."""
    from benchmark.analysis.ranking import groups
    from benchmark.cli.leaderboard import Choice, render
    from benchmark.results.store import Store

    runs, _ = Store(spec.results).summaries(spec.protocol_name)
    overrides = dict(spec.config.protocol.overrides)
    found = [group for group in groups(runs) if dict(group.overrides) == overrides]
    print(render(found, "table", Choice(width=terminal_width())), end="\n\n")


def _check_writable(folder: Path) -> None:
    """Reject an output folder that is not writable, before hours of computation."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
