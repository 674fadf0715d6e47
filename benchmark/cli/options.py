"""Arguments that several commands share."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from benchmark.catalog import DEFAULT_PROTOCOL
from benchmark.errors import UserError

TIME_BUDGET = (
    "stop after that time (25m, 90s, 1h30m; table and report come after it): what is cut goes on with the same bits in "
    "the next call, which is the last line; exit code 3 as long as anything is left"
)


def protocol(parser: argparse.ArgumentParser) -> None:
    """Add -p."""
    parser.add_argument(
        "-p",
        "--protocol",
        default=DEFAULT_PROTOCOL,
        metavar="PROTOCOL",
        help="see `segbench list protocols` (default: %(default)s)",
    )


def overrides(parser: argparse.ArgumentParser) -> None:
    """Add what changes a protocol; a result says so, and is not ranked with those of the unchanged one."""
    parser.add_argument("--max-iters", type=int, metavar="N", help="train N iterations; the schedule is scaled to it")
    parser.add_argument("--batch-size", type=int, metavar="N", help="train with N images a batch")
    parser.add_argument("--val-interval", type=int, metavar="N", help="validate every N iterations")
    parser.add_argument(
        "--precision", choices=["float32", "tf32", "bfloat16", "float16"], help="precision of the training"
    )
    parser.add_argument(
        "--init", type=Path, metavar="FILE", help="start from the backbone in FILE, which `segbench import` wrote"
    )


def chosen_overrides(args: argparse.Namespace) -> dict[str, Any]:
    """The overrides that were given, as arguments of `compose.compose`."""
    names = ("max_iters", "batch_size", "val_interval", "precision", "init", "crf")
    return {name: value for name in names if (value := getattr(args, name, None)) not in (None, False)}


def crf(parser: argparse.ArgumentParser) -> None:
    """Add --crf."""
    parser.add_argument(
        "--crf",
        nargs="?",
        const="deeplabv2",
        choices=["deeplabv1", "deeplabv2"],
        help="refine predictions on test by a fully connected CRF, with the parameters of that paper (default: "
        'deeplabv2); pip install "segbench[crf]"',
    )


def dataset(parser: argparse.ArgumentParser) -> None:
    """Add --root."""
    parser.add_argument("--root", type=Path, metavar="DIR", help="folder of the dataset")


def device(parser: argparse.ArgumentParser) -> None:
    """Add --device and --deterministic."""
    parser.add_argument("--device", default="auto", metavar="D", help="cpu, cuda, cuda:N or auto (default)")
    parser.add_argument(
        "--deterministic", action="store_true", help="deterministic algorithms on a GPU too; on a CPU it is always so"
    )


def speed(parser: argparse.ArgumentParser) -> None:
    """Add what makes a training faster, and moves no result by as much as another seed does."""
    parser.add_argument(
        "--resident",
        choices=["auto", "on", "off"],
        default="auto",
        help="keep the training split in GPU memory and make batches there (default: where it takes half of the free "
        "memory or less, unless --deterministic)",
    )
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        help="compile the network for its training by torch.compile (default: on a GPU where it is expected to save "
        "more time than it takes, learned from earlier runs; not on a CPU)",
    )


def check_speed(args: argparse.Namespace, device: str) -> None:
    """Refuse what the device cannot do.

    Raises:
        UserError: batches or arithmetic of a GPU are asked for, and there is none.
    """
    if device == "cpu" and args.resident == "on":
        raise UserError("--resident on needs a GPU; on a CPU leave it out: batches are made where the network is")
    if device == "cpu" and getattr(args, "precision", None) == "tf32":
        raise UserError("--precision tf32 needs a GPU: a CPU computes in float32")


def work_dir(parser: argparse.ArgumentParser) -> None:
    """Add --work-dir."""
    parser.add_argument(
        "--work-dir", type=Path, default=Path("work_dirs"), metavar="DIR", help="weights and logs (default: work_dirs)"
    )


def time_budget(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Add --time-budget; `seconds` reads it."""
    parser.add_argument("--time-budget", default=default, metavar="T", help=TIME_BUDGET)


def seconds(option: str, duration: str) -> float:
    """Read a duration such as 25m, in seconds.

    Args:
        option: what it was given with.
        duration: as it was given.

    Raises:
        UserError: it is none, or of no length.
    """
    found = re.fullmatch(r"(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s)?|([\d.]+)", duration)
    try:
        hours, minutes, *rest = (float(part or 0) for part in found.groups()) if found else (0.0,) * 4
    except ValueError:  # two points
        hours, minutes, *rest = (0.0,) * 4
    total = 3600 * hours + 60 * minutes + sum(rest)
    if total <= 0:
        raise UserError(f"{option} {duration}: a duration such as 25m, 90s, 1h30m or 1500 is needed")
    return total


def words(seconds: float) -> str:
    """A duration for people: 45 s, 12 min, 2.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def weights_key(parser: argparse.ArgumentParser) -> None:
    """Add the choice among several sets of weights in a checkpoint."""
    parser.add_argument(
        "--weights-key",
        metavar="KEY",
        help="where in the file the weights are, such as state_dict_ema (default: found)",
    )
