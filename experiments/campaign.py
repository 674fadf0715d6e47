"""Runs of the CamVid leaderboard in several leases of a GPU: one call per lease.

    segbench results add LAST.tar                 # results of earlier leases
    python experiments/campaign.py --root FOLDER OUT.tar
    segbench results add OUT.tar                  # afterwards, in the store of results

It starts with the self-test of `segbench doctor --gpu`, disables features that fail, and executes the runs without a
result. After each run, all results of this call are packed into OUT.tar, in addition to those already in it, so that an
interrupted lease loses one run. At the end the state of interrupted runs is packed into OUT.unfinished.tar, and timings
and compiled code, the newest first, into OUT.kernels.tar, up to 15 MiB each; a call that finds them next to OUT.tar
resumes from them. Kernels are code: do not use such a file of others.
"""

from __future__ import annotations

import argparse
import sys
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import product
from math import ceil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmark import backend
from benchmark.catalog import catalog
from benchmark.cli import devices, options, quantities
from benchmark.cli.progress import Lines, of_other_code, restarted, summary
from benchmark.errors import UserError
from benchmark.files.atomic import replacing
from benchmark.files.unpack import unpack
from benchmark.files.user_cache import user_cache

if TYPE_CHECKING:
    from benchmark.execution.executor import InterruptedRun
    from benchmark.execution.plan import Job
    from benchmark.execution.spec import Spec
    from benchmark.results.reading import Stored
    from benchmark.results.record import Record
    from benchmark.selftest.worker import CheckOutcome

LIMIT = 15 * 2**20
"""Maximum size in bytes of each archive other than the results."""

SELF_TEST_SECONDS = 60.0

WITHOUT: dict[str, dict[str, Any]] = {"resident batches": {"resident": "off"}, "compiled training": {"compile": False}}
"""Fields of a run that disable a feature whose self-test fails; a failing graph is disabled anyway."""

ESSENTIAL = ("worker", "device", "eager training")
"""Checks that are required for any run."""


class Stage(NamedTuple):
    """A stage: runs that precede those of the next stage."""

    title: str
    protocol: str
    architectures: Sequence[str] | None
    """None for all architectures of the catalog"""
    seeds: int


class PlannedRun(NamedTuple):
    """One run, by name."""

    protocol: str
    architecture: str
    seed: int


ANCHORS = ("enet", "espnet", "unet-s5-d16", "pspnet_r50-d8", "deeplabv3_r50-d8")

STAGES = (
    Stage("one of each method", "camvid_360x480_scratch", tuple(catalog.representatives()), 1),
    Stage("ENet as its authors train it", "camvid_360x480_enet", ("enet",), 3),
    Stage("one seed of everything", "camvid_360x480_scratch", None, 1),
    Stage("ESPNet as its authors train it", "camvid_360x480_espnet", ("espnet",), 3),
    Stage("three seeds of everything", "camvid_360x480_scratch", None, 3),
    Stage("ten seeds of the anchors", "camvid_360x480_scratch", ANCHORS, 10),
)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, metavar="OUT.tar")
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: results")
    options.time_budget(parser, default="14m")
    parser.add_argument(
        "--max-iters", type=quantities.count, metavar="N", help="train N iterations, to test the script"
    )
    parser.add_argument("--jobs", type=quantities.count, metavar="N", help="maximum number of concurrent runs on a CPU")
    options.dataset(parser)
    devices.device(parser)
    options.work_dir(parser)
    options.any_code(parser)
    args = parser.parse_args(words)
    backend.silence()
    try:
        return campaign(args, time.monotonic() + quantities.seconds(args.time_budget))
    except UserError as error:
        print(f"campaign: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("campaign: interrupted", file=sys.stderr)
        return 130


def campaign(args: argparse.Namespace, deadline: float) -> int:
    """Execute runs within the time budget; return 0 if none is left, 1 if runs failed, 3 if the next lease must
    resume."""
    stages = list(schedule([stage_runs(stage) for stage in STAGES]))

    from benchmark.engine import device
    from benchmark.execution import batch
    from benchmark.results import archive
    from benchmark.results.store import Store

    archive.check_name(args.archive)
    on = device.select(args.device)
    before = file_stamps(args.results)
    if args.archive.exists():
        for entry in archive.add(args.archive, Store(args.results)):
            before.pop(args.results / entry.name, None)
    unfinished_runs, kernels = (next_to(args.archive, name) for name in ("unfinished", "kernels"))
    for packed, folder in ((unfinished_runs, args.work_dir), (kernels, user_cache() / "kernels")):
        if packed.exists():
            print(f"{packed}: {unpack(packed, folder, partial(_absent, folder), 2**30)} files")

    without = self_test(on) if on == "cuda" else {}
    jobs = planned(stages, on, args, without)
    for line in (*of_other_code([job.other_code for job in jobs]), *restarted([job.spec for job in jobs])):
        print(line)
    ledger = Ledger(len(jobs), lambda: pack_results(args.results, args.archive, before))
    ended: list[Stored | InterruptedRun] = []
    try:
        batch.run(jobs, ledger, most=args.jobs, deadline=deadline, on_end=ended.append)
    finally:
        made = batch.outcome(jobs, ended)
        left = made.left
        print(summary(made))
        for stage, runs in zip(STAGES, stages, strict=True):
            waiting = sum(PlannedRun(job.spec.protocol, job.spec.architecture, job.spec.seed) in runs for job in left)
            print(f"{stage.title}: {waiting} of {len(runs)} left")
        print(*ledger.table(), sep="\n")
        folders = [job.spec.folder for job in left if job.spec.folder.is_dir()]
        pack_files(args.work_dir, folders, unfinished_runs)
        pack_files(user_cache() / "kernels", kept_kernels(user_cache() / "kernels"), kernels)
        print(*pack_results(args.results, args.archive, before), sep="\n")
    return 3 if left else 1 if made.failed else 0


def _absent(folder: Path, name: PurePosixPath) -> PurePosixPath | None:
    """Return the destination of a file in an archive; None if it exists."""
    return None if (folder / name).exists() else name


def self_test(device: str) -> dict[str, Any]:
    """Test the device for at most a minute; return the fields of runs that disable failing features.

    Raises:
        UserError: a required check fails.
    """
    from benchmark.selftest import worker
    from benchmark.selftest.checks import CHECKS

    until, without = time.monotonic() + SELF_TEST_SECONDS, dict[str, Any]()
    checks = [check._replace(limit=min(check.limit, SELF_TEST_SECONDS / 3)) for check in CHECKS]
    outcomes: Iterable[CheckOutcome] = worker.run(device, checks)
    for outcome in outcomes:
        print(f"self-test: {outcome.name}: {outcome.status}, {outcome.detail}", flush=True)
        if outcome.status == "fail" and outcome.name in ESSENTIAL:
            raise UserError(f"no run is possible: {outcome.name}: {outcome.detail}")
        if outcome.status == "fail":
            without |= WITHOUT.get(outcome.name, {})
        if time.monotonic() > until:
            print(f"self-test: ended after {SELF_TEST_SECONDS:g} s", flush=True)
            break
    return without


class Ledger(Lines):
    """Prints each run with the use of the device, and packs the results.

    Args:
        runs: number of runs.
        pack: packs the existing results.
    """

    def __init__(self, runs: int, pack: Callable[[], object]) -> None:
        super().__init__(sys.stdout)
        self.runs = runs
        self._pack = pack
        self._rows: list[str] = []
        self._free: float | None = None  # start of the device's idle time
        self._idle: dict[Spec, float] = {}

    def progress(self, spec: Spec, phase: str, done: int, total: int, value: float | None) -> None:
        """Record when a run starts to use the device, and when it ends."""
        now = time.monotonic()
        if spec not in self._idle:
            self._idle[spec] = 0.0 if self._free is None else now - self._free
        self._free = now
        super().progress(spec, phase, done, total, value)

    def end(self, spec: Spec, record: Record) -> None:
        """Print the run, and pack the results."""
        super().end(spec, record)
        idle, training, evaluation = self._idle.get(spec, 0.0), record.training, record.evaluation()
        if training and training.iterations and evaluation:
            milliseconds = 1000 * training.seconds / training.iterations
            rate = training.images / training.seconds if training.seconds else 0.0
            setup = training.setup_seconds or 0.0
            self._say(f"  device idle {idle:.1f} s, set-up {setup:.1f} s, {milliseconds:.1f} ms per iteration")
            how = training.execution
            way = " ".join(
                name
                for name, used in (
                    (how.layout if how else "", how),
                    ("graph", how and how.graph),
                    ("compiled", how and how.compile_seconds is not None),
                )
                if used
            )
            cells = (record.protocol.name, record.architecture, record.seed, f"{evaluation.miou:.2f}", way)
            times = (f"{idle:.1f}", f"{setup:.1f}", f"{milliseconds:.1f}", f"{rate:.0f}", f"{record.seconds:.0f}")
            self._rows.append("| " + " | ".join(map(str, cells + times)) + " |")
        self._pack()

    def table(self) -> list[str]:
        """Return the lines of a Markdown table of all runs."""
        if not self._rows:
            return []
        head = (
            "| protocol | architecture | seed | mIoU (%) | steps | idle (s) | set-up (s) | ms per iteration | images/s "
            "| whole run (s) |"
        )
        return ["", head, "|---|---|---:|---:|---|---:|---:|---:|---:|---:|", *self._rows, ""]


def pack_results(results: Path, out: Path, before: dict[Path, tuple[int, int]]) -> list[str]:
    """Pack the results of this call and those of the archive; return lines that report it."""
    from benchmark.results import archive

    new = [path for path, stamp in file_stamps(results).items() if before.get(path) != stamp]
    if not new:
        return []
    count, problems = archive.pack(results, out, new)
    return [*(f"excluded: {problem}" for problem in problems), f"{out}: {count} new results"]


def pack_files(root: Path, places: Sequence[Path], out: Path) -> None:
    """Pack files and folders under a root, in order, up to the size limit; replace an earlier archive.

    Files that do not fit are printed.
    """
    out.unlink(missing_ok=True)
    size, chosen = 2 * tarfile.BLOCKSIZE, []  # two empty blocks end an archive
    for place in places:
        files = [place] if place.is_file() else sorted(file for file in place.rglob("*") if file.is_file())
        files = [file for file in files if file.name != ".lock"]
        space = sum((1 + ceil(file.stat().st_size / tarfile.BLOCKSIZE)) * tarfile.BLOCKSIZE for file in files)
        if size + space > LIMIT:
            print(f"{place}: {space / 2**20:.0f} MiB, too large for {out.name}")
            continue
        size += space
        chosen += files
    if not chosen:
        return
    with replacing(out) as temporary, tarfile.open(temporary, "w", format=tarfile.GNU_FORMAT) as archive:
        for file in chosen:
            archive.add(file, PurePosixPath(*file.relative_to(root).parts).as_posix())
    print(f"{out}: {len(chosen)} files, {size / 2**20:.1f} MiB")


def kept_kernels(folder: Path) -> list[Path]:
    """Return the files of timings and compiled code, the most valuable first: timings, which are small, then the
    newest."""
    return sorted(folder.glob("*.*"), key=lambda file: (file.suffix != ".json", -file.stat().st_mtime))


def next_to(archive: Path, name: str) -> Path:
    """Return the path of an archive next to that of the results."""
    return archive.with_name(f"{archive.name.partition('.')[0]}.{name}.tar")


def stage_runs(stage: Stage) -> list[PlannedRun]:
    """Return the runs of a stage, sorted by seed."""
    catalog.protocol(stage.protocol)
    names = list(catalog.architectures()) if stage.architectures is None else stage.architectures
    for name in names:
        catalog.architecture(name)
    return [PlannedRun(stage.protocol, name, seed) for seed, name in product(range(stage.seeds), names)]


def schedule(stages: Sequence[Sequence[PlannedRun]]) -> Iterator[list[PlannedRun]]:
    """Return the runs of each stage that are in no earlier one."""
    seen: set[PlannedRun] = set()
    for runs in stages:
        yield [run for run in runs if run not in seen]
        seen.update(runs)


def planned(
    stages: Sequence[Sequence[PlannedRun]], device: str, args: argparse.Namespace, without: dict[str, Any]
) -> list[Job]:
    """Return the runs without a stored result by stage; those that failed before are last."""
    from benchmark.execution.plan import plan

    jobs = [
        job
        for runs in stages
        for job in plan([spec(run, device, args, without) for run in runs], any_code=args.any_code)
    ]
    return sorted((job for job in jobs if not job.stored), key=lambda job: job.failed)


def spec(run: PlannedRun, device: str, args: argparse.Namespace, without: dict[str, Any]) -> Spec:
    from benchmark.execution.spec import Spec

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
        **without,
    )


def file_stamps(results: Path) -> dict[Path, tuple[int, int]]:
    """Return size and modification time of every result."""
    from benchmark.results.store import Store

    found = {path: path.stat() for path in Store(results).files()}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in found.items()}


if __name__ == "__main__":
    sys.exit(main())
