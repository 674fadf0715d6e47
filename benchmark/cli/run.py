"""`segbench run`: the main job, from architectures and a protocol to results and a report."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark import catalog
from benchmark.atomic import writing
from benchmark.cli import options
from benchmark.errors import UserError

if TYPE_CHECKING:
    from benchmark.execution.local import Cut, ProgressListener
    from benchmark.execution.plan import Job
    from benchmark.execution.spec import Spec
    from benchmark.results.reading import Stored


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("architectures", nargs="*", metavar="ARCH", help="default: one of every method")
    parser.add_argument("--all", action="store_true", help="every architecture of the catalog")
    options.protocol(parser)
    parser.add_argument(
        "--seeds", type=options.seeds, default=[0], metavar="S,S,...", help="one run for each (default: 0)"
    )
    options.overrides(parser)
    options.crf(parser)
    options.dataset(parser)
    options.device(parser)
    options.speed(parser)
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: results")
    parser.add_argument("--reports", type=Path, default=Path("reports"), metavar="DIR", help="default: reports")
    options.work_dir(parser)
    parser.add_argument(
        "--jobs",
        type=options.count,
        metavar="N",
        help="maximum number of concurrent runs on a CPU (default: cores / threads of a run); a GPU has one at a time",
    )
    options.time_budget(parser)
    parser.add_argument(
        "--run-timeout",
        type=options.duration,
        metavar="T",
        help="give up a run that takes longer (25m, 90s, 1h30m); it is recorded as failed",
    )
    parser.add_argument("--no-latency", dest="latency", action="store_false", help="do not measure latency")
    parser.add_argument("--force", action="store_true", help="run again what is in the store already")
    options.any_code(parser)
    parser.add_argument(
        "--keep-weights", action=argparse.BooleanOptionalAction, help="keep the weights (default: as the protocol says)"
    )


def run(args: argparse.Namespace) -> int:
    """Run what is not in the store yet; print the leaderboard, where the report is, and what is left of it."""
    deadline = _deadline(args)
    names = chosen(args)

    from benchmark.engine import device

    on = device.select(args.device)
    options.check_speed(args, on)
    for folder in (args.results, args.reports, args.work_dir):
        _check_writable(folder)
    wanted, left_out = composed(specs(names, on, args))
    waiting = wanted if args.force else _waiting(wanted, args.any_code)
    jobs = _jobs(waiting, on, deadline)
    before = _states(jobs)
    ended = carry_out(jobs, on, args.jobs, deadline)
    if any(args.results.glob("*/*/*.json")):  # the time may have been too short for a single one
        _print_leaderboard(wanted[0])

        from benchmark.reporting.report import make

        report = make(args.results, args.reports)
        report.write()
        print(report.page)
    if left := unfinished(jobs, ended):
        print(f"\nthe time is up: {summary(ended, left)}")
        if len(left) == len(jobs) and _states(jobs) == before:
            print(
                f"nothing was done: --time-budget {args.time_budget} is shorter than the start-up; give several minutes"
            )
        else:
            print(f"goes on: {args.command_line}")
        return 3
    if failures(ended):
        return 1
    return 2 if left_out or catalog.faults() else 0


def _states(jobs: Sequence[Job]) -> list[tuple[int, bool, bool] | None]:
    """How far each run is that was interrupted: iterations, and whether it is profiled and trained."""
    from benchmark.results.unfinished import find

    found = [find(job.spec.folder) for job in jobs]
    return [(each.iteration, bool(each.record.memory), bool(each.record.training)) if each else None for each in found]


def _deadline(args: argparse.Namespace) -> float | None:
    """When the time is up, on the clock of `time.monotonic`."""
    if args.time_budget is None:
        return None
    if args.force:
        raise UserError("--force begins everything anew in every call, so that none goes on: leave --time-budget out")
    return time.monotonic() + options.seconds(args.time_budget)


def chosen(args: argparse.Namespace) -> list[str]:
    """The architectures to run, by name.

    Raises:
        UserError: an unknown architecture or protocol, or names beside `--all`.
    """
    if args.all and args.architectures:
        raise UserError("give architectures or --all, not both")
    everything = list(catalog.architectures()) if args.all else catalog.representatives()
    names = list(dict.fromkeys(args.architectures)) or everything
    for name in names:
        catalog.architecture(name)
    catalog.protocol(args.protocol)
    return names


def specs(names: list[str], device: str, args: argparse.Namespace) -> list[Spec]:
    """The runs that the arguments ask for."""
    from benchmark.execution.spec import Spec

    return [
        Spec(
            architecture=name,
            protocol=args.protocol,
            seed=seed,
            device=device,
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
        )
        for seed in args.seeds
        for name in names
    ]


def composed(wanted: list[Spec]) -> tuple[list[Spec], int]:
    """Leave out runs whose architecture the protocol cannot train, and say why.

    Returns:
        The runs that are left, and how many are left out.

    Raises:
        UserError: none is left.
    """
    left, error = [], None
    for spec in wanted:
        try:
            _ = spec.config
            left.append(spec)
        except UserError as reason:
            error = reason
            if len(wanted) > 1:
                print(f"segbench: {spec.architecture} seed {spec.seed} is left out: {reason}", file=sys.stderr)
    if error and not left:
        raise error
    return left, len(wanted) - len(left)


def _waiting(wanted: Sequence[Spec], any_code: bool) -> list[Spec]:
    """The runs that the store does not have; says which it has, and what of them is of other code."""
    from benchmark.execution.plan import lookup
    from benchmark.results.reading import Problem

    waiting, others = [], list[str | None]()
    for spec, found in zip(wanted, lookup(wanted, any_code), strict=True):
        name = f"{spec.architecture} seed {spec.seed}"
        if found.stored:
            of = f", made by other code ({found.other_code})" if found.other_code else ""
            print(f"{name}: skipped, {found.stored} has it{of}", file=sys.stderr)
            continue
        if isinstance(found.result, Problem):
            print(f"{name}: run again, {found.result}", file=sys.stderr)
        waiting.append(spec)
        others.append(found.other_code)
    for line in (*of_other_code(others), *begun_anew(waiting)):
        print(line, file=sys.stderr)
    return waiting


def of_other_code(found: Sequence[str | None]) -> Iterator[str]:
    """Say how many results of the runs to be made are of other code, and of which.

    Args:
        found: what the result under other code is of, for each run; None where there is none.
    """
    codes = [code for code in found if code]
    if codes:
        what, them = ("result is", "it as it is") if len(codes) == 1 else ("results are", "them as they are")
        names = ", ".join(sorted(set(codes)))
        yield f"{len(codes)} {what} of other code ({names}), and run again; --any-code takes {them}"


def begun_anew(specs: Sequence[Spec]) -> Iterator[str]:
    """Say which runs were begun by other code, and cannot be resumed."""
    from benchmark.execution.plan import abandoned
    from benchmark.results.unfinished import find

    for spec in specs:
        if find(spec.folder) is None and (found := abandoned(spec)):
            folder, iteration = found
            done = f"where other code has done {iteration} iterations" if iteration else "which other code has begun"
            yield f"{spec.architecture} seed {spec.seed}: begins anew and leaves {folder} alone, {done}"


def _jobs(specs: Sequence[Spec], device: str, deadline: float | None) -> list[Job]:
    """The runs in order, with estimates where anything depends on them: they cost seconds."""
    from benchmark.execution.plan import Job, plan

    return [Job(spec, None, 0.0) for spec in specs] if device == "cpu" and deadline is None else plan(specs)


def carry_out(
    jobs: Sequence[Job],
    device: str,
    most: int | None,
    deadline: float | None,
    listener: ProgressListener | None = None,
) -> list[Stored | Cut]:
    """Carry the runs out, and show their progress.

    Args:
        jobs: the runs, in order.
        device: "cpu" or "cuda".
        most: how many at a time on a CPU; None for as many as the cores have threads for.
        deadline: when they are interrupted, on the clock of `time.monotonic`; None for never.
        listener: is called with their progress, in place of what shows it on stderr.

    Returns:
        How each ended that had begun.
    """
    from benchmark.cli.progress import Bars, Lines
    from benchmark.execution import local
    from benchmark.execution.plan import begun

    most = most or _side_by_side([job.spec for job in jobs])
    specs = (job.spec for job in begun(jobs, deadline))
    if listener is not None:
        return list(local.carry_out(specs, listener, device, most))
    shown = Bars(len(jobs)) if sys.stderr.isatty() else Lines(sys.stderr, len(jobs))
    try:
        return list(local.carry_out(specs, shown, device, most))
    finally:
        shown.close()


def unfinished(jobs: Sequence[Job], ended: Sequence[Stored | Cut]) -> list[Job]:
    """The runs that have left no result, with estimates for what is left of them."""
    from benchmark.execution.plan import plan
    from benchmark.results.reading import Stored

    done = {each.record.run_id for each in ended if isinstance(each, Stored)}
    left = plan([job.spec for job in jobs if job.spec.identity.run_id not in done])
    return [job for job in left if not job.stored]


def failures(ended: Sequence[Stored | Cut]) -> int:
    """How many runs left a result that says what went wrong."""
    from benchmark.results.reading import Stored

    return sum(isinstance(each, Stored) and each.record.status != "ok" for each in ended)


def summary(ended: Sequence[Stored | Cut], left: Sequence[Job]) -> str:
    """What was done, what was cut and where, and what is left, in lines."""
    from benchmark.cli.progress import standing
    from benchmark.execution.local import Cut

    cut = [each for each in ended if isinstance(each, Cut)]
    needed = options.words(sum(job.seconds for job in left))
    return "\n".join(
        [
            f"{len(ended) - len(cut)} done, of which {failures(ended)} failed",
            *(f"cut: {standing(each)}" for each in cut),
            f"left: {len(left)}, about {needed} one after the other",
        ]
    )


def _side_by_side(specs: Sequence[Spec]) -> int:
    """Runs at a time: one, or as many as there are cores for where the protocol gives a run few threads."""
    from benchmark.results.environment import cores

    threads = specs[0].config.protocol.threads if specs else None
    return max(1, cores() // threads) if threads else 1


def _print_leaderboard(spec: Spec) -> None:
    """The table that the runs belong to."""
    from benchmark.analysis.ranking import groups
    from benchmark.cli.leaderboard import render
    from benchmark.results.snapshot import Snapshot

    runs, _ = Snapshot(spec.results).summaries(spec.protocol)
    overrides = dict(spec.config.protocol.overrides)
    found = [group for group in groups(runs) if dict(group.overrides) == overrides]
    print(render(found, "table"), end="\n\n")


def _check_writable(folder: Path) -> None:
    """Refuse a folder that cannot be written before hours are spent on what should go there."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
