"""The CamVid leaderboard, over as many leases of a GPU as it takes: one call a lease.

    segbench results add LAST.tar                 # what earlier leases brought
    python benchmarks/campaign.py --root FOLDER OUT.tar
    segbench results add OUT.tar                  # afterwards, where the results are kept

What the folder of results has is not run again. When the time is up, at Ctrl-C, and whatever becomes of a run, all
results that this call has added are packed into OUT.tar, with those that are in it already.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmark import backend, catalog
from benchmark.cli import options
from benchmark.errors import UserError

if TYPE_CHECKING:
    from benchmark.execution.local import Cut
    from benchmark.execution.plan import Job
    from benchmark.execution.run import Spec


class Stage(NamedTuple):
    """Runs that come before those of the next stage."""

    title: str
    protocol: str
    architectures: Sequence[str] | None
    """None for all of the catalog"""
    seeds: int


class Run(NamedTuple):
    """One run, by name."""

    protocol: str
    architecture: str
    seed: int


ANCHORS = ("enet", "espnet", "unet-s5-d16", "pspnet_r50-d8", "deeplabv3_r50-d8")

STAGES = (
    Stage("one seed of everything", "camvid_360x480_scratch", None, 1),
    Stage("ENet as its authors train it", "camvid_360x480_enet", ("enet",), 3),
    Stage("ESPNet as its authors train it", "camvid_360x480_espnet", ("espnet",), 3),
    Stage("three seeds of everything", "camvid_360x480_scratch", None, 3),
    Stage("ten seeds of the anchors", "camvid_360x480_scratch", ANCHORS, 10),
)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, metavar="OUT.tar")
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: results")
    options.time_budget(parser, default="25m")
    parser.add_argument("--max-iters", type=int, metavar="N", help="train N iterations, to try the script")
    parser.add_argument("--jobs", type=int, metavar="N", help="runs at a time")
    options.dataset(parser)
    options.device(parser)
    options.work_dir(parser)
    args = parser.parse_args(words)
    backend.silence()
    try:
        return campaign(args, time.monotonic() + options.seconds(args.time_budget))
    except UserError as error:
        print(f"campaign: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("campaign: interrupted", file=sys.stderr)
        return 130


def campaign(args: argparse.Namespace, deadline: float) -> int:
    """Run what the time allows; 0 where nothing is left, 1 where runs failed, 3 where the next lease has to go on."""
    stages = list(schedule([stage_runs(stage) for stage in STAGES]))

    from benchmark.cli.run import carry_out, failures, summary, unfinished
    from benchmark.engine import device
    from benchmark.results import archive
    from benchmark.results.reading import Stored
    from benchmark.results.store import Store

    archive.check_name(args.archive)
    on = device.select(args.device)
    before = stamps(args.results)
    if args.archive.exists():
        for entry in archive.add(args.archive, Store(args.results)):
            before.pop(args.results / entry.name, None)
    jobs = planned(stages, on, args)
    ended: Sequence[Stored | Cut] = []
    try:
        ended = carry_out(jobs, on, args.jobs, deadline)
    finally:
        left = unfinished(jobs, ended)
        print(summary(ended, left))
        for stage, runs in zip(STAGES, stages, strict=True):
            waiting = sum(Run(job.spec.protocol, job.spec.architecture, job.spec.seed) in runs for job in left)
            print(f"{stage.title}: {waiting} of {len(runs)} left")
        new = [path for path, stamp in stamps(args.results).items() if before.get(path) != stamp]
        if new:
            count, problems = archive.pack(args.results, args.archive, new)
            print(*(f"left out: {problem}" for problem in problems), f"{args.archive}: {count} new results", sep="\n")
    return 3 if left else 1 if failures(ended) else 0


def stage_runs(stage: Stage) -> list[Run]:
    """The runs of a stage, one seed of everything before the second of anything."""
    catalog.protocol(stage.protocol)
    names = list(catalog.architectures()) if stage.architectures is None else stage.architectures
    for name in names:
        catalog.architecture(name)
    return [Run(stage.protocol, name, seed) for seed, name in product(range(stage.seeds), names)]


def schedule(stages: Sequence[Sequence[Run]]) -> Iterator[list[Run]]:
    """The runs of each stage that no earlier one has."""
    seen: set[Run] = set()
    for runs in stages:
        yield [run for run in runs if run not in seen]
        seen.update(runs)


def planned(stages: Sequence[Sequence[Run]], device: str, args: argparse.Namespace) -> list[Job]:
    """What is not in the store yet, stage by stage; what has failed before comes after all else."""
    from benchmark.execution.plan import plan

    jobs = [job for runs in stages for job in plan([spec(run, device, args) for run in runs]) if not job.stored]
    return sorted(jobs, key=lambda job: job.failed)


def spec(run: Run, device: str, args: argparse.Namespace) -> Spec:
    from benchmark.execution.run import Spec

    return Spec(
        architecture=run.architecture,
        protocol=run.protocol,
        seed=run.seed,
        device=device,
        deterministic=args.deterministic or device == "cpu",
        latency=True,
        overrides={"max_iters": args.max_iters} if args.max_iters else {},
        root=args.root,
        results=args.results,
        work_dir=args.work_dir,
        keep_weights=False,
    )


def stamps(results: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of the last change of every result."""
    found = {path: path.stat() for path in sorted(results.glob("*/*/*.json"))}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in found.items()}


if __name__ == "__main__":
    sys.exit(main())
