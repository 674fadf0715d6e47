"""`segbench run`: the main job, from architectures and a protocol to results and a report."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark import catalog
from benchmark.atomic import writing
from benchmark.cli import options
from benchmark.errors import UserError

if TYPE_CHECKING:
    from benchmark.execution.run import Spec

SHARING = 4
"""Runs that share a GPU at most, by default: more of them wait for the cores that launch their operators."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("architectures", nargs="*", metavar="ARCH", help="default: one of every method")
    parser.add_argument("--all", action="store_true", help="every architecture of the catalog")
    options.protocol(parser)
    parser.add_argument("--seeds", type=_seeds, default=[0], metavar="S,S,...", help="one run for each (default: 0)")
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
        type=int,
        metavar="N",
        help="runs at a time, on a GPU at most: as many light ones as fill it "
        f"(default: as many as the cores have threads for, on a GPU {SHARING})",
    )
    parser.add_argument("--no-latency", dest="latency", action="store_false", help="do not measure latency")
    parser.add_argument("--force", action="store_true", help="run again what is in the store already")
    parser.add_argument(
        "--keep-weights", action=argparse.BooleanOptionalAction, help="keep the weights (default: as the protocol says)"
    )


def run(args: argparse.Namespace) -> int:
    """Run what is not in the store yet; print the leaderboard and, last, where the report is."""
    names = chosen(args)

    from benchmark.engine import device

    on = device.select(args.device)
    options.check_speed(args, on)
    for folder in (args.results, args.reports, args.work_dir):
        _check_writable(folder)
    wanted = specs(names, on, args)
    waiting = wanted if args.force else [spec for spec in wanted if not _is_stored(spec)]
    failed = _carry_out(waiting, on, args.jobs)
    _print_leaderboard(wanted[0])

    from benchmark.reporting.report import make

    report = make(args.results, args.reports)
    report.write()
    print(report.page)
    return 1 if failed else 0


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
    from benchmark.execution.run import Spec

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
        )
        for name in names
        for seed in args.seeds
    ]


def _is_stored(spec: Spec) -> bool:
    """Whether the store has the run already; says so."""
    from benchmark.results.reading import Problem
    from benchmark.results.store import Store

    found = Store(spec.results).find(spec.run_id())
    if isinstance(found, Problem):
        print(f"{spec.architecture} seed {spec.seed}: run again, {found}", file=sys.stderr)
    elif found is not None and found.record.status == "ok":
        print(f"{spec.architecture} seed {spec.seed}: skipped, {found.path} has it", file=sys.stderr)
        return True
    return False


def _carry_out(specs: list[Spec], device: str, jobs: int | None) -> int:
    """Carry the runs out, watched; returns how many did not end well."""
    from benchmark.cli.progress import Bars, Lines
    from benchmark.execution.local import carry_out

    watcher = Bars(len(specs)) if sys.stderr.isatty() else Lines(sys.stderr, len(specs))
    try:
        if device == "cpu":
            return sum(stored.record.status != "ok" for stored in carry_out(specs, watcher, jobs or _jobs(specs)))

        from benchmark.execution.plan import plan, waves  # estimates cost seconds: they pay where runs take minutes

        return sum(
            stored.record.status != "ok"
            for wave in waves(plan(specs), jobs or SHARING)
            for stored in carry_out([job.spec for job in wave], watcher, len(wave), gated=len(wave) > 1)
        )
    finally:
        watcher.close()


def _jobs(specs: list[Spec]) -> int:
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


def _seeds(text: str) -> list[int]:
    try:
        return list(dict.fromkeys(int(seed) for seed in text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers such as 0,1,2") from None
