"""Arguments shared by several commands."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmark.catalog.catalog import DEFAULT_PROTOCOL
from benchmark.cli import completion
from benchmark.cli.quantities import count, seed
from benchmark.errors import UserError

TIME_BUDGET = (
    "stop after this time (25m, 90s, 1h30m; the table and report are written after it; default: no limit); "
    "interrupted runs resume bit-exactly when the printed command is repeated; exit code 3 while runs are left"
)


ARCHITECTURE = (
    "a name of `segbench list`, mmseg:NAME of mmsegmentation's zoo, or a network of yours such as FILE.py:CLASS"
)

RESULTS, REPORTS, WORK_DIR = Path("results"), Path("reports"), Path("work_dirs")


def architecture(parser: argparse.ArgumentParser, what: str = "architecture") -> None:
    """Add the name of one architecture, as `args.architecture`."""
    action = parser.add_argument("architecture", metavar="ARCH", help=f"{what}: {ARCHITECTURE}")
    completion.names(action, "architectures", completion.ZOO)


def results(parser: argparse._ActionsContainer, what: str = "folder of the results to read") -> None:
    """Add --results."""
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help=f"{what} (default: {RESULTS})")


def reports(parser: argparse._ActionsContainer, *names: str) -> None:
    """Add the folder of the report, under the names of the option."""
    parser.add_argument(
        *names,
        type=Path,
        default=REPORTS,
        metavar="DIR",
        help="folder of the report, index.html and its pictures (default: %(default)s)",
    )


def output(
    parser: argparse._ActionsContainer,
    what: str = "write to FILE (default: print)",
    *,
    metavar: str = "FILE",
    default: Path | None = None,
    required: bool = False,
) -> None:
    """Add -o, as `args.output`."""
    parser.add_argument("-o", "--output", type=Path, default=default, required=required, metavar=metavar, help=what)


def training_seed(
    parser: argparse._ActionsContainer, what: str = "seed of initial weights, batches and augmentation"
) -> None:
    """Add --seed of one training."""
    parser.add_argument("--seed", type=seed, default=0, metavar="S", help=f"{what} (default: %(default)s)")


def models(parser: argparse.ArgumentParser, *, arguments: bool = False) -> None:
    """Add --models, and --model-args for commands that name architectures; `catalog_of` reads them."""
    parser.add_argument(
        "--models",
        action="append",
        metavar="DIR",
        help="folder of architectures, METHOD/ARCHITECTURE.py and METHOD/metafile.yaml; adds to $SEGBENCH_MODELS",
    )
    if arguments:
        parser.add_argument(
            "--model-args",
            nargs="+",
            metavar="NAME=VALUE",
            help="arguments of the classes and functions that are named as architectures, for example width=8",
        )


@contextmanager
def catalog_of(args: argparse.Namespace) -> Iterator[None]:
    """Add the folders of --models to the catalog while a command runs, and --model-args to the names of architectures.

    Raises:
        UserError: the arguments are not of that form, or no architecture takes any.
    """
    from benchmark.catalog import catalog, plugins

    before, folders = os.environ.get(plugins.FOLDERS), getattr(args, "models", None)
    if folders:
        os.environ[plugins.FOLDERS] = os.pathsep.join([*map(os.path.abspath, folders), *([before] if before else [])])
        catalog.forget()
    try:
        if getattr(args, "model_args", None):
            _add_arguments(args)
        yield
    finally:
        if folders:
            os.environ.pop(plugins.FOLDERS)
            os.environ.update({plugins.FOLDERS: before} if before else {})
            catalog.forget()


def _add_arguments(args: argparse.Namespace) -> None:
    """Add --model-args to the names of the architectures that take any."""
    from benchmark.catalog import catalog, own

    (place,) = {"architectures", "architecture", "name"} & vars(args).keys()
    given = getattr(args, place)
    names = [given] if isinstance(given, str) else given
    found = [own.with_arguments(name, args.model_args) if catalog.takes_arguments(name) else name for name in names]
    if found == names:
        raise UserError(
            "--model-args is for a class or function: FILE.py:NAME, package.module:NAME or one of a library"
        )
    setattr(args, place, found[0] if isinstance(given, str) else found)


def protocol(parser: argparse.ArgumentParser) -> None:
    """Add -p of commands that train or evaluate: without it, the protocol that takes minutes."""
    action = parser.add_argument(
        "-p",
        "--protocol",
        default=DEFAULT_PROTOCOL,
        metavar="PROTOCOL",
        help="a name of `segbench list protocols`, or the path of a protocol file (default: %(default)s)",
    )
    completion.names(action, "protocols")


def overrides(parser: argparse.ArgumentParser) -> None:
    """Add the options that override settings of a protocol; results record them and are ranked separately."""
    parser.add_argument(
        "--max-iters",
        type=count,
        metavar="N",
        help="train N iterations; the schedule is scaled accordingly (default: the protocol's)",
    )
    parser.add_argument("--batch-size", type=count, metavar="N", help="batch size in images (default: the protocol's)")
    parser.add_argument(
        "--val-interval", type=count, metavar="N", help="validate every N iterations (default: the protocol's)"
    )
    parser.add_argument(
        "--precision",
        choices=["float32", "tf32", "bfloat16", "float16"],
        help="precision of the training (default: the protocol's)",
    )
    parser.add_argument(
        "--init", type=Path, metavar="FILE", help="initialize the backbone from FILE, written by `segbench import`"
    )


def chosen_overrides(args: argparse.Namespace) -> dict[str, Any]:
    """Return the given overrides as arguments of `compose.compose`."""
    names = ("max_iters", "batch_size", "val_interval", "precision", "init", "crf", "data")
    return {name: value for name in names if (value := getattr(args, name, None)) is not None}


def any_code(parser: argparse.ArgumentParser) -> None:
    """Add --any-code."""
    parser.add_argument(
        "--any-code",
        action="store_true",
        help="skip runs whose stored result was made by other code (default: run them again, as code that can "
        "change results differs)",
    )


def crf(parser: argparse.ArgumentParser) -> None:
    """Add --crf."""
    parser.add_argument(
        "--crf",
        nargs="?",
        const="deeplabv2",
        choices=["deeplabv1", "deeplabv2"],
        help="refine predictions on test with a fully connected CRF, with the parameters of that paper (default: "
        'deeplabv2); pip install "segbench[crf]"',
    )


def dataset(parser: argparse.ArgumentParser) -> None:
    """Add --root."""
    parser.add_argument(
        "--root", type=Path, metavar="DIR", help="parent of the dataset's folder (default: $SEGBENCH_DATA, else data)"
    )


def data(parser: argparse.ArgumentParser) -> None:
    """Add --data."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="CARD",
        help="dataset to use instead of the protocol's: the YAML file that `segbench data add` wrote",
    )


def check_data(args: argparse.Namespace) -> None:
    """Check the card of --data, and say in one line which protocol is taken where none is named.

    Raises:
        UserError: the card cannot be read.
    """
    if args.data is None:
        return
    from benchmark.datasets import card

    name = card.read(args.data).content.name
    if args.protocol == DEFAULT_PROTOCOL:
        print(
            f"segbench: {name} is used under {DEFAULT_PROTOCOL}, the default, which shows in minutes that networks "
            "train; name another protocol with -p (segbench list protocols)",
            file=sys.stderr,
        )


def require_use_of_root(args: argparse.Namespace) -> None:
    """Refuse a --root that the dataset has no use for.

    Raises:
        UserError: the dataset is embedded or that of --data, or there is no such protocol.
    """
    if args.root is None:
        return
    if getattr(args, "data", None) is not None:
        raise UserError(f"--root {args.root} has no effect: {args.data} says where its folders are; leave --root out")
    from benchmark.configs import compose
    from benchmark.datasets.catalog import locate

    dataset = compose.read_protocol(args.protocol).protocol.dataset
    if locate(dataset, args.root) is None:
        raise UserError(
            f"--root {args.root} has no effect: {args.protocol} draws its dataset {dataset}, which has no files; "
            "leave --root out, or name a protocol with -p (segbench list protocols)"
        )


def work_dir(parser: argparse.ArgumentParser) -> None:
    """Add --work-dir."""
    parser.add_argument(
        "--work-dir",
        type=Path,
        default=WORK_DIR,
        metavar="DIR",
        help="folder of weights and logs (default: %(default)s)",
    )


def track(parser: argparse.ArgumentParser) -> None:
    """Add --track."""
    parser.add_argument(
        "--track",
        choices=["tensorboard", "mlflow", "wandb"],
        help="show loss, learning rate and mIoU on val in this tracker too, in a folder of its name in the work folder "
        '(wandb: offline unless WANDB_MODE is set); pip install "segbench[TRACKER]"',
    )


def prepare_tracker(args: argparse.Namespace) -> None:
    """Prepare the tracker, before anything is computed.

    Raises:
        UserError: it is not installed, or does not work.
    """
    if args.track:
        from benchmark.engine import tracking

        tracking.prepare(args.track, args.work_dir)


def print_viewer(args: argparse.Namespace) -> None:
    """Print the command that shows what the tracker has written, on stderr."""
    if args.track:
        from benchmark.engine import tracking

        print(f"to see the curves: {tracking.viewer(args.track, args.work_dir)}", file=sys.stderr)


def time_budget(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Add --time-budget; `seconds` reads it."""
    parser.add_argument("--time-budget", default=default, metavar="T", help=TIME_BUDGET)
