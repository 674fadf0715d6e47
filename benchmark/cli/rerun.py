"""`segbench rerun`: repeat the run of a stored result and compare the two results."""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.catalog import catalog, own
from benchmark.cli import completion, options, printing, quantities
from benchmark.cli.columns import fitted, terminal_width
from benchmark.cli.progress import Bars, Lines, shown
from benchmark.errors import UserError

if TYPE_CHECKING:
    from benchmark.execution.spec import Spec
    from benchmark.results.arrays import Arrays
    from benchmark.results.reading import Stored
    from benchmark.results.record import Record
    from benchmark.verdicts.rerun import Reproduction

ARGUMENTS = ("max_iters", "batch_size", "val_interval", "precision", "crf")
"""Overrides that a record stores as given; of `init` it stores the hash of the file."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Repeat a run with the same architecture, protocol, overrides, seed, kind of device and determinism, "
        "and report whether it is reproduced. On a CPU with the same processor, threads, packages and code it must be "
        "bitwise equal; elsewhere mIoU must be within the band of two seeds of the protocol. Exit "
        "code 0: reproduced, 1: not reproduced, 2: cannot be repeated here."
    )
    completion.paths(parser.add_argument("result", metavar="RESULT", help="the JSON file of a result, or its run id"))
    options.results(parser, "store of the run id; its seeds are used to estimate the variance between seeds")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep the new result in a separate store (default: discarded)"
    )
    parser.add_argument("--init", type=Path, metavar="FILE", help="file of the initial weights, if the run had one")
    options.models(parser)
    parser.add_argument(
        "--network",
        type=Path,
        metavar="FILE",
        help="Python file of the network, if it is the user's and not in the working directory",
    )
    protocol = parser.add_argument(
        "-p",
        "--protocol",
        metavar="FILE",
        help="path of the protocol file, if it is not one of `segbench list protocols` "
        "(default: the protocol of the result)",
    )
    completion.paths(protocol)
    options.dataset(parser)
    options.data(parser)
    parser.add_argument("--device", metavar="D", help="cpu, cuda or cuda:N (default: that of the result)")
    parser.add_argument("--gpus", type=quantities.count, metavar="N", help="GPUs of the run (default: as the result)")
    parser.add_argument("--work-dir", type=Path, metavar="DIR", help="folder of weights and logs (default: discarded)")
    printing.json_output(parser)


def run(args: argparse.Namespace) -> int:
    """Repeat the run; print the differences and the verdict."""
    from benchmark.results.store import Store

    old = _result(args.result, args.results)
    record = old.record
    if args.keep and Store(args.keep).path(record).resolve() == old.path.resolve():
        raise UserError(
            f"--keep {args.keep} is the store of the result, which must not be overwritten: choose another folder"
        )

    from benchmark.engine import device

    gpus = args.gpus or record.environment.world_size or 1
    with _folders(args.keep, args.work_dir) as (results, work_dir):
        with shown(1) as listener:
            on = device.select(args.device or record.environment.device, gpus)
            spec = _spec(record, on, args, results, work_dir, gpus)
            _check_the_same(record, spec)
            if on == "cpu" and spec.config.protocol.threads is None:
                os.environ["OMP_NUM_THREADS"] = str(record.environment.threads)  # before the workers' server starts
            new = _made(spec, listener)
        kept = str(new.path) if args.keep else None
        if new.record.status != "ok":
            reason = f"the run {new.record.status.replace('_', ' ')}: {new.record.error}"
            if args.json:
                printing.print_json(_plain(record, new.record, None, reason, kept))
            else:
                print(f"not reproduced: {reason}")
            return 1
        found = _compared(old, new, args.results)
        if args.json:
            printing.print_json(_plain(record, new.record, found, found.reason, kept))
        else:
            _print(record, new.record, found)
            if kept:
                print(kept)
    return 0 if found.reproduced else 1


def _result(name: str, results: Path) -> Stored:
    """Return the result of a file or a run id, if it has scores to reproduce."""
    from benchmark.results.reading import Problem, read
    from benchmark.results.store import Store
    from benchmark.results.validate import quick_check

    is_id = re.fullmatch("[0-9a-f]{16}", name) is not None and not Path(name).exists()
    found = Store(results).find(name) if is_id else read(Path(name))
    if found is None:
        raise UserError(f"there is no result {name} in {results}/: name its run id, or its JSON file")
    problem = found if isinstance(found, Problem) else quick_check(found)
    if isinstance(found, Problem) or problem:
        raise UserError(str(problem))
    if found.record.status != "ok":
        raise UserError(f"{found.path} has no scores to reproduce: {found.record.status}, {found.record.error}")
    return found


def _spec(record: Record, device: str, args: argparse.Namespace, results: Path, work_dir: Path, gpus: int = 1) -> Spec:
    """Return the run that produces the result."""
    from benchmark.engine.timings import TrainingMode
    from benchmark.execution.spec import Spec

    execution = record.training.execution if record.training else None
    mode = None
    if execution:
        mode = TrainingMode(execution.layout, execution.graph, compiled=execution.compile_seconds is not None)
    return Spec(
        architecture=_network(record, args.network),
        protocol=_protocol(record.protocol.name, args.protocol),
        seed=record.seed,
        device=device,
        deterministic=record.environment.deterministic,
        latency=False,
        overrides=arguments(record.protocol.overrides, args.init, args.data),
        root=args.root,
        results=results,
        work_dir=work_dir,
        resident="off" if execution and execution.batches == "host" else "auto",
        mode=mode,
        gpus=gpus,
    )


def _network(record: Record, file: Path | None) -> str:
    """Return the name of the network of a record, of which records keep no folders.

    Args:
        record: of the run.
        file: of the network, as given.

    Raises:
        UserError: the file is not given and not in the working directory, or the network is of no file.
    """
    source = record.source
    if source is None or source.kind not in ("file", "config"):
        if file is not None:
            raise UserError(f"the network of the run, {record.architecture}, is of no file: omit --network {file}")
        return source.name if source else record.architecture
    base, _ = own.split(source.name)
    name = base.rpartition(":")[0] or base
    if file is None and not Path(name).is_file():
        raise UserError(
            f"the run was of {source.name}, and {name} is not in the working directory: name it with "
            f"--network path/to/{name}, or repeat the command in its folder"
        )
    return f"{file or name}{source.name.removeprefix(name)}"


def _protocol(name: str, file: str | None) -> str:
    """Return the protocol of a record: its name, or the file of the user's.

    Args:
        name: as stored in the record.
        file: as given.

    Raises:
        UserError: the protocol is of a file that is not given, or the file is another one.
    """
    if file is None:
        if name not in catalog.protocols():
            raise UserError(
                f"the run followed {name}, a protocol file of the user's: name it with -p path/to/{name}.py"
            )
        return name
    if catalog.protocol(file).name != name:
        raise UserError(f"the run followed the protocol {name}, not {file}: name its file with -p, or omit -p")
    return file


def arguments(overrides: dict[str, Any], init: Path | None, data: Path | None = None) -> dict[str, Any]:
    """Return the overrides of a record as arguments of `compose.compose`.

    Args:
        overrides: as stored in a record.
        init: the file whose hash is the override `init`.
        data: the card whose name is the override `data`.

    Raises:
        UserError: the value of an override is not known.
    """
    found = dict(overrides)
    sha256, name = found.pop("init", None), found.pop("data", None)
    if unknown := sorted(found.keys() - set(ARGUMENTS)):
        raise UserError(f"the result was made with {', '.join(unknown)} changed, which this version does not know")
    if sha256 and init is None:
        raise UserError(f"the run started from weights of SHA-256 {sha256}: name their file with --init FILE")
    if init is not None and not sha256:
        raise UserError(f"the run did not start from a file of weights: omit --init {init}")
    if name and data is None:
        raise UserError(f"the run used the dataset {name}: name its card with --data FILE")
    if data is not None and not name:
        raise UserError(f"the run used the dataset of its protocol: omit --data {data}")
    return found | ({"init": init} if init else {}) | ({"data": data} if data else {})


def _check_the_same(record: Record, spec: Spec) -> None:
    """Reject a run that is not that of the result.

    Raises:
        UserError: data, protocol or network differ from those of the result.
    """
    from benchmark.execution.run import blank
    from benchmark.verdicts.rerun import mismatches

    if differences := mismatches(record, blank(spec, datetime.now(timezone.utc))):
        raise UserError(f"this is not the run that left {record.run_id}: {'; '.join(differences)}")


def _made(spec: Spec, listener: Lines | Bars) -> Stored:
    """Execute the run; return its result."""
    from benchmark.execution import batch

    jobs = batch.ordered([spec])
    listener.expect(jobs)
    made = batch.run(jobs, listener)
    (stored,) = made.stored
    return stored


def _compared(old: Stored, new: Stored, results: Path) -> Reproduction:
    from benchmark.results.store import Store
    from benchmark.verdicts.rerun import band, reproduction

    runs, _ = Store(results).summaries(old.record.protocol.name)
    return reproduction(old.record, new.record, _arrays(old), _arrays(new), band(old.record, runs))


def _arrays(stored: Stored) -> Arrays:
    from benchmark.results.arrays import read_arrays
    from benchmark.results.reading import Problem

    found = read_arrays(stored)
    if isinstance(found, Problem):
        raise UserError(str(found))
    return found


def _print(then: Record, now: Record, found: Reproduction) -> None:
    from benchmark.verdicts.rerun import environment_differences

    print(f"{then.architecture} on {then.protocol.name}, seed {then.seed}: {then.run_id} of {then.started[:10]}\n")
    rows: Sequence[tuple[str, ...]] = [("figure", "result", "again", "")]
    rows = [*rows, *((each.name, each.then, each.now, each.differs or "equal") for each in found.figures)]
    for line in fitted(rows, terminal_width()):
        print(line)
    others = environment_differences(then, now)
    print()
    for name, (was, here) in others.items():
        print(f"{name}: {was} then, {here} now")
    if not others:
        print("made in the same environment")
    if found.bitwise:
        print(f"reproduced bitwise: {found.reason}")
    else:
        print(f"{'reproduced within the band' if found.reproduced else 'not reproduced'}: {found.reason}")


def _plain(then: Record, now: Record, found: Reproduction | None, reason: str, kept: str | None) -> dict[str, Any]:
    """Return the outcome as plain data; `found` is None if the repeated run failed."""
    from benchmark.verdicts.rerun import environment_differences

    return {
        "run_id": then.run_id,
        "architecture": then.architecture,
        "protocol": then.protocol.name,
        "seed": then.seed,
        "reproduced": found is not None and found.reproduced,
        "bitwise": found is not None and found.bitwise,
        "difference": found and found.difference,
        "reason": reason,
        "figures": [each._asdict() for each in found.figures] if found else [],
        "environment": environment_differences(then, now),
        "kept": kept,
    }


@contextmanager
def _folders(keep: Path | None, work_dir: Path | None) -> Iterator[tuple[Path, Path]]:
    """Yield separate folders for the new result and its weights."""
    with tempfile.TemporaryDirectory() as folder:
        yield keep or Path(folder, "results"), work_dir / "rerun" if work_dir else Path(folder, "work")
