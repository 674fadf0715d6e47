"""Test whether training here is equivalent to mmsegmentation's own training.

The same network, optimizer, schedule and augmentation are trained by mmengine's Runner with mmsegmentation's pipeline,
like its `tools/train.py`, and by a session of ours, with several seeds each. Both are evaluated on the same split with
the same metric, and the difference of their means is tested for equivalence (two one-sided tests). Finished trainings
are stored in OUT.json, from which the next call continues.

    python performance/parity.py enet espnet-c -p camvid_180x240_cpu --max-iters 400 --root FOLDER -o OUT.json
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from process import run
from timing import hardware, silent

from benchmark import backend
from benchmark.cli import devices, options
from benchmark.engine import device
from benchmark.errors import UserError
from benchmark.files.atomic import replacing
from benchmark.statistics.equivalence import Equivalence, Error, equivalence
from benchmark.statistics.variance import Variance, moderate, sample_variance
from benchmark.verdicts.accuracy import MARGIN

if TYPE_CHECKING:
    from mmengine import Config

    from benchmark.engine.session import Session

THEIRS, OURS = "mmsegmentation", "segbench"

SETTINGS = (
    "protocol",
    "max_iters",
    "split",
    "precision",
    "peer_precision",
    "device",
    "deterministic",
    "resident",
    "compile",
)
"""Arguments shared by all trainings of a file."""

COMPILE = {"auto": None, "on": True, "off": False}


@dataclass(frozen=True)
class ParityRun:
    """Identity of a training."""

    architecture: str
    training: str
    """`THEIRS` or `OURS`"""
    seed: int


@dataclass(frozen=True)
class TrainedScore:
    """Result of a training."""

    miou: float
    """mIoU on the evaluated split, in percent"""
    seconds: float
    """wall time of the iterations, including batches"""


@dataclass(frozen=True)
class Experiment:
    """Content of a file."""

    settings: Mapping[str, Any]
    hardware: Sequence[str]
    """hardware of the trainings, one line per machine"""
    trainings: Mapping[ParityRun, TrainedScore]


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("architectures", nargs="+", metavar="ARCH")
    parser.add_argument("-p", "--protocol", default="camvid_180x240_cpu", help="default: %(default)s")
    parser.add_argument("--max-iters", type=int, metavar="N", help="number of iterations (default: the protocol's)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="trainings of each kind (default: 3)")
    parser.add_argument("--split", choices=["val", "test"], default="val", help="default: val")
    parser.add_argument("--precision", metavar="P", help="precision of both trainings (default: the protocol's)")
    parser.add_argument("--peer-precision", metavar="P", help="of mmsegmentation's training (default: as ours)")
    parser.add_argument("--resident", choices=["auto", "on", "off"], default="auto", help="see segbench run")
    parser.add_argument("--compile", choices=list(COMPILE), default="auto", help="for our training (default: auto)")
    parser.add_argument("--margin", type=float, default=MARGIN, help="margin in points (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=math.inf, metavar="S", help="time limit in seconds")
    options.dataset(parser)
    devices.device(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.json")
    parser.add_argument("--cell", nargs=2, metavar=("TRAINING", "SEED"), help=argparse.SUPPRESS)  # for child processes
    args = parser.parse_args(words)
    deadline = time.monotonic() + args.seconds
    try:
        if args.cell:
            train(ParityRun(args.architectures[0], args.cell[0], int(args.cell[1])), args)
            return 0
        return experiment(args, deadline)
    except UserError as error:
        print(f"parity: error: {error}", file=sys.stderr)
        return 2


def experiment(args: argparse.Namespace, deadline: float) -> int:
    """Run the missing trainings, and print the comparison.

    Returns:
        0 if all trainings are finished, 1 if one failed, 3 if the time limit was reached.
    """
    args.device = device.select(args.device)
    check(args)
    cells = [ParityRun(name, t, s) for s, name, t in product(range(args.seeds), args.architectures, (THEIRS, OURS))]
    code = 0
    for cell in cells:
        if cell in load(args).trainings:
            continue
        left = deadline - time.monotonic()
        status = run(_child(cell, args), None if math.isinf(left) else left) if left > 0 else None
        if status is None:
            print(f"time limit reached before {cell.training} had trained {cell.architecture} with seed {cell.seed}")
            code = 3
            break
        if status == 0:
            made = load(args).trainings[cell]
            print(*asdict(cell).values(), f"{made.miou:.2f} % mIoU, {made.seconds:.0f} s", sep=", ", flush=True)
        else:
            print(*asdict(cell).values(), f"failed with exit code {status}", sep=", ", flush=True)
            code = 1
    found = load(args)
    print(f"\n{'; '.join(found.hardware)}; {described(found.settings)}\n\n{table(found.trainings, args.margin)}")
    return code


def check(args: argparse.Namespace) -> None:
    """Check the arguments.

    Raises:
        UserError: an argument is invalid.
    """
    if args.seeds < 1:
        raise UserError(f"--seeds must be at least 1, not {args.seeds}")
    if not args.margin > 0:
        raise UserError(f"--margin must be above 0, not {args.margin:g}")
    load(args)
    for name in args.architectures:
        for training in (OURS, THEIRS):
            composed(ParityRun(name, training, 0), args, args.device)


def composed(cell: ParityRun, args: argparse.Namespace, on: str) -> Config:
    """Return the config of a training.

    Raises:
        UserError: it cannot be trained.
    """
    from benchmark.configs.compose import PRECISIONS, compose

    precision = args.peer_precision or args.precision if cell.training == THEIRS else args.precision
    config = compose(
        cell.architecture,
        args.protocol,
        seed=cell.seed,
        root=args.root,
        max_iters=args.max_iters,
        precision=precision,
        deterministic=args.deterministic or on == "cpu",
    )
    config.train_cfg.val_interval = config.train_cfg.max_iters  # only the last weights are evaluated
    if cell.training == THEIRS and on == "cpu" and config.optim_wrapper.type != PRECISIONS["float32"]:
        raise UserError("mmsegmentation computes on a CPU in float32 only: --peer-precision float32")
    return config


def _child(cell: ParityRun, args: argparse.Namespace) -> list[str]:
    """Return the command that trains one cell: the arguments of this call, for one architecture."""
    words = [cell.architecture, "--cell", cell.training, str(cell.seed), "-o", str(args.output)]
    for name in SETTINGS:
        value = getattr(args, name)
        if value is True:
            words.append(f"--{name}")
        elif value not in (None, False):
            words += [f"--{name.replace('_', '-')}", str(value)]
    if args.root:
        words += ["--root", str(args.root)]
    return [sys.executable, __file__, *words]


def train(cell: ParityRun, args: argparse.Namespace) -> None:
    """Train and evaluate one cell in this process, and store its result in the file.

    Raises:
        UserError: it cannot be trained, or failed.
    """
    on = device.select(args.device)
    backend.silence()
    from benchmark.confusion import scores
    from benchmark.engine.session import Session

    config = composed(cell, args, on)
    device.limit_threads(config.protocol.threads)
    with tempfile.TemporaryDirectory() as folder:
        session = Session(config, Path(folder) / "ours", resident=args.resident, compile=COMPILE[args.compile])
        if cell.training == OURS:
            trained = session.train()
            session.load(trained.last)
            seconds = trained.seconds
        else:
            with silent():
                seconds = train_theirs(config, Path(folder), on, session)
        miou = scores(session.evaluate(args.split).counts, config.protocol.void).miou
    kept = load(args)
    machines = sorted({*kept.hardware, hardware()})
    save(Experiment(kept.settings, machines, {**kept.trainings, cell: TrainedScore(miou, seconds)}), args.output)


def train_theirs(config: Config, folder: Path, on: str, session: Session) -> float:
    """Train with mmsegmentation, and load the weights into a session; return the seconds of training."""
    import peer

    from benchmark.engine.arithmetic import float32_arithmetic

    peer.write_split(config, folder / "split")
    runner = peer.runner(config, folder / "split", folder / "theirs", workers=8 if on == "cuda" else 0)
    device.limit_threads(config.protocol.threads)  # a Runner disables OpenCV's threads
    start = time.perf_counter()
    with float32_arithmetic(peer.precision(config) == "tf32"):  # PyTorch's default for convolutions
        runner.train()
    seconds = time.perf_counter() - start
    session.load_state(runner.model.state_dict())
    return seconds


def table(trainings: Mapping[ParityRun, TrainedScore], margin: float) -> str:
    """Return a row for every architecture trained by both, as Markdown."""
    lines = [
        f"| architecture | {THEIRS}: mIoU (%) | {OURS}: mIoU (%) | difference, 90 % interval | within ±{margin:g}? |",
        "|---|---|---|---:|---|",
    ]
    for name, found in compared(trainings, margin).items():
        sides = (", ".join(f"{value:.2f}" for value in _scores(trainings, name, each)) for each in (THEIRS, OURS))
        result = "the variance between seeds is unknown |"
        if found is not None:
            low, high = found.interval
            answer = {"reproduced": f"yes, p = {found.p:.3f}", "inconclusive": "inconclusive"}.get(found.finding, "no")
            result = f"{found.difference:+.2f}, {low:+.2f} to {high:+.2f} | {answer}"
        lines.append(f"| `{name}` | {' | '.join(sides)} | {result} |")
    return "\n".join(lines)


def compared(trainings: Mapping[ParityRun, TrainedScore], margin: float) -> dict[str, Equivalence | None]:
    """Test the differences for equivalence, by architecture; None if the variance between seeds is unknown.

    The variance between seeds is the same for both trainings of an architecture, moderated by the other architectures.
    """
    names = list(dict.fromkeys(cell.architecture for cell in trainings))
    sides = {name: (_scores(trainings, name, THEIRS), _scores(trainings, name, OURS)) for name in names}
    sides = {name: each for name, each in sides.items() if all(each)}
    own = [_pooled(*map(sample_variance, each)) for each in sides.values()]
    variances = moderate([each.value for each in own], [each.df for each in own])
    found: dict[str, Equivalence | None] = {}
    for (name, (theirs, ours)), variance in zip(sides.items(), variances, strict=True):
        if variance is None:
            found[name] = None
            continue
        error = Error(math.sqrt(variance.value * (1 / len(theirs) + 1 / len(ours))), variance.df)
        found[name] = equivalence(fmean(ours) - fmean(theirs), error, margin)
    return found


def _pooled(first: Variance, second: Variance) -> Variance:
    df = first.df + second.df
    return Variance((first.value * first.df + second.value * second.df) / df if df else 0.0, df)


def _scores(trainings: Mapping[ParityRun, TrainedScore], architecture: str, training: str) -> list[float]:
    return [f.miou for cell, f in trainings.items() if (cell.architecture, cell.training) == (architecture, training)]


def load(args: argparse.Namespace) -> Experiment:
    """Load the content of the file, or return a new experiment.

    Raises:
        UserError: the file cannot be read, or its trainings have other settings.
    """
    settings = {name: getattr(args, name) for name in SETTINGS}
    try:
        kept = json.loads(args.output.read_text())
        known = {
            ParityRun(*map(row.pop, ("architecture", "training", "seed"))): TrainedScore(**row)
            for row in kept["trainings"]
        }
        found = Experiment(kept["settings"], kept["hardware"], known)
    except FileNotFoundError:
        return Experiment(settings, [], {})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{args.output} is not an experiment of this script: {error!r}") from error
    if found.settings != settings:
        changed = [
            f"{name} is {found.settings.get(name)}" for name in SETTINGS if found.settings.get(name) != settings[name]
        ]
        raise UserError(f"the trainings in {args.output} have other settings ({', '.join(changed)}): name another file")
    return found


def save(experiment: Experiment, path: Path) -> None:
    rows = sorted(experiment.trainings.items(), key=lambda item: (item[0].architecture, item[0].training, item[0].seed))
    document = {
        "settings": dict(experiment.settings),
        "hardware": list(experiment.hardware),
        "trainings": [asdict(cell) | asdict(found) for cell, found in rows],
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(document, indent=2) + "\n")


def described(settings: Mapping[str, Any]) -> str:
    """Return the settings in one line, without those at their defaults."""
    return ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in settings.items() if value not in (None, False)
    )


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
